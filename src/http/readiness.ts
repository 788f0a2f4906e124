// Whether this Worker has what it needs, remembered for ten seconds. /ready needs no token, so it may neither load the database
// nor keep it awake: only READY_CHECKS_DATABASE lets it send a query, one at a time.
import type { KeySet } from "../auth/key-set.ts";
import type { CrewRunStore } from "../crew-runs/postgres/store.ts";
import { isRecent } from "../isolate/clock.ts";
import { SingleFlight } from "../isolate/single-flight.ts";
import type { Settings } from "../settings.ts";
import type { Trace } from "../trace.ts";

export const READINESS_MEMORY_SECONDS = 10;
/** One attempt of the database and one of the key set, each bounded by itself. */
const CHECK_TIMEOUT_MS = 9_500;

/**
 * Returns a check of each part, at most ten seconds old: `ok`, `unavailable` or `not_checked`. A key set is `ok` if usable keys
 * are at hand, whether or not the issuer could be reached now.
 */
export function createReadinessCheck({ READY_CHECKS_DATABASE }: Settings, store: CrewRunStore, keySet: KeySet) {
  const flight = new SingleFlight();
  let parts = { database: "unavailable", key_set: "unavailable" };
  let checkedMs = Number.NEGATIVE_INFINITY;

  return async (trace: Trace): Promise<typeof parts> => {
    if (isRecent(checkedMs, READINESS_MEMORY_SECONDS * 1_000)) return parts;
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
