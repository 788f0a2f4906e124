// GET /api/crew-runs/{run_id}, for a reader whom `authenticate` has let through: the id, the run, the condition; and the
// answer's headers.
import type { Context } from "hono";
import type { Access } from "../auth/authenticator.ts";
import { Failure } from "../failure.ts";
import type { AppEnv } from "../service.ts";
import type { Settings } from "../settings.ts";
import { matches, readWaitSeconds, suggestRetrySeconds } from "./conditional.ts";
import { findRun } from "./find-run.ts";
import type { FoundRun } from "./kept-runs.ts";
import { readRunId } from "./run-id.ts";

export async function getCrewRun(c: Context<AppEnv>): Promise<Response> {
  const { service, access, trace } = c.var;
  const input = c.req.param("run_id") ?? "";
  const id = readRunId(input);
  if (id === undefined) {
    await access.vouched;
    throw new Failure("invalid_run_id", { input });
  }
  trace.notes.run_id = id;

  const found = await findRun(service, id, access, trace);
  const seen = found.run;
  const waitSeconds = seen.isFinal ? 0 : chooseWait(c.req.header("prefer"), service.settings, access);
  const ifNoneMatch = c.req.header("if-none-match");
  const untilChanged = ifNoneMatch !== undefined;
  // A client that holds another representation has something to read at once.
  if (waitSeconds === 0 || (untilChanged && !matches(ifNoneMatch, seen.etag))) return answerRun(c, found, waitSeconds);

  const waitMs = waitSeconds * 1_000;
  const startedMs = Date.now();
  const wait = { seen, reader: access.reader, waitMs, untilChanged, signal: c.req.raw.signal, trace };
  const run = await service.waits.waitForChange(wait);
  return answerRun(c, { run }, waitSeconds, Date.now() - startedMs >= waitMs);
}

/** The seconds to wait: as asked for, within the setting and the token's life. */
function chooseWait(prefer: string | undefined, { MAX_WAIT_SECONDS }: Settings, { expiresMs }: Access): number {
  const lifeSeconds = Math.floor((expiresMs - Date.now()) / 1_000);
  return Math.max(0, Math.min(readWaitSeconds(prefer) ?? 0, MAX_WAIT_SECONDS, lifeSeconds));
}

function answerRun(c: Context<AppEnv>, { run, layer }: FoundRun, waitSeconds: number, hasRunOut = false): Response {
  const ttlSeconds = c.var.service.settings.FINISHED_RUN_TTL_SECONDS;
  const isSame = matches(c.req.header("if-none-match"), run.etag);
  const response = new Response(isSame ? null : run.body, { status: isSame ? 304 : 200 });
  const { headers } = response;
  if (!isSame) headers.set("content-type", "application/json");
  headers.set("etag", run.etag);
  const isKept = run.isFinal && ttlSeconds > 0;
  headers.set("cache-control", isKept ? `private, max-age=${ttlSeconds}` : "private, no-cache");
  // RFC 9211; the detail tells the isolate's memory from the data centre's cache.
  if (layer === undefined) headers.set("cache-status", `crew-runs; fwd=uri-miss${isKept ? "; stored" : ""}`);
  else {
    headers.set("cache-status", `crew-runs; hit; detail=${layer.replace("_", "-")}`);
    // One life for all copies of a finished run: what passed here counts as age at the client (RFC 9111 §4.2.3).
    headers.set("age", String(Math.max(0, Math.floor((Date.now() - run.readMs) / 1_000))));
  }
  // A wait that ran its full time was the pause.
  const retryAfterSeconds = hasRunOut ? 0 : suggestRetrySeconds(run.createdMs, Date.now());
  if (!run.isFinal) headers.set("retry-after", String(retryAfterSeconds));
  if (waitSeconds > 0) headers.set("preference-applied", `wait=${waitSeconds}`);
  return response;
}
