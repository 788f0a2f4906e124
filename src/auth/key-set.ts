// The issuer's key set, as this isolate knows it. Keys are refreshed ahead, behind the requests' backs; they serve through an
// outage for a bounded time, and no request waits for an issuer that is known to fail. Fetches are rate-limited after success
// and after failure, so that made-up key ids and outages cost the issuer a request every few seconds at most.
import { readShared, writeShared } from "../data-centre-cache.ts";
import { type Result, fail, succeed } from "../failure.ts";
import { SingleFlight } from "../single-flight.ts";
import { type SignatureKey, readSignatureKeys } from "./signature-key.ts";

export const FRESH_SECONDS = 600;
/** A refresh starts this long before the keys are due, on the first request that comes by. */
const AHEAD_SECONDS = 120;
/** After a fetch that worked, an unknown key id waits this long for the next: the longest that a rotated key is refused. */
export const COOLDOWN_SECONDS = 10;
/** After a fetch that failed: the longest that an outage of the issuer outlasts its end here. */
export const BACKOFF_SECONDS = 3;
const FETCH_TIMEOUT_MS = 3_000;
/** Later than the fetch's own end, whatever that is. */
const FLIGHT_TIMEOUT_MS = 4_000;
/** How long a request waits for keys that are no longer fresh to be refreshed, before it is served with what is known. */
const PATIENCE_MS = 1_000;
/** Large sets with certificate chains are about 50 KB. */
const MAX_REPLY_BYTES = 262_144;

interface Known {
  text: string;
  keys: readonly SignatureKey[];
  fetchedMs: number;
}

/** What the key set needs of a request: a way to let a fetch outlive it. */
interface Requester {
  finishLater(work: Promise<unknown>): void;
  note(notes: { key_set: string }): void;
}

export class KeySet {
  readonly #url: string;
  readonly #maxStaleMs: number;
  readonly #algorithms: readonly string[];
  readonly #flight = new SingleFlight();
  #known: Known | undefined;
  #generation = 0;
  #nextFetchMs = 0;
  #failure: string | undefined;

  constructor(url: string, algorithms: readonly string[], maxStaleSeconds: number) {
    this.#url = url;
    this.#algorithms = algorithms;
    this.#maxStaleMs = maxStaleSeconds * 1_000;
  }

  /**
   * A number that changes whenever the keys do, or 0 while no key is trusted: what was verified under another number must
   * be verified anew. A refresh that is due is started and not waited for. One that is overdue comes first, unless the issuer
   * is known to fail: else a withdrawn key would get in wherever nobody had asked for a while.
   */
  async generation(requester: Requester): Promise<number> {
    const known = this.#trusted();
    if (known === undefined) return 0;
    const ageSeconds = (Date.now() - known.fetchedMs) / 1_000;
    if (ageSeconds > FRESH_SECONDS && this.#failure === undefined) {
      await Promise.race([this.#fetch(requester), scheduler.wait(PATIENCE_MS)]);
    } else if (ageSeconds > FRESH_SECONDS - AHEAD_SECONDS && !this.#flight.busy) {
      requester.finishLater(this.#fetch(requester));
    }
    // So that an outage is seen in the log before the keys run out.
    if (this.#failure !== undefined) requester.note({ key_set: this.#failure });
    return this.#generation;
  }

  /**
   * Hands the keys and their generation to `accepts`, and again after a fetch that brought others, as long as it does not
   * find its key among them. Fails with `key_set_unavailable` where no key is known, or where the key may be one that an
   * outage hides: an outage is never the client's fault.
   */
  async search<T>(
    accepts: (keys: readonly SignatureKey[], generation: number) => Promise<T | "unknown_key">,
    requester: Requester,
  ): Promise<Result<T | "unknown_key">> {
    if ((await this.generation(requester)) === 0) await this.#load(requester);
    let known = this.#trusted();
    for (let tried = 0; known !== undefined && tried !== this.#generation; known = this.#trusted()) {
      tried = this.#generation;
      const found = await accepts(known.keys, tried);
      if (found !== "unknown_key") return succeed(found);
      await this.#fetch(requester);
    }
    if (known !== undefined && this.#failure === undefined) return succeed("unknown_key");
    const why = this.#failure ?? "no key set";
    return fail({ reason: "key_set_unavailable", why, retryAfterSeconds: BACKOFF_SECONDS });
  }

  #trusted(): Known | undefined {
    const known = this.#known;
    return known !== undefined && Date.now() - known.fetchedMs <= this.#maxStaleMs ? known : undefined;
  }

  /** For an isolate that knows no key: the data centre's copy while it is fresh, else the issuer, else the copy all the same. */
  async #load(requester: Requester): Promise<void> {
    const path = `key-set/${encodeURIComponent(this.#url)}`;
    const shared = await readShared(path);
    const fetchedMs = Number(shared?.headers.get("x-fetched-ms"));
    const adopt = () => {
      try {
        if (shared !== undefined) this.#learn(new TextDecoder().decode(shared.body), fetchedMs);
      } catch {
        // Kept under other settings: as good as none.
      }
    };
    const isFresh = Date.now() - fetchedMs < (FRESH_SECONDS - AHEAD_SECONDS) * 1_000;
    // Each step anew: meanwhile another request may have fetched what is newer than the copy.
    if (isFresh && this.#trusted() === undefined) adopt();
    if (this.#trusted() === undefined) await this.#fetch(requester);
    if (this.#trusted() === undefined) adopt();
  }

  async #fetch(requester: Requester): Promise<void> {
    if (!this.#flight.busy && Date.now() < this.#nextFetchMs) return;
    const work = this.#flight.run(async () => {
      try {
        const text = await fetchText(this.#url);
        this.#learn(text, Date.now());
        this.#failure = undefined;
        this.#nextFetchMs = Date.now() + COOLDOWN_SECONDS * 1_000;
        const headers = { "x-fetched-ms": String(Date.now()) };
        const path = `key-set/${encodeURIComponent(this.#url)}`;
        requester.finishLater(writeShared(path, text, headers, this.#maxStaleMs / 1_000));
        requester.note({ key_set: "fetched" });
      } catch (cause) {
        this.#failure = String(cause);
        this.#nextFetchMs = Date.now() + BACKOFF_SECONDS * 1_000;
        requester.note({ key_set: this.#failure });
      }
    }, FLIGHT_TIMEOUT_MS);
    // The fetch serves others too: it goes on when its own client leaves.
    requester.finishLater(work);
    await work;
  }

  #learn(text: string, fetchedMs: number): void {
    if (this.#known?.text === text) {
      this.#known.fetchedMs = fetchedMs;
      return;
    }
    const value: unknown = JSON.parse(text);
    const keys = typeof value === "object" && value !== null && "keys" in value ? value.keys : undefined;
    if (!Array.isArray(keys)) throw new Error("the reply is no JSON Web Key Set");
    const usable = readSignatureKeys(keys, this.#algorithms);
    if (usable.length === 0) throw new Error("the key set holds no usable signature key");
    this.#known = { text, keys: usable, fetchedMs };
    this.#generation += 1;
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
