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

export interface ReachableParts {
  database: "ok" | "unavailable";
  key_set: "ok" | "unavailable";
}

export class Readiness {
  readonly #keySet: KeySet;
  readonly #store: CrewRunStore;
  readonly #flight = new SingleFlight();
  #parts: ReachableParts = { database: "unavailable", key_set: "unavailable" };
  #checkedMs = Number.NEGATIVE_INFINITY;

  constructor(keySet: KeySet, store: CrewRunStore) {
    this.#keySet = keySet;
    this.#store = store;
  }

  /** Says what can be reached, as it was at most ten seconds ago. */
  async check(trace: Trace): Promise<ReachableParts> {
    if (!isRecent(this.#checkedMs, READINESS_MEMORY_SECONDS * 1_000)) {
      const check = this.#flight.run(async () => {
        const [database, keys] = await Promise.allSettled([this.#store.probe(trace), this.#checkKeySet(trace)]);
        const state = ({ status }: { status: string }) => (status === "fulfilled" ? "ok" : "unavailable");
        this.#parts = { database: state(database), key_set: state(keys) };
        this.#checkedMs = Date.now();
      }, CHECK_TIMEOUT_MS);
      // Others wait for it: it goes on when its own client leaves.
      trace.finishLater(check);
      await check;
    }
    return this.#parts;
  }

  async #checkKeySet(trace: Trace): Promise<void> {
    await this.#keySet.get(trace);
    if (this.#keySet.isOverdue) await this.#keySet.refresh(trace);
  }
}
