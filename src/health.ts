// Whether this Worker runs, and whether it can reach what it needs. Readiness is answered from a short memory and asked by
// one request at a time: it must be no lever to load, or to keep awake, the database.
import type { KeySet } from "./auth/key-set.ts";
import type { CrewRunStore } from "./crew-runs/store.ts";
import type { Exchange } from "./exchange.ts";
import { SingleFlight } from "./single-flight.ts";

const MEMORY_MS = 10_000;
/** One attempt of the database and one of the key set, each bounded by itself. */
const CHECK_TIMEOUT_MS = 9_500;
const HEADERS = { "content-type": "application/json", "cache-control": "no-store" };

type PartState = "ok" | "unavailable";

export class Readiness {
  readonly #flight = new SingleFlight();
  #checkedMs = Number.NEGATIVE_INFINITY;
  #database: PartState = "unavailable";
  #keySet: PartState = "unavailable";

  /** 200 where both can be reached, else 503; says which, not why. */
  async answer(exchange: Exchange, store: CrewRunStore, keySet: KeySet): Promise<Response> {
    if (Date.now() - this.#checkedMs >= MEMORY_MS) {
      const check = this.#flight.run(async () => {
        const [database, keys] = await Promise.all([
          store.probe(exchange),
          keySet.search(async () => "found", exchange),
        ]);
        this.#database = database.ok ? "ok" : "unavailable";
        this.#keySet = keys.ok ? "ok" : "unavailable";
        this.#checkedMs = Date.now();
      }, CHECK_TIMEOUT_MS);
      // Others wait for it: it goes on when its own client leaves.
      exchange.finishLater(check);
      await check;
    }
    const isReady = this.#database === "ok" && this.#keySet === "ok";
    return answerReadiness(exchange, isReady, { database: this.#database, key_set: this.#keySet });
  }
}

export function answerReadiness(exchange: Exchange, isReady: boolean, parts: Record<string, string>): Response {
  if (!isReady) exchange.note({ code: "not_ready", why: JSON.stringify(parts) });
  const body = JSON.stringify({ status: isReady ? "ready" : "not_ready", ...parts });
  const retry: Record<string, string> = isReady ? {} : { "retry-after": String(MEMORY_MS / 1_000) };
  return exchange.answer(isReady ? 200 : 503, body, { ...HEADERS, ...retry });
}

/** Touches nothing: it says that the Worker runs. */
export function answerHealth(exchange: Exchange): Response {
  return exchange.answer(200, JSON.stringify({ status: "ok" }), { ...HEADERS });
}
