// From an `Authorization` header to its reader, or to the failure that says why there is none. Remembers what it verified,
// within bounds of number and time, so that a signature is checked once per token, isolate and state of the key set.
import { digestText } from "../digest.ts";
import { Failure, refuseToken } from "../failure.ts";
import type { Settings } from "../settings.ts";
import type { Trace } from "../trace.ts";
import { type InspectedToken, inspectToken, verifySignature } from "./access-token.ts";
import type { KeySet, Keys } from "./key-set.ts";

/** Who reads: the subject of a verified token and what it may see. */
export interface Reader {
  subject: string;
  isAdmin: boolean;
  /** Whether the token has REQUIRED_SCOPE, where that is set. */
  hasRequiredScope: boolean;
  /** What the log may call the reader; see LOG_SUBJECT. */
  alias: string | undefined;
  /** Milliseconds since the epoch, leeway included. */
  expiresMs: number;
}

/**
 * What the keys at hand say of a token. Where they are overdue, `vouched` settles when refreshed ones have confirmed it or
 * refused it, and nothing may be answered before; elsewhere it is undefined.
 */
export interface Access {
  reader: Reader;
  vouched: Promise<unknown> | undefined;
}

interface Verified {
  reader: Reader;
  keys: Keys;
}

/** At most 2,000 tokens of at most 2,048 characters: 4 MB of the isolate's 128. */
const MAX_REMEMBERED = 2_000;
const MAX_REMEMBERED_LENGTH = 2_048;

export class Authenticator {
  readonly #settings: Settings;
  readonly #keySet: KeySet;
  /** By the header's exact value, so that a hit costs one look-up. Oldest first. */
  readonly #remembered = new Map<string, Verified>();

  constructor(settings: Settings, keySet: KeySet) {
    this.#settings = settings;
    this.#keySet = keySet;
  }

  /**
   * Admits a reader by the keys at hand. Overdue keys are refreshed meanwhile, so that a read can go on beside the refresh.
   * Fails with `not_authenticated`, `invalid_token`, `insufficient_scope` or `key_set_unavailable`; so does `vouched`.
   */
  async admit(authorization: string, trace: Trace): Promise<Access> {
    const reader = await this.#authenticate(authorization, trace);
    const vouched = this.#keySet.isOverdue ? this.#vouch(authorization, trace) : undefined;
    // Whoever answers awaits it; until then a refusal has nobody to hear it.
    vouched?.catch(() => {});
    if (reader.hasRequiredScope) return { reader, vouched };
    await vouched;
    throw new Failure("insufficient_scope", { why: `the token lacks ${this.#settings.REQUIRED_SCOPE}` });
  }

  async #vouch(authorization: string, trace: Trace): Promise<void> {
    await this.#keySet.refresh(trace);
    await this.#authenticate(authorization, trace);
  }

  /** A remembered token is refused as soon as it expires or the keys change (RFC 9068 §4). */
  async #authenticate(authorization: string, trace: Trace): Promise<Reader> {
    const remembered = this.#remembered.get(authorization);
    const isKnown = remembered !== undefined && remembered.keys === this.#keySet.known;
    if (isKnown && Date.now() < remembered.reader.expiresMs) {
      await this.#keySet.get(trace);
      Object.assign(trace.notes, { auth: trace.notes.auth ?? "remembered", subject: remembered.reader.alias });
      return remembered.reader;
    }
    this.#remembered.delete(authorization);
    // All that can be told without a key comes first: a bad token costs no key fetch.
    const token = inspectToken(authorization, this.#settings, Date.now() / 1_000);
    const keys = await this.#verify(token, trace);
    const reader = await this.#describeReader(token);
    Object.assign(trace.notes, { auth: "verified", subject: reader.alias });
    this.#remember(authorization, { reader, keys });
    return reader;
  }

  /** Gives the keys that vouch for the token. */
  async #verify(token: InspectedToken, trace: Trace): Promise<Keys> {
    for (let keys = await this.#keySet.get(trace); ;) {
      const verdict = await verifySignature(token, keys);
      if (verdict === "verified") return keys;
      const newer = verdict === "unknown_key" ? await this.#keySet.getNewer(keys, trace) : undefined;
      if (newer === undefined) throw refuseToken("bad_signature", verdict);
      keys = newer;
    }
  }

  async #describeReader({ subject, rights, expiresAtSeconds }: InspectedToken): Promise<Reader> {
    const { ADMIN_SCOPE, REQUIRED_SCOPE, JWT_LEEWAY_SECONDS, LOG_SUBJECT } = this.#settings;
    return {
      subject,
      isAdmin: rights.has(ADMIN_SCOPE),
      hasRequiredScope: REQUIRED_SCOPE === undefined || rights.has(REQUIRED_SCOPE),
      alias:
        LOG_SUBJECT === "hash"
          ? (await digestText(subject)).slice(0, 16)
          : LOG_SUBJECT === "plain"
            ? subject
            : undefined,
      expiresMs: (expiresAtSeconds + JWT_LEEWAY_SECONDS) * 1_000,
    };
  }

  #remember(authorization: string, verified: Verified): void {
    // One blank only: else one token, spelled with more and more of them, would push out all others.
    if (authorization.length > MAX_REMEMBERED_LENGTH || !/^bearer [^ ]/i.test(authorization)) return;
    const [oldest] = this.#remembered.keys();
    if (this.#remembered.size >= MAX_REMEMBERED && oldest !== undefined) this.#remembered.delete(oldest);
    this.#remembered.set(authorization, verified);
  }
}
