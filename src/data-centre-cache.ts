// The cache that the isolates of a data centre share, where there is one. It is an optimisation: nothing here throws, and a
// broken cache acts like an empty one.
// Its entries lie in a cache of their own, which neither `fetch` nor the zone uses, under a path that no route serves.
import { isRecent } from "./clock.ts";

const CACHE_NAME = "crew-runs";
/** A failing look-up costs a third of a request; where there is no cache, every request would pay for one. */
const PAUSE_AFTER_FAILURE_MS = 60_000;
const TIMEOUT_MS = 400;

export type DataCentreCache = ReturnType<typeof createDataCentreCache>;

/** `origin` is the Worker's own: a host that does not resolve would cost each look-up a DNS failure. */
export function createDataCentreCache(origin: string) {
  const base = `${origin}/.crew-runs/`;
  let failedMs = Number.NEGATIVE_INFINITY;

  async function attempt<T>(task: (cache: Cache) => Promise<T>): Promise<T | undefined> {
    if (isRecent(failedMs, PAUSE_AFTER_FAILURE_MS)) return undefined;
    try {
      const use = caches.open(CACHE_NAME).then(task);
      const giveUp = scheduler.wait(TIMEOUT_MS).then(() => Promise.reject(new Error("no answer in time")));
      return await Promise.race([use, giveUp]);
    } catch {
      failedMs = Date.now();
      return undefined;
    }
  }

  return {
    /** Gives what `parse` makes of the entry under `path`, or undefined. `path` must be URL-safe. */
    read: async <T>(path: string, parse: (headers: Headers, body: Uint8Array) => T) =>
      attempt(async (cache) => {
        const entry = await cache.match(base + path);
        return entry && parse(entry.headers, await entry.bytes());
      }),
    /** Keeps a body under `path` for at most `maxAgeSeconds`. */
    async write(path: string, body: BodyInit, headers: HeadersInit, maxAgeSeconds: number): Promise<void> {
      const entry = new Response(body, { headers });
      entry.headers.set("cache-control", `max-age=${Math.floor(maxAgeSeconds)}`);
      await attempt((cache) => cache.put(base + path, entry));
    },
  };
}
