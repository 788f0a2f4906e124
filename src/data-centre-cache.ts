// The cache that the isolates of a data centre share, where there is one: an optimisation, never a dependency, so nothing
// here fails and a broken cache is an empty one.
// Its entries lie in a cache of their own, which neither `fetch` nor the zone uses, under a path that no route serves.
import { isRecent } from "./clock.ts";

const CACHE_NAME = "crew-runs";
/** A look-up that fails costs a third of a request; where there is no cache, each one would. */
const PAUSE_AFTER_FAILURE_MS = 60_000;
const TIMEOUT_MS = 400;

export interface Copy {
  headers: Headers;
  body: Uint8Array;
}

export class DataCentreCache {
  readonly #base: string;
  #failedMs = Number.NEGATIVE_INFINITY;

  /** `origin` is the Worker's own: a host that does not resolve would cost each look-up a DNS failure. */
  constructor(origin: string) {
    this.#base = `${origin}/.crew-runs/`;
  }

  /** Gives the entry under `path`, read to its end, or undefined. `path` must be URL-safe. */
  async read(path: string): Promise<Copy | undefined> {
    return this.#use(async (cache) => {
      const copy = await cache.match(this.#base + path);
      return copy && { headers: copy.headers, body: await copy.bytes() };
    });
  }

  /** Keeps a body under `path` for at most `maxAgeSeconds`. */
  async write(path: string, body: BodyInit, headers: Record<string, string>, maxAgeSeconds: number): Promise<void> {
    const kept = new Response(body, {
      headers: { ...headers, "cache-control": `max-age=${Math.floor(maxAgeSeconds)}` },
    });
    await this.#use((cache) => cache.put(this.#base + path, kept));
  }

  async #use<T>(use: (cache: Cache) => Promise<T>): Promise<T | undefined> {
    if (isRecent(this.#failedMs, PAUSE_AFTER_FAILURE_MS)) return undefined;
    const giveUp = scheduler.wait(TIMEOUT_MS).then(() => Promise.reject(new Error("no answer in time")));
    try {
      return await Promise.race([caches.open(CACHE_NAME).then(use), giveUp]);
    } catch {
      this.#failedMs = Date.now();
      return undefined;
    }
  }
}
