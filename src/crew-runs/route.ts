// GET /api/crew-runs/{run_id}: credentials, then the id, then the run, then the condition; and the answer's headers.
import type { Authenticator, Reader } from "../auth/authenticate.ts";
import type { Exchange } from "../exchange.ts";
import { refuse } from "../failure.ts";
import type { Settings } from "../settings.ts";
import { matches, readWaitSeconds, suggestRetrySeconds } from "./conditional.ts";
import type { Run } from "./record.ts";
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
  const authenticated = await service.authenticator.authenticate(exchange);
  if (!authenticated.ok) return refuse(exchange, authenticated.failure);
  const reader = authenticated.value;
  const id = readRunId(input);
  if (id === undefined) return refuse(exchange, { reason: "invalid_run_id", input });
  exchange.notes.run_id = id;

  const ifNoneMatch = exchange.request.headers.get("if-none-match");
  let found = await findRun(service, id, reader, ifNoneMatch, exchange);
  const headers: Record<string, string> = {};
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

/** The last answer to a hit on a kept run, without its body: good for whoever asks the same in the same second. */
interface Form {
  ageSeconds: number;
  timing: string;
  isSecure: boolean;
  response: Response;
}

const forms = new WeakMap<Run, Form>();

function answer(
  exchange: Exchange,
  settings: Settings,
  run: Run,
  ifNoneMatch: string | null,
  headers: Record<string, string>,
): Response {
  const isHit = exchange.notes.cache === "hit";
  const ageSeconds = Math.max(0, Math.floor((Date.now() - run.readMs) / 1_000));
  if (matches(ifNoneMatch, run.etag)) {
    return exchange.answer(304, null, Object.assign(headers, describeRun(run, settings, isHit, ageSeconds)));
  }
  if (!isHit) {
    Object.assign(headers, describeRun(run, settings, isHit, ageSeconds));
    headers["content-type"] = "application/json";
    return exchange.answer(200, run.body ?? null, headers);
  }
  const { serverTiming: timing, isSecure } = exchange;
  let form = forms.get(run);
  if (form?.ageSeconds !== ageSeconds || form.timing !== timing || form.isSecure !== isSecure) {
    const all = { ...exchange.describe(), ...describeRun(run, settings, isHit, ageSeconds) };
    const response = new Response(null, { headers: { ...all, "content-type": "application/json" } });
    form = { ageSeconds, timing, isSecure, response };
    forms.set(run, form);
  }
  return exchange.answerAs(form.response, run.body ?? null);
}

function describeRun(run: Run, settings: Settings, isHit: boolean, ageSeconds: number): Record<string, string> {
  const { FINISHED_RUN_TTL_SECONDS } = settings;
  const isKept = run.isFinal && FINISHED_RUN_TTL_SECONDS > 0;
  return {
    etag: run.etag,
    "cache-control": isKept ? `private, max-age=${FINISHED_RUN_TTL_SECONDS}` : "private, no-cache",
    "cache-status": `crew-runs; ${isHit ? "hit" : "fwd=uri-miss"}${isKept && !isHit ? "; stored" : ""}`,
    // One life for all copies of a finished run: what passed here counts as age at the client (RFC 9111 §4.2.3).
    ...(isHit && { age: String(ageSeconds) }),
    ...(!run.isFinal && { "retry-after": String(suggestRetrySeconds(run.createdMs, Date.now())) }),
  };
}
