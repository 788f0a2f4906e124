// The cache that the isolates of a data center share, if there is one. It is an optimisation: nothing here throws, and a
// broken cache acts like an empty one. Its entries lie in a named cache, which neither `fetch` nor the zone uses.
import { isRecent, within } from "./clock.ts";

const CACHE_NAME = "crew-runs";
/** A failing look-up costs a third of a request; without this, every request would pay for it. */
const PAUSE_AFTER_FAILURE_MS = 60_000;
const READ_TIMEOUT_MS = 400;

export type DataCenterCache = ReturnType<typeof createDataCenterCache>;

export function createDataCenterCache() {
  let failedMs = Number.NEGATIVE_INFINITY;
  // Asynchronous, so that a platform without the cache rejects and doesn't throw.
  const open = async () => caches.open(CACHE_NAME);
  /** Under the Worker's own origin: a host that doesn't resolve would cost each look-up a DNS failure. */
  const addressOf = (path: string) => `${cache.origin}/.crew-runs/${path}`;

  const cache = {
    /** The Worker's own origin. Until it is set, the cache is as if empty. */
    origin: "",

    /** Returns what `parse` makes of the entry under `path`; undefined if it throws. `path` must be URL-safe. */
    async read<T>(path: string, parse: (headers: Headers, body: Uint8Array) => T): Promise<T | undefined> {
      if (cache.origin === "" || isRecent(failedMs, PAUSE_AFTER_FAILURE_MS)) return undefined;
      try {
        const matched = open().then((opened) => opened.match(addressOf(path)));
        const parsed = matched.then(async (entry) => entry && parse(entry.headers, await entry.bytes()));
        return await within(READ_TIMEOUT_MS, parsed);
      } catch {
        failedMs = Date.now();
        return undefined;
      }
    },

    /** Stores a body under `path` for at most `maxAgeSeconds`. No response waits for it, so it may be slow. */
    async write(path: string, body: BodyInit, headers: HeadersInit, maxAgeSeconds: number): Promise<void> {
      if (cache.origin === "") return;
      const entry = new Response(body, { headers });
      entry.headers.set("cache-control", `max-age=${Math.floor(maxAgeSeconds)}`);
      const written = open().then((opened) => opened.put(addressOf(path), entry));
      // The next read of the run or of the key set writes it again.
      await written.catch(() => {});
    },
  };
  return cache;
}
