// Whether this Worker can reach what it needs. The answer is remembered for a short time, and one request at a time asks, so
// that nobody can use it to load the database or to keep it awake.
import type { KeySet } from "./auth/key-set.ts";
import { isRecent } from "./clock.ts";
import type { CrewRunStore } from "./crew-runs/store.ts";
import { SingleFlight } from "./single-flight.ts";
import type { Trace } from "./trace.ts";

export const READINESS_MEMORY_SECONDS = 10;
/** One attempt of the database and one of the key set, each bounded by itself. */
const CHECK_TIMEOUT_MS = 9_500;

/** Gives a check that says of each part whether it is `ok` or `unavailable`, as it was at most ten seconds ago. */
export function createReadinessCheck(store: CrewRunStore, keySet: KeySet) {
  const flight = new SingleFlight();
  let parts = { database: "unavailable", key_set: "unavailable" };
  let checkedMs = Number.NEGATIVE_INFINITY;

  return async (trace: Trace): Promise<typeof parts> => {
    if (isRecent(checkedMs, READINESS_MEMORY_SECONDS * 1_000)) return parts;
    // Others wait for it: it goes on when its own client leaves, because every request is held to its end (request.ts).
    await flight.run(async () => {
      const probeKeys = keySet.get(trace).then(() => keySet.refresh(trace));
      const tries = await Promise.allSettled([store.probe(trace), probeKeys]);
      const [database = "", key_set = ""] = tries.map(({ status }) => (status === "fulfilled" ? "ok" : "unavailable"));
      parts = { database, key_set };
      checkedMs = Date.now();
    }, CHECK_TIMEOUT_MS);
    return parts;
  };
}
