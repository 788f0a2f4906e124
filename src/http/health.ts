// GET /health and GET /ready: whether this Worker runs, and whether it has what it needs.
import type { Context } from "hono";
import type { GetKeys } from "../auth/key-set.ts";
import type { CrewRunStore } from "../crew-runs/postgres/store.ts";
import { isRecent } from "../isolate/clock.ts";
import { SingleFlight } from "../isolate/single-flight.ts";
import type { AppEnv, RequestScope } from "../request.ts";
import type { Settings } from "../settings.ts";

const HEADERS = { "cache-control": "no-store" };
/** How long a check serves, and the seconds of `Retry-After`. */
const MEMORY_SECONDS = 10;
/** One attempt of the database and one of the key set, each bounded by itself. */
const CHECK_TIMEOUT_MS = 9_500;

/** `ok`, `unavailable`, `not_checked` or `misconfigured` for each part. */
type Parts = Record<string, string>;
const UNKNOWN: Parts = { database: "unavailable", key_set: "unavailable" };

export type CheckReadiness = (request: RequestScope) => Promise<Parts>;

/** Checks nothing: the Worker runs. */
export const getHealth = (): Response => Response.json({ status: "ok" }, { headers: HEADERS });

/** 200 if everything that is checked is there, else 503; names the part, not the cause. Without settings there is no check. */
export async function getReadiness(c: Context<AppEnv>, check: CheckReadiness | undefined): Promise<Response> {
  const request = c.get("request");
  request.timeoutMs = CHECK_TIMEOUT_MS;
  const parts = check === undefined ? { settings: "misconfigured" } : await check(request);
  const isReady = Object.values(parts).every((state) => state === "ok" || state === "not_checked");
  if (isReady) return Response.json({ status: "ready", ...parts }, { headers: HEADERS });
  Object.assign(request.notes, { code: "not_ready", why: JSON.stringify(parts) });
  const headers = { ...HEADERS, "retry-after": String(MEMORY_SECONDS) };
  return Response.json({ status: "not_ready", ...parts }, { status: 503, headers });
}

/**
 * Returns a check of each part, at most ten seconds old. /ready needs no token, so it may neither load the database nor keep it
 * awake: only READY_CHECKS_DATABASE lets it send a query, one at a time. A key set is `ok` if usable keys are at hand, whether or
 * not the issuer could be reached now.
 */
export function createReadinessCheck(settings: Settings, store: CrewRunStore, getKeys: GetKeys): CheckReadiness {
  const flight = new SingleFlight(CHECK_TIMEOUT_MS);
  let parts = UNKNOWN;
  let checkedMs = Number.NEGATIVE_INFINITY;

  return async (request) => {
    if (isRecent(checkedMs, MEMORY_SECONDS * 1_000)) return parts;
    await flight.run(async () => {
      // In case this check is cut off: what an earlier one found may be hours old.
      parts = UNKNOWN;
      const probe = settings.READY_CHECKS_DATABASE ? store.probe(request) : undefined;
      const [database, keys] = await Promise.allSettled([probe, getKeys("check", request)]);
      parts = { database: probe === undefined ? "not_checked" : stateOf(database), key_set: stateOf(keys) };
      checkedMs = Date.now();
    });
    return parts;
  };
}

const stateOf = ({ status }: PromiseSettledResult<unknown>) => (status === "fulfilled" ? "ok" : "unavailable");
