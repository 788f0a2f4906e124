// The issuer's key set, as this isolate knows it: when it is fetched, and how long it serves. Keys are refreshed ahead of
// need; they serve through an outage for a bounded time; fetches are rate-limited after success and after failure, so that
// made-up key ids and outages cost the issuer a request every few seconds at most. Which key fits a token is jose's business.
import { type JWTVerifyGetKey, createLocalJWKSet } from "jose";
import { readText } from "../bounded-text.ts";
import { isRecent } from "../clock.ts";
import type { DataCentreCache } from "../data-centre-cache.ts";
import { Failure } from "../failure.ts";
import type { Settings } from "../settings.ts";
import { SingleFlight } from "../single-flight.ts";
import type { Trace } from "../trace.ts";
import { readKeySet } from "./json-web-key-set.ts";

const FRESH_MS = 600_000;
/** Keys that are due within this time are refreshed behind the next request, which does not wait. */
const AHEAD_MS = 120_000;
/** After a successful fetch, an unknown key id starts no other for this long: a new key may be refused until then. */
const COOLDOWN_MS = 10_000;
/** The pause after a failed fetch: so late may we notice that the issuer is back. */
const BACKOFF_MS = 3_000;
/** For this long after a failed fetch overdue keys serve at once: no request waits for an issuer that is known to fail. */
const FAILURE_MEMORY_MS = 60_000;
const FETCH_TIMEOUT_MS = 3_000;
/** Longer than FETCH_TIMEOUT_MS, so that a fetch ends by itself first. */
const FLIGHT_TIMEOUT_MS = 4_000;
/** How long a request waits for overdue keys to be refreshed, before the known keys decide. */
const PATIENCE_MS = 1_000;
/** Large sets with certificate chains are about 50 KB. */
const MAX_REPLY_BYTES = 262_144;

/** The keys of one state of the set: a function that finds a token's key. Another state is another function. */
export type Keys = JWTVerifyGetKey;

export type KeySet = ReturnType<typeof createKeySet>;

export function createKeySet(settings: Settings, cache: DataCentreCache) {
  const { JWKS_URL, JWKS_MAX_STALE_SECONDS, JWT_ALGORITHMS } = settings;
  const cachePath = `key-set/${encodeURIComponent(JWKS_URL)}`;
  const flight = new SingleFlight();
  let learned: { text: string; keys: Keys; fetchedMs: number } | undefined;
  let lastFetch: { endedMs: number; failure?: string } | undefined;

  /** What was learned, while it may still serve. */
  const known = () => (learned && isRecent(learned.fetchedMs, JWKS_MAX_STALE_SECONDS * 1_000) ? learned : undefined);

  /**
   * Whether the keys at hand must be refreshed before an answer leaves. Not while the issuer is known to fail: then the bound on
   * staleness decides. Without this, a withdrawn key would get in wherever nobody had asked for a while.
   */
  function areOverdue(): boolean {
    const isFailing = lastFetch?.failure !== undefined && isRecent(lastFetch.endedMs, FAILURE_MEMORY_MS);
    const keys = known();
    return keys !== undefined && !isRecent(keys.fetchedMs, FRESH_MS) && !isFailing;
  }

  /**
   * The keys at hand; the first time, those of the data centre's copy or of the issuer. Starts a refresh ahead of need, and
   * does not wait for it; overdue keys are the caller's to `refresh`. Fails with `key_set_unavailable`.
   */
  async function get(trace: Trace): Promise<Keys> {
    if (known() === undefined) await load(trace);
    const keys = known();
    if (keys === undefined) throw unavailable();
    const isDue = !isRecent(keys.fetchedMs, FRESH_MS - AHEAD_MS);
    if (isDue && !areOverdue() && !flight.isBusy) trace.finishLater(fetchKeys(trace));
    // The log shows an outage before the keys run out.
    if (lastFetch?.failure !== undefined) trace.notes.key_set = lastFetch.failure;
    return keys.keys;
  }

  /** Waits until overdue keys are refreshed, for a second at most. */
  async function refresh(trace: Trace): Promise<void> {
    if (areOverdue()) await Promise.race([fetchKeys(trace), scheduler.wait(PATIENCE_MS)]);
  }

  /**
   * Keys that came after `keys`, for a token whose key is not among those; undefined where there are none. Fails with
   * `key_set_unavailable` where the key may be one that an outage hides: an outage is never the client's fault.
   */
  async function getNewer(keys: Keys, trace: Trace): Promise<Keys | undefined> {
    await fetchKeys(trace);
    const newest = known()?.keys;
    if (newest === undefined || (newest === keys && lastFetch?.failure !== undefined)) throw unavailable();
    return newest === keys ? undefined : newest;
  }

  const unavailable = () => new Failure("key_set_unavailable", { why: lastFetch?.failure ?? "no key set" });

  /** Takes the data centre's copy, or else fetches. An overdue copy is refreshed like any overdue set. */
  async function load(trace: Trace): Promise<void> {
    const copy = await cache.read(cachePath, (headers, body) => ({ headers, body }));
    // Meanwhile another request may have fetched what is newer than the copy.
    if (copy !== undefined && known() === undefined) {
      try {
        learn(new TextDecoder().decode(copy.body), Number(copy.headers.get("x-fetched-ms")));
      } catch {
        // The copy was kept under other settings, and is of no use here.
      }
    }
    if (known() === undefined) await fetchKeys(trace);
  }

  async function fetchKeys(trace: Trace): Promise<void> {
    const pauseMs = lastFetch?.failure === undefined ? COOLDOWN_MS : BACKOFF_MS;
    if (!flight.isBusy && lastFetch !== undefined && isRecent(lastFetch.endedMs, pauseMs)) return;
    const work = flight.run(async () => {
      try {
        const text = await fetchText(JWKS_URL);
        learn(text, Date.now());
        lastFetch = { endedMs: Date.now() };
        trace.notes.key_set = "fetched";
        const headers = { "x-fetched-ms": String(Date.now()) };
        trace.finishLater(cache.write(cachePath, text, headers, JWKS_MAX_STALE_SECONDS));
      } catch (cause) {
        lastFetch = { endedMs: Date.now(), failure: String(cause) };
        trace.notes.key_set = String(cause);
      }
    }, FLIGHT_TIMEOUT_MS);
    // The fetch serves others too: it goes on when its own client leaves.
    trace.finishLater(work);
    await work;
  }

  function learn(text: string, fetchedMs: number): void {
    const keys = learned?.text === text ? learned.keys : createLocalJWKSet(readKeySet(text, JWT_ALGORITHMS));
    learned = { text, keys, fetchedMs };
  }

  return { areOverdue, get, refresh, getNewer };
}

/** Redirects are not followed: whoever can redirect could name other keys. */
async function fetchText(url: string): Promise<string> {
  const headers = { accept: "application/jwk-set+json, application/json" };
  const signal = AbortSignal.timeout(FETCH_TIMEOUT_MS);
  const response = await fetch(url, { redirect: "manual", headers, signal });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`the key endpoint answered ${response.status}`);
  }
  let leftBytes = MAX_REPLY_BYTES;
  return readText(response, (bytes) => {
    leftBytes -= bytes;
    if (leftBytes < 0) throw new Error(`the reply is larger than ${MAX_REPLY_BYTES} bytes`);
  });
}
