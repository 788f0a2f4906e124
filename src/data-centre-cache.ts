// The cache that the isolates of a data centre share, where there is one: an optimisation, never a dependency, so nothing
// here fails and a broken cache is an empty one.
// Its entries lie in a cache of their own, which neither `fetch` nor the zone uses, under a path that no route serves.
import { isRecent } from "./clock.ts";

const CACHE_NAME = "crew-runs";
/** A look-up that fails costs a third of a request; where there is no cache, each one would. */
const PAUSE_AFTER_FAILURE_MS = 60_000;
const LOOK_UP_TIMEOUT_MS = 400;

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
    if (isRecent(this.#failedMs, PAUSE_AFTER_FAILURE_MS)) return undefined;
    try {
      return await Promise.race([this.#lookUp(path), giveUp()]);
    } catch {
      this.#failedMs = Date.now();
      return undefined;
    }
  }

  /** Keeps a body under `path` for at most `maxAgeSeconds`. */
  async write(path: string, body: BodyInit, headers: Record<string, string>, maxAgeSeconds: number): Promise<void> {
    if (isRecent(this.#failedMs, PAUSE_AFTER_FAILURE_MS)) return;
    try {
      const cache = await caches.open(CACHE_NAME);
      const kept = { ...headers, "cache-control": `max-age=${Math.floor(maxAgeSeconds)}` };
      await cache.put(this.#base + path, new Response(body, { headers: kept }));
    } catch {
      // Without a cache there is nothing to keep.
    }
  }

  async #lookUp(path: string): Promise<Copy | undefined> {
    const cache = await caches.open(CACHE_NAME);
    const copy = await cache.match(this.#base + path);
    return copy && { headers: copy.headers, body: await copy.bytes() };
  }
}

async function giveUp(): Promise<never> {
  await scheduler.wait(LOOK_UP_TIMEOUT_MS);
  throw new Error("no answer in time");
}
