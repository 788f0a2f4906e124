// The issuer's key set, as this isolate knows it: when it is fetched, and how long it serves. Keys are refreshed ahead of
// need; they serve through an outage for a bounded time; fetches are rate-limited after success and after failure, so that
// made-up key ids and outages cost the issuer a request every few seconds at most. Which key fits a token is jose's business.
import { type JWTVerifyGetKey, createLocalJWKSet } from "jose";
import { isRecent } from "../clock.ts";
import type { DataCentreCache } from "../data-centre-cache.ts";
import { Failure } from "../failure.ts";
import type { Settings } from "../settings.ts";
import { SingleFlight } from "../single-flight.ts";
import type { Trace } from "../trace.ts";
import { readKeySet } from "./json-web-key-set.ts";

const FRESH_MS = 600_000;
/** A refresh starts this long before the keys are due, behind the first request that comes by. */
const AHEAD_MS = 120_000;
/** After a fetch that worked, an unknown key id waits this long for the next: the longest that a rotated key is refused. */
const COOLDOWN_MS = 10_000;
/** After a fetch that failed: the longest that an outage of the issuer outlasts its end here. */
const BACKOFF_MS = 3_000;
/** For so long after a fetch that failed, overdue keys serve at once: no request waits for an issuer that is known to fail. */
const FAILURE_MEMORY_MS = 60_000;
const FETCH_TIMEOUT_MS = 3_000;
/** Later than the fetch's own end, whatever that is. */
const FLIGHT_TIMEOUT_MS = 4_000;
/** How long an answer waits for overdue keys to be refreshed, before the known ones vouch for it. */
const PATIENCE_MS = 1_000;
/** Large sets with certificate chains are about 50 KB. */
const MAX_REPLY_BYTES = 262_144;

/** The keys of one state of the set: a function that finds a token's key. Another state is another function. */
export type Keys = JWTVerifyGetKey;

interface KnownSet {
  text: string;
  keys: Keys;
  fetchedMs: number;
}

export class KeySet {
  readonly #settings: Settings;
  readonly #cache: DataCentreCache;
  readonly #cachePath: string;
  readonly #flight = new SingleFlight();
  #known: KnownSet | undefined;
  #lastFetch: { endedMs: number; failure?: string } | undefined;

  constructor(settings: Settings, cache: DataCentreCache) {
    this.#settings = settings;
    this.#cache = cache;
    this.#cachePath = `key-set/${encodeURIComponent(settings.JWKS_URL)}`;
  }

  /** The keys at hand, or undefined where none is known that may still serve. */
  get known(): Keys | undefined {
    return this.#trusted()?.keys;
  }

  /**
   * Whether the keys at hand must be refreshed before an answer leaves. Not while the issuer is known to fail: then the bound on
   * staleness decides. Without this, a withdrawn key would get in wherever nobody had asked for a while.
   */
  get isOverdue(): boolean {
    const known = this.#trusted();
    return known !== undefined && !isRecent(known.fetchedMs, FRESH_MS) && !this.#isFailing;
  }

  /**
   * The keys at hand; the first time, those of the data centre's copy or of the issuer. Starts a refresh ahead of need, and
   * does not wait for it; overdue keys are the caller's to `refresh`. Fails with `key_set_unavailable`.
   */
  async get(trace: Trace): Promise<Keys> {
    if (this.#trusted() === undefined) await this.#load(trace);
    const known = this.#trusted();
    if (known === undefined) throw this.#unavailable();
    const isDue = !isRecent(known.fetchedMs, FRESH_MS - AHEAD_MS);
    if (isDue && !this.isOverdue && !this.#flight.isBusy) trace.finishLater(this.#fetch(trace));
    // So that an outage is seen in the log before the keys run out.
    if (this.#lastFetch?.failure !== undefined) trace.notes.key_set = this.#lastFetch.failure;
    return known.keys;
  }

  /** Makes sure that keys are at hand, and refreshed if they are overdue. Fails as `get`. */
  async getFresh(trace: Trace): Promise<void> {
    await this.get(trace);
    if (this.isOverdue) await this.refresh(trace);
  }

  /** Waits until overdue keys are refreshed, for a second at most. */
  async refresh(trace: Trace): Promise<void> {
    await Promise.race([this.#fetch(trace), scheduler.wait(PATIENCE_MS)]);
  }

  /**
   * Keys that came after `keys`, for a token whose key is not among those; undefined where there are none. Fails with
   * `key_set_unavailable` where the key may be one that an outage hides: an outage is never the client's fault.
   */
  async getNewer(keys: Keys, trace: Trace): Promise<Keys | undefined> {
    await this.#fetch(trace);
    const { known } = this;
    if (known !== undefined && known !== keys) return known;
    if (known === undefined || this.#lastFetch?.failure !== undefined) throw this.#unavailable();
    return undefined;
  }

  get #isFailing(): boolean {
    const last = this.#lastFetch;
    return last?.failure !== undefined && isRecent(last.endedMs, FAILURE_MEMORY_MS);
  }

  #trusted(): KnownSet | undefined {
    const known = this.#known;
    return known && isRecent(known.fetchedMs, this.#settings.JWKS_MAX_STALE_SECONDS * 1_000) ? known : undefined;
  }

  #unavailable(): Failure {
    return new Failure("key_set_unavailable", { why: this.#lastFetch?.failure ?? "no key set" });
  }

  /** For an isolate that knows no key. A copy that is overdue is refreshed like any overdue set. */
  async #load(trace: Trace): Promise<void> {
    const copy = await this.#cache.read(this.#cachePath);
    // Meanwhile another request may have fetched what is newer than the copy.
    if (copy !== undefined && this.#trusted() === undefined) {
      try {
        this.#learn(new TextDecoder().decode(copy.body), Number(copy.headers.get("x-fetched-ms")));
      } catch {
        // Kept under other settings: as good as none.
      }
    }
    if (this.#trusted() === undefined) await this.#fetch(trace);
  }

  async #fetch(trace: Trace): Promise<void> {
    const last = this.#lastFetch;
    const pauseMs = last?.failure === undefined ? COOLDOWN_MS : BACKOFF_MS;
    if (!this.#flight.isBusy && last !== undefined && isRecent(last.endedMs, pauseMs)) return;
    const work = this.#flight.run(async () => {
      try {
        const text = await fetchText(this.#settings.JWKS_URL);
        this.#learn(text, Date.now());
        this.#lastFetch = { endedMs: Date.now() };
        trace.notes.key_set = "fetched";
        const headers = { "x-fetched-ms": String(Date.now()) };
        const { JWKS_MAX_STALE_SECONDS } = this.#settings;
        trace.finishLater(this.#cache.write(this.#cachePath, text, headers, JWKS_MAX_STALE_SECONDS));
      } catch (cause) {
        this.#lastFetch = { endedMs: Date.now(), failure: String(cause) };
        trace.notes.key_set = String(cause);
      }
    }, FLIGHT_TIMEOUT_MS);
    // The fetch serves others too: it goes on when its own client leaves.
    trace.finishLater(work);
    await work;
  }

  #learn(text: string, fetchedMs: number): void {
    const known = this.#known;
    const keys = known?.text === text ? known.keys : createLocalJWKSet(readKeySet(text, this.#settings.JWT_ALGORITHMS));
    this.#known = { text, keys, fetchedMs };
  }
}

/** Redirects are not followed: whoever can redirect could name other keys. */
async function fetchText(url: string): Promise<string> {
  const response = await fetch(url, {
    redirect: "manual",
    headers: { accept: "application/jwk-set+json, application/json" },
    signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
  });
  if (response.status !== 200 || response.body === null) {
    await response.body?.cancel();
    throw new Error(`the key endpoint answered ${response.status}`);
  }
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  for await (const chunk of response.body) {
    bytes += chunk.byteLength;
    if (bytes > MAX_REPLY_BYTES) throw new Error(`the reply is larger than ${MAX_REPLY_BYTES} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
