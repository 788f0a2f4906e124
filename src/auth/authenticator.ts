// From an `Authorization` header to what its token grants, or to the failure that explains the refusal. Remembers verified
// tokens, within bounds of number and time, so that a signature is checked once per token, isolate and state of the key set.
import { refuseToken } from "../failure.ts";
import { digestText } from "../isolate/digest.ts";
import type { Reader, RequestScope } from "../request.ts";
import type { Settings } from "../settings.ts";
import { inspectToken, verifySignature } from "./access-token.ts";
import type { GetKeys, Keys } from "./key-set.ts";

/** What a token grants, by the keys at hand. */
export interface Access {
  reader: Reader;
  /** Whether it has REQUIRED_SCOPE, if that is set. */
  hasRequiredScope: boolean;
  /** When the token expires, leeway included, in milliseconds since the epoch. */
  expiresMs: number;
  /**
   * Confirms that the token is still good: not expired (RFC 9068 §4), and verified by keys that aren't stale. To be called before
   * a response leaves. Waits for a refetch under way, for a second after its start at most. Fails as `Authenticate`.
   */
  confirm(): Promise<void>;
}

interface VerifiedToken extends Omit<Access, "confirm"> {
  /** The subject as the log may show it. */
  alias: string | undefined;
  /** Those that verified it. */
  keys: Keys;
}

/** Fails with `not_authenticated`, `invalid_token` or `key_set_unavailable`. */
export type Authenticate = (authorization: string, request: RequestScope) => Promise<Access>;

/** At most 2,000 tokens of at most 2,048 characters: 4 MB of the isolate's 128. */
const MAX_REMEMBERED = 2_000;
const MAX_REMEMBERED_LENGTH = 2_048;

export function createAuthenticator(settings: Settings, getKeys: GetKeys): Authenticate {
  const { ADMIN_SCOPE, REQUIRED_SCOPE, JWT_LEEWAY_SECONDS, LOG_SUBJECT } = settings;
  /** By the header's exact value, so that a hit costs one lookup. Oldest first. */
  const remembered = new Map<string, VerifiedToken>();

  async function findToken(authorization: string, request: RequestScope): Promise<VerifiedToken> {
    const known = remembered.get(authorization);
    const isCurrent = known !== undefined && Date.now() < known.expiresMs;
    if (isCurrent && known.keys === (await getKeys("check", request))) {
      request.notes.auth ??= "remembered";
      request.notes.subject = known.alias;
      return known;
    }
    remembered.delete(authorization);
    const verified = await verify(authorization, request);
    Object.assign(request.notes, { auth: "verified", subject: verified.alias });
    // Only the single-space spelling: padded spellings of one token could evict all others.
    if (authorization.length <= MAX_REMEMBERED_LENGTH && /^bearer [^ ]/i.test(authorization)) {
      const [oldest] = remembered.keys();
      if (remembered.size >= MAX_REMEMBERED && oldest !== undefined) remembered.delete(oldest);
      remembered.set(authorization, verified);
    }
    return verified;
  }

  async function verify(authorization: string, request: RequestScope): Promise<VerifiedToken> {
    const token = inspectToken(authorization, settings, Date.now() / 1_000);
    let keys = await getKeys("check", request);
    let verdict = await verifySignature(token, keys);
    if (verdict !== "verified") {
      // The key may be new, or another one under the same id.
      const newest = await getKeys("refuse", request);
      if (newest !== keys) verdict = await verifySignature(token, (keys = newest));
      if (verdict !== "verified") throw refuseToken("bad_signature", verdict);
    }
    const { subject, rights } = token;
    const expiresMs = (token.expiresAtSeconds + JWT_LEEWAY_SECONDS) * 1_000;
    // Once more, because the keys may have taken seconds.
    if (Date.now() >= expiresMs) throw refuseToken("expired", "exp");
    const hash = LOG_SUBJECT === "hash" ? (await digestText(subject)).slice(0, 16) : undefined;
    return {
      reader: { subject, isAdmin: rights.has(ADMIN_SCOPE) },
      hasRequiredScope: REQUIRED_SCOPE === undefined || rights.has(REQUIRED_SCOPE),
      expiresMs,
      alias: LOG_SUBJECT === "plain" ? subject : hash,
      keys,
    };
  }

  return async (authorization, request) => {
    const token = await findToken(authorization, request);
    const confirm = async () => {
      const keys = await getKeys("confirm", request);
      // The clock after the keys, because these may have taken a second.
      if (token.keys !== keys || Date.now() >= token.expiresMs) await findToken(authorization, request);
    };
    return { ...token, confirm };
  };
}
