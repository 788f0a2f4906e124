// The cache that the isolates of a data center share, if there is one. It is an optimization: nothing here throws, and a broken
// cache acts like an empty one. Its entries are in a named cache, which neither `fetch` nor the zone uses.
//
// Entries are stored under the origin of the request that reads or writes them: a host that doesn't resolve would cost each lookup
// a DNS failure, and only requests tell which hosts the Worker has. The origin comes with the request (request.ts). Two hosts
// of one Worker have two sets of entries.
import { isRecent, within } from "./clock.ts";

const CACHE_NAME = "crew-runs";
const LOOKUP_TIMEOUT_MS = 400;
const BODY_TIMEOUT_MS = 400;
/** After a lookup that failed or was slow, there is none for this long: otherwise every request would pay for it. */
const PAUSE_MS = 60_000;

export interface DataCenterCache {
  /**
   * Returns what `parse` makes of the entry under `path`; undefined if there is none, if `parse` throws, or if the cache is
   * broken. `path` must be URL-safe. An empty origin has no entries.
   */
  read<T>(origin: string, path: string, parse: (headers: Headers, body: Uint8Array) => T): Promise<T | undefined>;
  /** Stores a body under `path` for at most `maxAgeSeconds`. No response waits for it, so it may be slow. */
  write(origin: string, path: string, body: BodyInit, headers: HeadersInit, maxAgeSeconds: number): Promise<void>;
}

export function createDataCenterCache(): DataCenterCache {
  let failedMs = Number.NEGATIVE_INFINITY;
  // Asynchronous, so that a platform without the cache rejects and doesn't throw.
  const open = async () => caches.open(CACHE_NAME);
  const addressOf = (origin: string, path: string) => `${origin}/.crew-runs/${path}`;

  return {
    async read(origin, path, parse) {
      if (origin === "" || isRecent(failedMs, PAUSE_MS)) return undefined;
      const lookup = open().then((cache) => cache.match(addressOf(origin, path)));
      const entry = await within(LOOKUP_TIMEOUT_MS, lookup).catch(() => void (failedMs = Date.now()));
      try {
        return entry && parse(entry.headers, await within(BODY_TIMEOUT_MS, entry.bytes()));
      } catch {
        // A miss of this entry alone, whether it is slow or can't be parsed: the read that follows replaces it.
        return undefined;
      }
    },

    async write(origin, path, body, headers, maxAgeSeconds) {
      const entry = new Response(body, { headers });
      entry.headers.set("cache-control", `max-age=${Math.floor(maxAgeSeconds)}`);
      const written = open().then((cache) => cache.put(addressOf(origin, path), entry));
      // The next read of the run or of the key set writes it again. Without an origin the address is no URL, and the write fails.
      await written.catch(() => {});
    },
  };
}
