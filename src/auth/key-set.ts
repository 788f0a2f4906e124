// The issuer's key set in this isolate: when it is fetched, and how long it serves. Keys by their age:
//   fresh  under 8 minutes                     a request uses them
//   due    under 10 minutes                    a request uses them and starts a refetch, but doesn't wait for it
//   stale  older, to JWKS_MAX_STALE_SECONDS    as due; but the response waits for the refetch, for a second at most
//   gone   older than that                     a request waits for a fetch, or fails
// jose finds the key that fits a token. Its createRemoteJWKSet would fetch the set too, but at the end of the keys' time every
// request waits for the fetch, in an outage each request fetches anew, known keys end although only the endpoint is down, and an
// outage looks like a bad token.
import { type JWTVerifyGetKey, createLocalJWKSet } from "jose";
import { Failure } from "../failure.ts";
import { readText } from "../isolate/bounded-text.ts";
import { isRecent } from "../isolate/clock.ts";
import type { DataCenterCache } from "../isolate/data-center-cache.ts";
import { digestText } from "../isolate/digest.ts";
import { SingleFlight } from "../isolate/single-flight.ts";
import { type RequestScope, type WaitUntil, timeLeftMs } from "../request.ts";
import type { Settings } from "../settings.ts";
import { readKeySet } from "./json-web-key-set.ts";
import { KEY_SET_MAX_BYTES, KEY_SET_REQUEST, KEY_SET_TIMEOUT_MS } from "./key-set-request.ts";

const DUE_MS = 480_000;
const STALE_MS = 600_000;
/**
 * Older keys refuse no token, so a new or a replaced key is accepted this soon. Forged tokens and made-up key ids cost the issuer
 * one fetch in this time.
 */
const REFUSAL_MS = 10_000;
/** The pause after a failed fetch, and so the longest that a recovered issuer goes unnoticed. */
const BACKOFF_MS = 3_000;
/** For this long after a failed fetch, no response waits for the refetch of stale keys. */
const FAILURE_MEMORY_MS = 60_000;
/** Longer than KEY_SET_TIMEOUT_MS, so that a fetch ends by itself first. */
const FLIGHT_TIMEOUT_MS = 4_000;
/** How long after the start of a refetch of stale keys a response waits for it. Then the known keys decide. */
const PATIENCE_MS = 1_000;

/** The keys of one state of the set: a function that finds a token's key. Another state is another function. */
export type Keys = JWTVerifyGetKey;

/**
 * What a caller needs keys for:
 *   check    to check a token: those at hand; due or stale ones are refetched in the background
 *   confirm  to let a response out: stale ones are refetched, a second at most; without new ones, the known ones decide
 *   refuse   to refuse a token that other keys didn't verify: fetched at most ten seconds ago
 */
export type Need = "check" | "confirm" | "refuse";

/**
 * Returns the keys for that need. The first time, they come from the data center's copy or from the issuer. Fails with
 * `key_set_unavailable` if there are none, or if an outage may hide a refused token's key: it is never the client's fault.
 */
export type GetKeys = (need: Need, request: RequestScope) => Promise<Keys>;

export function createKeySet(settings: Settings, cache: DataCenterCache, waitUntil: WaitUntil): GetKeys {
  const { DATABASE_URL, JWKS_URL, JWKS_MAX_STALE_SECONDS, JWT_ALGORITHMS } = settings;
  const flight = new SingleFlight(FLIGHT_TIMEOUT_MS);
  let latest: { text: string; keys: Keys; fetchedMs: number } | undefined;
  let lastFetch: { endedMs: number; failure?: string } | undefined;

  const areYounger = (ageMs: number) => latest !== undefined && isRecent(latest.fetchedMs, ageMs);
  const areUsable = () => areYounger(JWKS_MAX_STALE_SECONDS * 1_000);
  const hasFailed = (agoMs: number) => lastFetch?.failure !== undefined && isRecent(lastFetch.endedMs, agoMs);

  async function getKeys(need: Need, request: RequestScope): Promise<Keys> {
    if (!areUsable()) await readCopy(request.readOrigin());
    if (!areYounger(need === "refuse" ? REFUSAL_MS : DUE_MS)) refetch(request);
    const isEnough = () => areUsable() && (need !== "refuse" || areYounger(REFUSAL_MS));
    if (!isEnough()) await flight.join(FLIGHT_TIMEOUT_MS, timeLeftMs(request));
    // Without this wait, a withdrawn key would get in after a quiet time.
    else if (need === "confirm" && !areYounger(STALE_MS) && !hasFailed(FAILURE_MEMORY_MS)) {
      await flight.join(PATIENCE_MS, timeLeftMs(request));
    }
    // The log shows an outage before the keys run out.
    if (lastFetch?.failure !== undefined) request.notes.key_set = lastFetch.failure;
    if (latest === undefined || !isEnough()) {
      throw new Failure("key_set_unavailable", { why: lastFetch?.failure ?? "no key set" });
    }
    return latest.keys;
  }

  /** Starts a fetch, unless one is under way or has just failed. It serves others too, so it goes on when its client leaves. */
  function refetch({ readOrigin, notes }: RequestScope): void {
    if (flight.isBusy || hasFailed(BACKOFF_MS)) return;
    const origin = readOrigin();
    const task = async () => {
      try {
        // Their age counts from here: what the issuer withdraws during the fetch may still be part of it.
        const fetchedMs = Date.now();
        const text = await fetchText(JWKS_URL);
        remember(text, fetchedMs);
        lastFetch = { endedMs: Date.now() };
        notes.key_set = "fetched";
        const headers = { "x-fetched-ms": String(fetchedMs) };
        waitUntil(cache.write(origin, await pathOfCopy(), text, headers, JWKS_MAX_STALE_SECONDS));
      } catch (cause) {
        // A SyntaxError quotes the reply.
        const failure = cause instanceof SyntaxError ? "Error: the reply isn't JSON" : String(cause);
        lastFetch = { endedMs: Date.now(), failure };
      }
    };
    waitUntil(flight.run(task));
  }

  /** Takes the data center's copy. A stale copy is refetched like any stale set. */
  async function readCopy(origin: string): Promise<void> {
    await cache.read(origin, await pathOfCopy(), (headers, body) => {
      // Meanwhile another request may have fetched a newer set.
      if (!areUsable()) remember(new TextDecoder().decode(body), Number(headers.get("x-fetched-ms")));
    });
  }

  /**
   * The copy's time stamp is believed, so no one else may compute its address: a secret is part of it. The version isn't, because
   * the copy must survive a deployment during an outage of the issuer.
   */
  const pathOfCopy = async () => `key-set/${await digestText(JSON.stringify([DATABASE_URL, JWKS_URL]))}`;

  function remember(text: string, fetchedMs: number): void {
    const keys = latest?.text === text ? latest.keys : createLocalJWKSet(readKeySet(text, JWT_ALGORITHMS));
    latest = { text, keys, fetchedMs };
  }

  return getKeys;
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
