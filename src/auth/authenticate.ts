// From a request to its reader, or to the reason why there is none. Remembers what it verified, within bounds of number and
// time, so that a signature is checked once per token, isolate and state of the key set.
import type { Exchange } from "../exchange.ts";
import { type Result, fail, succeed } from "../failure.ts";
import type { Settings } from "../settings.ts";
import { inspectToken, verifySignature } from "./access-token.ts";
import { readBearerToken } from "./bearer.ts";
import type { KeySet } from "./key-set.ts";

/** Who reads: the subject of a verified token and what it may see. */
export interface Reader {
  subject: string;
  isAdmin: boolean;
  /** What the log may call the reader; see LOG_SUBJECT. */
  alias: string | undefined;
  /** Milliseconds since the epoch, leeway included. */
  expiresMs: number;
}

interface Remembered {
  reader: Reader;
  generation: number;
}

/** At most 10,000 tokens of at most 2,048 characters: 20 MB of the isolate's 128. */
const MAX_REMEMBERED = 10_000;
const MAX_REMEMBERED_LENGTH = 2_048;

export class Authenticator {
  readonly #settings: Settings;
  readonly #keySet: KeySet;
  /** By the header's exact value, so that a hit costs one look-up. Oldest first. */
  readonly #remembered = new Map<string, Remembered>();

  constructor(settings: Settings, keySet: KeySet) {
    this.#settings = settings;
    this.#keySet = keySet;
  }

  /**
   * Fails with `no_credentials`, `invalid_token`, `insufficient_scope` or `key_set_unavailable`.
   * A remembered token is refused as soon as it expires or the key set changes (RFC 9068 §4).
   */
  async authenticate(exchange: Exchange): Promise<Result<Reader>> {
    const authorization = exchange.request.headers.get("authorization");
    const remembered = authorization === null ? undefined : this.#remembered.get(authorization);
    if (remembered !== undefined && authorization !== null) {
      const { reader, generation } = remembered;
      if (generation === (await this.#keySet.generation(exchange)) && exchange.startedMs < reader.expiresMs) {
        exchange.note({ auth: "remembered", subject: reader.alias });
        return succeed(reader);
      }
      this.#remembered.delete(authorization);
    }
    const verified = await this.#verify(authorization, exchange);
    if (!verified.ok) return verified;
    if (authorization !== null) this.#remember(authorization, verified.value);
    return succeed(verified.value.reader);
  }

  async #verify(authorization: string | null, exchange: Exchange): Promise<Result<Remembered>> {
    const settings = this.#settings;
    const compact = readBearerToken(authorization);
    if (compact === "none") return fail({ reason: "no_credentials" });
    if ("malformed" in compact) {
      return fail({ reason: "invalid_token", problem: "malformed", why: compact.malformed });
    }
    const inspected = inspectToken(compact, settings, Date.now() / 1_000);
    if (!inspected.ok) return inspected;
    const token = inspected.value;
    let generation = 0;
    const checked = await this.#keySet.search((keys, current) => {
      generation = current;
      return verifySignature(token, keys);
    }, exchange);
    if (!checked.ok) return checked;
    if (checked.value !== "verified") {
      return fail({ reason: "invalid_token", problem: "bad_signature", why: checked.value });
    }
    const { subject, rights } = token;
    const alias = await name(subject, settings.LOG_SUBJECT);
    exchange.note({ auth: "verified", subject: alias });
    if (settings.REQUIRED_SCOPE !== undefined && !rights.has(settings.REQUIRED_SCOPE)) {
      return fail({ reason: "insufficient_scope", why: `the token lacks ${settings.REQUIRED_SCOPE}` });
    }
    const expiresMs = (token.expiresAtSeconds + settings.JWT_LEEWAY_SECONDS) * 1_000;
    const isAdmin = rights.has(settings.ADMIN_SCOPE);
    return succeed({ reader: { subject, isAdmin, alias, expiresMs }, generation });
  }

  #remember(authorization: string, verified: Remembered): void {
    // One blank only: else one token, spelled with more and more of them, would push out all others.
    if (authorization.length > MAX_REMEMBERED_LENGTH || !/^bearer [^ ]/i.test(authorization)) return;
    if (this.#remembered.size >= MAX_REMEMBERED) {
      const [oldest] = this.#remembered.keys();
      if (oldest !== undefined) this.#remembered.delete(oldest);
    }
    this.#remembered.set(authorization, verified);
  }
}

async function name(subject: string, policy: Settings["LOG_SUBJECT"]): Promise<string | undefined> {
  if (policy === "omit") return undefined;
  if (policy === "plain") return subject;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(subject));
  return new Uint8Array(digest).toHex().slice(0, 16);
}
