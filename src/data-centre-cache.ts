// The data centre's cache where there is one (not on workers.dev, not in a bare runtime): an optimisation, never a
// dependency, so nothing here fails and a broken cache is an empty one.
// Keys are URLs of a host that cannot be requested, so that no request from outside ever meets them.

const HOST = "https://crew-run-reader.invalid/";

/** `path` must be URL-safe. Gives the entry, or undefined. */
export async function readShared(path: string): Promise<Response | undefined> {
  try {
    return await caches.default.match(HOST + path);
  } catch {
    return undefined;
  }
}

/** Keeps a body under a path for at most `maxAgeSeconds`. */
export async function writeShared(
  path: string,
  body: BodyInit,
  headers: Record<string, string>,
  maxAgeSeconds: number,
): Promise<void> {
  try {
    const kept = { ...headers, "cache-control": `max-age=${Math.floor(maxAgeSeconds)}` };
    await caches.default.put(HOST + path, new Response(body, { headers: kept }));
  } catch {
    // Without a cache there is nothing to keep.
  }
}
