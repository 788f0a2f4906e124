// Whether this Worker can reach what it needs. The answer comes from a short memory, and one request at a time asks: it must
// be no lever to load the database, or to keep it awake.
import type { KeySet } from "./auth/key-set.ts";
import { isRecent } from "./clock.ts";
import type { CrewRunStore } from "./crew-runs/store.ts";
import { SingleFlight } from "./single-flight.ts";
import type { Trace } from "./trace.ts";

export const READINESS_MEMORY_SECONDS = 10;
/** One attempt of the database and one of the key set, each bounded by itself. */
const CHECK_TIMEOUT_MS = 9_500;

export class Readiness {
  readonly #store: CrewRunStore;
  readonly #keySet: KeySet;
  readonly #flight = new SingleFlight();
  #parts: Record<"database" | "key_set", string> = { database: "unavailable", key_set: "unavailable" };
  #checkedMs = Number.NEGATIVE_INFINITY;

  constructor(store: CrewRunStore, keySet: KeySet) {
    this.#store = store;
    this.#keySet = keySet;
  }

  /** Says of each part whether it is `ok` or `unavailable`, as it was at most ten seconds ago. */
  async check(trace: Trace): Promise<Record<string, string>> {
    if (isRecent(this.#checkedMs, READINESS_MEMORY_SECONDS * 1_000)) return this.#parts;
    // Others wait for it: it goes on when its own client leaves, because every request is held to its end (request.ts).
    await this.#flight.run(async () => {
      const tries = await Promise.allSettled([this.#store.probe(trace), this.#keySet.getFresh(trace)]);
      const [database = "", key_set = ""] = tries.map(({ status }) => (status === "fulfilled" ? "ok" : "unavailable"));
      this.#parts = { database, key_set };
      this.#checkedMs = Date.now();
    }, CHECK_TIMEOUT_MS);
    return this.#parts;
  }
}
