// GET /api/crew-runs/{run_id}: credentials, then the id, then the run, then the condition; and the answer's headers.
import type { Authenticator, Reader } from "../auth/authenticate.ts";
import type { Exchange } from "../exchange.ts";
import { refuse } from "../failure.ts";
import type { Settings } from "../settings.ts";
import { matches, readWaitSeconds, suggestRetrySeconds } from "./conditional.ts";
import type { Representation } from "./kept-runs.ts";
import { type RunSource, findRun, waitForRun } from "./read-run.ts";
import { readRunId } from "./run-id.ts";

export const CREW_RUN_PATH = "/api/crew-runs/:run_id";

/** `input` is the path's last segment, percent-decoded. */
export async function getCrewRun(
  exchange: Exchange,
  service: RunSource & { settings: Settings; authenticator: Authenticator },
  input: string,
): Promise<Response> {
  const { settings } = service;
  exchange.notes.route = CREW_RUN_PATH;
  const authenticated = await service.authenticator.authenticate(exchange);
  if (!authenticated.ok) return refuse(exchange, authenticated.failure);
  const reader = authenticated.value;
  const id = readRunId(input);
  if (id === undefined) return refuse(exchange, { reason: "invalid_run_id", input });
  exchange.notes.run_id = id;

  let found = await findRun(service, id, reader, exchange);
  const headers: Record<string, string> = {};
  const ifNoneMatch = exchange.request.headers.get("if-none-match");
  if (found.ok && !found.value.isFinal) {
    const waitSeconds = chooseWait(exchange, settings, reader);
    // A client that holds another representation has something to read at once.
    const untilChanged = ifNoneMatch !== null;
    if (waitSeconds > 0 && (!untilChanged || matches(ifNoneMatch, found.value.etag))) {
      const options = { waitMs: waitSeconds * 1_000, untilChanged };
      found = await waitForRun(service, found.value, reader, exchange, options);
    }
    if (waitSeconds > 0) headers["preference-applied"] = `wait=${waitSeconds}`;
  }
  if (!found.ok) return refuse(exchange, found.failure);
  return answer(exchange, settings, found.value, ifNoneMatch, headers);
}

/** The wait that is asked for, within the setting and the token's life. */
function chooseWait(exchange: Exchange, settings: Settings, reader: Reader): number {
  if (settings.MAX_WAIT_SECONDS === 0) return 0;
  const asked = readWaitSeconds(exchange.request.headers.get("prefer"));
  if (asked === undefined) return 0;
  const lifeSeconds = Math.floor((reader.expiresMs - Date.now()) / 1_000);
  return Math.max(0, Math.min(asked, settings.MAX_WAIT_SECONDS, lifeSeconds));
}

function answer(
  exchange: Exchange,
  settings: Settings,
  run: Representation,
  ifNoneMatch: string | null,
  headers: Record<string, string>,
): Response {
  const nowMs = Date.now();
  const ttlSeconds = settings.FINISHED_RUN_TTL_SECONDS;
  const isHit = exchange.notes.cache === "hit";
  headers["etag"] = run.etag;
  if (run.isFinal && ttlSeconds > 0) {
    // One life for all copies of a finished run: what passed here counts as age there (RFC 9111 §4.2.3).
    const ageSeconds = Math.max(0, Math.floor((nowMs - run.readMs) / 1_000));
    headers["cache-control"] = `private, max-age=${ttlSeconds}`;
    if (isHit) headers["age"] = String(ageSeconds);
    headers["cache-status"] = isHit
      ? `crew-runs; hit; ttl=${ttlSeconds - ageSeconds}`
      : "crew-runs; fwd=uri-miss; stored";
  } else {
    headers["cache-control"] = "private, no-cache";
    headers["cache-status"] = "crew-runs; fwd=uri-miss";
    if (!run.isFinal) headers["retry-after"] = String(suggestRetrySeconds(run.createdMs, nowMs));
  }
  if (matches(ifNoneMatch, run.etag)) return exchange.answer(304, null, headers);
  headers["content-type"] = "application/json";
  return exchange.answer(200, run.body, headers);
}
