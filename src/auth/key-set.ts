// The issuer's key set, as this isolate knows it: when it is fetched, and how long it serves. Keys by their age:
//   fresh  under 8 minutes                     a request uses them
//   due    under 10 minutes                    a request uses them and starts a refetch, but doesn't wait for it
//   stale  overdue, to JWKS_MAX_STALE_SECONDS  a response waits for the refetch; until then no signature is refused
//   gone   older                               a request waits for a fetch, or fails
// Fetches are rate-limited after success and after failure: made-up key ids and outages cost the issuer one request every few
// seconds. Which key fits a token is jose's business.
import { type JWTVerifyGetKey, createLocalJWKSet } from "jose";
import { Failure } from "../failure.ts";
import { readText } from "../isolate/bounded-text.ts";
import { isRecent } from "../isolate/clock.ts";
import type { DataCenterCache } from "../isolate/data-center-cache.ts";
import { digestText } from "../isolate/digest.ts";
import { SingleFlight } from "../isolate/single-flight.ts";
import type { Settings } from "../settings.ts";
import type { Trace } from "../trace.ts";
import { readKeySet } from "./json-web-key-set.ts";
import { KEY_SET_MAX_BYTES, KEY_SET_REQUEST, KEY_SET_TIMEOUT_MS } from "./key-set-request.ts";

const DUE_MS = 480_000;
const STALE_MS = 600_000;
/** After a successful fetch, an unknown key id starts no other for this long: a new key may be refused until then. */
const COOLDOWN_MS = 10_000;
/** The pause after a failed fetch, and so the longest that a recovered issuer goes unnoticed. */
const BACKOFF_MS = 3_000;
/** For this long after a failed fetch no response waits for the refetch of stale keys. */
const FAILURE_MEMORY_MS = 60_000;
/** Longer than KEY_SET_TIMEOUT_MS, so that a fetch ends by itself first. */
const FLIGHT_TIMEOUT_MS = 4_000;
/** How long a response waits for the refetch of stale keys, before the known keys decide. */
const PATIENCE_MS = 1_000;

/** The keys of one state of the set: a function that finds a token's key. Another state is another function. */
export type Keys = JWTVerifyGetKey;

export type KeySet = ReturnType<typeof createKeySet>;

export function createKeySet(settings: Settings, cache: DataCenterCache) {
  const { DATABASE_URL, JWKS_URL, JWKS_MAX_STALE_SECONDS, JWT_ALGORITHMS } = settings;
  const flight = new SingleFlight();
  let learned: { text: string; keys: Keys; fetchedMs: number } | undefined;
  let lastFetch: { endedMs: number; failure?: string } | undefined;

  /** What was learned, until it is gone. */
  const known = () => (learned && isRecent(learned.fetchedMs, JWKS_MAX_STALE_SECONDS * 1_000) ? learned : undefined);

  const isOlderThan = (ageMs: number) => learned !== undefined && !isRecent(learned.fetchedMs, ageMs);
  const areStale = (): boolean => isOlderThan(STALE_MS);

  const isFailing = () => lastFetch?.failure !== undefined && isRecent(lastFetch.endedMs, FAILURE_MEMORY_MS);
  /** Whether a response must wait for the refetch of stale keys. Without this, a withdrawn key would get in after a quiet time. */
  const mustConfirm = () => areStale() && !isFailing();

  /**
   * Returns the keys at hand, stale ones included; the first time, those of the data center's copy or of the issuer. Fails with
   * `key_set_unavailable`.
   */
  async function get(trace: Trace): Promise<Keys> {
    if (known() === undefined) await load(trace);
    const current = known();
    if (current === undefined) throw unavailable();
    if (isOlderThan(DUE_MS) && !mustConfirm() && !flight.isBusy) trace.finishLater(fetchKeys(trace));
    // The log shows an outage before the keys run out.
    if (lastFetch?.failure !== undefined) trace.notes.key_set = lastFetch.failure;
    return current.keys;
  }

  /** Refetches the keys, and waits for a second at most. */
  const refetch = async (trace: Trace) => Promise.race([fetchKeys(trace), scheduler.wait(PATIENCE_MS)]);

  /**
   * Returns keys newer than `keys`, which didn't verify a token; undefined if there are none. Fails with `key_set_unavailable`
   * if an outage may hide the token's key: an outage is never the client's fault.
   */
  async function getNewer(keys: Keys, trace: Trace): Promise<Keys | undefined> {
    await fetchKeys(trace);
    const newest = known()?.keys;
    // Whether the issuer has just published these very keys: the fetch may have failed, or been cut off with its request.
    const isConfirmed = lastFetch?.failure === undefined && isRecent(lastFetch?.endedMs ?? NaN, COOLDOWN_MS);
    if (newest === undefined || (newest === keys && !isConfirmed)) throw unavailable();
    return newest === keys ? undefined : newest;
  }

  const unavailable = () => new Failure("key_set_unavailable", { why: lastFetch?.failure ?? "no key set" });

  /** Takes the data center's copy, or else fetches. A stale copy is refetched like any stale set. */
  async function load(trace: Trace): Promise<void> {
    await cache.read(await pathOfCopy(), (headers, body) => {
      // Meanwhile another request may have fetched a newer set.
      if (known() === undefined) learn(new TextDecoder().decode(body), Number(headers.get("x-fetched-ms")));
    });
    if (known() === undefined) await fetchKeys(trace);
  }

  /**
   * The copy's time stamp is believed, so no one else may compute its address: a secret is part of it. The version isn't, because
   * the copy must survive a deployment during an outage of the issuer.
   */
  const pathOfCopy = async () => `key-set/${await digestText(JSON.stringify([DATABASE_URL, JWKS_URL]))}`;

  async function fetchKeys(trace: Trace): Promise<void> {
    const pauseMs = lastFetch?.failure === undefined ? COOLDOWN_MS : BACKOFF_MS;
    if (!flight.isBusy && lastFetch !== undefined && isRecent(lastFetch.endedMs, pauseMs)) return;
    const work = flight.run(async () => {
      try {
        const text = await fetchText(JWKS_URL);
        learn(text, Date.now());
        lastFetch = { endedMs: Date.now() };
        const headers = { "x-fetched-ms": String(Date.now()) };
        trace.finishLater(cache.write(await pathOfCopy(), text, headers, JWKS_MAX_STALE_SECONDS));
      } catch (cause) {
        // A SyntaxError quotes the reply.
        const failure = cause instanceof SyntaxError ? "Error: the reply isn't JSON" : String(cause);
        lastFetch = { endedMs: Date.now(), failure };
      }
      trace.notes.key_set = lastFetch.failure ?? "fetched";
    }, FLIGHT_TIMEOUT_MS);
    // The fetch serves others too: it goes on when its own client leaves.
    trace.finishLater(work);
    await work;
  }

  function learn(text: string, fetchedMs: number): void {
    const keys = learned?.text === text ? learned.keys : createLocalJWKSet(readKeySet(text, JWT_ALGORITHMS));
    learned = { text, keys, fetchedMs };
  }

  return { get, getNewer, areStale, mustConfirm, refetch };
}

async function fetchText(url: string): Promise<string> {
  const response = await fetch(url, { ...KEY_SET_REQUEST, signal: AbortSignal.timeout(KEY_SET_TIMEOUT_MS) });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`the key endpoint returned ${response.status}`);
  }
  let bytes = 0;
  return readText(response, (arrived) => {
    if ((bytes += arrived) > KEY_SET_MAX_BYTES) throw new Error(`the reply is larger than ${KEY_SET_MAX_BYTES} bytes`);
  });
}
