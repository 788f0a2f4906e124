// The data centre's cache where there is one (not on workers.dev, not in a bare runtime): an optimisation, never a
// dependency, so nothing here fails and a broken cache is an empty one.
// Keys are URLs of a host that cannot be requested, so that no request from outside ever meets them.

const HOST = "https://crew-run-reader.invalid/";
/** A look-up that fails costs a third of a request; where there is no cache, each one would. */
const PAUSE_AFTER_FAILURE_MS = 60_000;
const LOOK_UP_TIMEOUT_MS = 400;

let pausedUntilMs = 0;

/** `path` must be URL-safe. Gives the entry, read to its end, or undefined. */
export async function readShared(path: string): Promise<{ headers: Headers; body: Uint8Array } | undefined> {
  if (Date.now() < pausedUntilMs) return undefined;
  try {
    return await Promise.race([lookUp(path), giveUp()]);
  } catch {
    pausedUntilMs = Date.now() + PAUSE_AFTER_FAILURE_MS;
    return undefined;
  }
}

async function lookUp(path: string) {
  const kept = await caches.default.match(HOST + path);
  return kept && { headers: kept.headers, body: await kept.bytes() };
}

async function giveUp(): Promise<never> {
  await scheduler.wait(LOOK_UP_TIMEOUT_MS);
  throw new Error("no answer in time");
}

/** Keeps a body under a path for at most `maxAgeSeconds`. */
export async function writeShared(
  path: string,
  body: BodyInit,
  headers: Record<string, string>,
  maxAgeSeconds: number,
): Promise<void> {
  if (Date.now() < pausedUntilMs) return;
  try {
    const kept = { ...headers, "cache-control": `max-age=${Math.floor(maxAgeSeconds)}` };
    await caches.default.put(HOST + path, new Response(body, { headers: kept }));
  } catch {
    // Without a cache there is nothing to keep.
  }
}
