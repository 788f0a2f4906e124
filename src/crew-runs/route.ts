// GET /api/crew-runs/{run_id}, behind the gate: the id, the run, the condition, the wait; and the response's headers.
import type { Context } from "hono";
import type { AppEnv } from "../env.ts";
import { Failure } from "../failure.ts";
import type { FoundRun } from "./cached-runs.ts";
import type { Wait } from "./long-polls.ts";
import { matches, readWaitSeconds, suggestRetrySeconds } from "./request-headers.ts";
import { readRunId } from "./run-id.ts";

export async function getCrewRun(c: Context<AppEnv>): Promise<Response> {
  const first = await readFirst(c);
  if (first instanceof Response) return first;
  const startedMs = Date.now();
  const run = await c.get("service").waitForChange(first);
  // A client whose wait took its whole time need not pause.
  const retrySeconds = Date.now() - startedMs >= first.waitMs ? 0 : undefined;
  return respondWithRun(c, { run }, first.waitMs / 1_000, retrySeconds);
}

/** The response, or the wait that comes before it: a function of its own, because a suspended function holds the run's body. */
async function readFirst(c: Context<AppEnv>): Promise<Response | Wait> {
  const { findRun } = c.get("service");
  const { reader } = c.get("access");
  const trace = c.get("trace");
  const input = c.req.param("run_id") ?? "";
  const id = readRunId(input);
  if (id === undefined) throw new Failure("invalid_run_id", { input });
  trace.notes.run_id = id;

  const found = await findRun(id, reader, trace, c.get("refusal"));
  const { isFinal, etag: current } = found.run;
  const waitSeconds = isFinal ? 0 : chooseWaitSeconds(c);
  const ifNoneMatch = c.req.header("if-none-match");
  const etag = ifNoneMatch === undefined ? undefined : current;
  // A client that has another representation gets this one at once.
  if (waitSeconds === 0 || (etag !== undefined && !matches(ifNoneMatch, etag)))
    return respondWithRun(c, found, waitSeconds);
  return { id, reader, etag, waitMs: waitSeconds * 1_000, signal: c.req.raw.signal, trace };
}

/** As the client prefers, up to MAX_WAIT_SECONDS, and a second less than the token's life: the last poll takes time too. */
function chooseWaitSeconds(c: Context<AppEnv>): number {
  const preferred = readWaitSeconds(c.req.header("prefer")) ?? 0;
  const lifeSeconds = Math.floor((c.get("access").expiresMs - Date.now()) / 1_000) - 1;
  return Math.max(0, Math.min(preferred, c.get("service").settings.MAX_WAIT_SECONDS, lifeSeconds));
}

/** `retrySeconds` is the pause before the next poll; by default it depends on the run's age. */
function respondWithRun(c: Context<AppEnv>, found: FoundRun, waitSeconds: number, retrySeconds?: number): Response {
  const { run, layer } = found;
  const ttlSeconds = c.get("service").settings.FINISHED_RUN_TTL_SECONDS;
  const isSame = matches(c.req.header("if-none-match"), run.etag);
  const isCacheable = run.isFinal && ttlSeconds > 0;
  // Handed over at once: each `Headers.set` crosses into the runtime.
  const headers: Record<string, string> = { etag: run.etag };
  if (!isSame) headers["content-type"] = "application/json";
  headers["cache-control"] = isCacheable ? `private, max-age=${ttlSeconds}` : "private, no-cache";
  // RFC 9211; the detail names the cache.
  const miss = `crew-runs; fwd=uri-miss${isCacheable ? "; stored" : ""}`;
  headers["cache-status"] = layer === undefined ? miss : `crew-runs; hit; detail=${layer.replace("_", "-")}`;
  // One life for all copies of a finished run: the time in our caches counts as age at the client (RFC 9111 §4.2.3).
  if (layer !== undefined) headers["age"] = String(Math.max(0, Math.floor((Date.now() - run.readMs) / 1_000)));
  if (!run.isFinal) headers["retry-after"] = `${retrySeconds ?? suggestRetrySeconds(run.createdMs, Date.now())}`;
  if (waitSeconds > 0) headers["preference-applied"] = `wait=${waitSeconds}`;
  return new Response(isSame ? null : run.body, { status: isSame ? 304 : 200, headers });
}
