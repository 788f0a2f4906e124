// GET /api/crew-runs/{run_id}, from top to bottom: the token, the id, the run, the token once more, the response.
import type { Context } from "hono";
import { Failure } from "../failure.ts";
import { type AppEnv, timeLeftMs } from "../request.ts";
import type { Service } from "../service.ts";
import type { FoundRun } from "./cached-runs.ts";
import type { Query } from "./find-run.ts";
import { matches, readWaitSeconds } from "./request-headers.ts";
import { readRunId } from "./run-id.ts";

/** The cache that a response comes from, as the detail of `Cache-Status` (RFC 9211). */
const CACHE_DETAILS = { isolate: "isolate", data_center: "data-center" };

type RunContext = Context<AppEnv, "/api/crew-runs/:run_id">;

export async function getCrewRun(c: RunContext, { settings, authenticate, findRun }: Service): Promise<Response> {
  const request = c.get("request");
  request.timeoutMs = settings.REQUEST_TIMEOUT_MS;
  const access = await authenticate(c.req.header("authorization") ?? "", request);
  // A wait ends a second before its token, because the last poll takes time too.
  const lifeSeconds = Math.floor((access.expiresMs - Date.now()) / 1_000) - 1;
  const preferred = readWaitSeconds(c.req.header("prefer")) ?? 0;
  const waitSeconds = Math.max(0, Math.min(preferred, settings.MAX_WAIT_SECONDS, lifeSeconds));
  const input = c.req.param("run_id");
  const id = readRunId(input);
  // A withdrawn key begins no wait, and is a 401 rather than a 403 or a 422.
  if (waitSeconds > 0 || !access.hasRequiredScope || id === undefined) await access.confirm();
  if (!access.hasRequiredScope) throw new Failure("insufficient_scope", { why: `lacks ${settings.REQUIRED_SCOPE}` });
  if (id === undefined) throw new Failure("invalid_run_id", { input });
  request.notes.run_id = id;

  const waitMs = waitSeconds * 1_000;
  request.timeoutMs += waitMs;
  if (waitMs > 0) request.signal = c.req.raw.signal;
  const query: Query = { id, reader: access.reader, ifNoneMatch: c.req.header("if-none-match"), waitMs, request };
  const reading = Promise.allSettled([findRun(query)]);
  const confirm = () =>
    access.confirm().catch(async (refusal: Error) => {
      // Sent at once: the read makes no further attempt. If it has failed already, the log has its cause, too.
      request.timeoutMs = 0;
      const [read] = await Promise.race([reading, []]);
      if (read?.status === "rejected") refusal.cause = read.reason;
      throw refusal;
    });
  // Stale keys are refetched in parallel with the read.
  await confirm();
  const [read] = await reading;
  // Again, because the token may have expired during the read, and its key may have been withdrawn.
  await confirm();
  if (read.status === "rejected") throw request.signal?.aborted ? new Failure("client_left") : read.reason;
  return respondWithRun(read.value, query, settings.FINISHED_RUN_TTL_SECONDS);
}

function respondWithRun({ run, layer, hasWaited }: FoundRun, query: Query, ttlSeconds: number): Response {
  const { ifNoneMatch, waitMs, request } = query;
  if (layer !== undefined) Object.assign(request.notes, { cache: "hit", cache_layer: layer });
  const isSame = matches(ifNoneMatch, run.etag);
  const isCacheable = run.isFinished && ttlSeconds > 0;
  // Handed over at once: each `Headers.set` crosses into the runtime.
  const headers: Record<string, string> = { etag: run.etag };
  if (!isSame) headers["content-type"] = "application/json";
  headers["cache-control"] = isCacheable ? `private, max-age=${ttlSeconds}` : "private, no-cache";
  const miss = `crew-runs; fwd=uri-miss${isCacheable ? "; stored" : ""}`;
  headers["cache-status"] = layer === undefined ? miss : `crew-runs; hit; detail=${CACHE_DETAILS[layer]}`;
  // One life for all copies of a finished run: the time in our caches counts as age at the client (RFC 9111 §4.2.3).
  if (layer !== undefined) headers["age"] = String(Math.max(0, Math.floor((Date.now() - run.readMs) / 1_000)));
  if (!run.isFinished) {
    const wasWholeWait = hasWaited === true && timeLeftMs(request, waitMs) === 0;
    headers["retry-after"] = String(wasWholeWait ? 0 : suggestRetrySeconds(run.createdMs));
  }
  if (hasWaited === true) headers["preference-applied"] = `wait=${waitMs / 1_000}`;
  return new Response(isSame ? null : run.body, { status: isSame ? 304 : 200, headers });
}

/** `Retry-After` of an unfinished run: a tenth of its age, between 1 and 30 seconds. After a whole wait, no pause is needed. */
function suggestRetrySeconds(createdMs: number): number {
  return Math.min(30, Math.max(1, Math.round((Date.now() - createdMs) / 10_000)));
}
