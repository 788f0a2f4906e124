// GET /health and GET /ready: whether this Worker runs, and whether it has what it needs. Neither needs a token, so neither may
// load the database or keep it awake: only READY_CHECKS_DATABASE lets /ready query it, at most once in ten seconds.
import type { Context } from "hono";
import type { KeySet } from "../auth/key-set.ts";
import type { CrewRunStore } from "../crew-runs/postgres/store.ts";
import type { AppEnv } from "../env.ts";
import { isRecent } from "../isolate/clock.ts";
import { SingleFlight } from "../isolate/single-flight.ts";
import type { Settings } from "../settings.ts";
import type { Trace } from "../trace.ts";

const MEMORY_SECONDS = 10;
/** One attempt of the database and one of the key set, each bounded by itself. */
const CHECK_TIMEOUT_MS = 9_500;
const HEADERS = { "cache-control": "no-store" };

/** Checks nothing: the Worker runs. */
export const getHealth = (): Response => Response.json({ status: "ok" }, { headers: HEADERS });

/** 200 if everything that is checked is there, else 503; names the part, not the cause. */
export async function getReadiness(c: Context<AppEnv>): Promise<Response> {
  const [start, trace] = [c.get("start"), c.get("trace")];
  const parts = start.ok ? await start.service.checkReadiness(trace) : { settings: "misconfigured" };
  const isReady = Object.values(parts).every((state) => state === "ok" || state === "not_checked");
  if (isReady) return Response.json({ status: "ready", ...parts }, { headers: HEADERS });
  Object.assign(trace.notes, { code: "not_ready", why: JSON.stringify(parts) });
  const headers = { ...HEADERS, "retry-after": String(MEMORY_SECONDS) };
  return Response.json({ status: "not_ready", ...parts }, { status: 503, headers });
}

/**
 * Returns a check of each part, at most ten seconds old: `ok`, `unavailable` or `not_checked`. A key set is `ok` if usable keys
 * are at hand, whether or not the issuer could be reached now.
 */
export function createReadinessCheck({ READY_CHECKS_DATABASE }: Settings, store: CrewRunStore, keySet: KeySet) {
  const flight = new SingleFlight();
  let parts = { database: "unavailable", key_set: "unavailable" };
  let checkedMs = Number.NEGATIVE_INFINITY;

  return async (trace: Trace): Promise<typeof parts> => {
    if (isRecent(checkedMs, MEMORY_SECONDS * 1_000)) return parts;
    await flight.run(async () => {
      const probe = READY_CHECKS_DATABASE ? store.probe(trace) : undefined;
      const [database, keys] = await Promise.allSettled([probe, keySet.get(trace)]);
      parts = { database: probe === undefined ? "not_checked" : stateOf(database), key_set: stateOf(keys) };
      checkedMs = Date.now();
    }, CHECK_TIMEOUT_MS);
    return parts;
  };
}

const stateOf = ({ status }: PromiseSettledResult<unknown>) => (status === "fulfilled" ? "ok" : "unavailable");
