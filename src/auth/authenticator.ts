// From an `Authorization` header to the access that its token grants, or to the failure that explains the refusal. Remembers
// verified tokens, within bounds of number and time, so that a signature is checked once per token, isolate and state of the
// key set.
import { refuseToken } from "../failure.ts";
import { digestText } from "../isolate/digest.ts";
import type { Settings } from "../settings.ts";
import type { Trace } from "../trace.ts";
import { type InspectedToken, inspectToken, verifySignature } from "./access-token.ts";
import type { KeySet, Keys } from "./key-set.ts";

/** What a token grants, by the keys at hand. */
export type Access = Awaited<ReturnType<ReturnType<typeof createAuthenticator>>>;

/** At most 2,000 tokens of at most 2,048 characters: 4 MB of the isolate's 128. */
const MAX_REMEMBERED = 2_000;
const MAX_REMEMBERED_LENGTH = 2_048;

export function createAuthenticator(settings: Settings, keySet: KeySet) {
  const { ADMIN_SCOPE, REQUIRED_SCOPE, JWT_LEEWAY_SECONDS, LOG_SUBJECT } = settings;
  /** By the header's exact value, so that a hit costs one look-up. Oldest first. */
  const remembered = new Map<string, Awaited<ReturnType<typeof verify>>>();

  /**
   * Fails with `not_authenticated`, `invalid_token` or `key_set_unavailable`. A remembered token is refused as soon as it
   * expires or the keys change (RFC 9068 §4).
   */
  async function authenticate(authorization: string, trace: Trace) {
    const known = remembered.get(authorization);
    if (known !== undefined && Date.now() < known.expiresMs && known.keys === (await keySet.get(trace))) {
      Object.assign(trace.notes, { auth: trace.notes.auth ?? "remembered", subject: known.alias });
      return known;
    }
    remembered.delete(authorization);
    const verified = await verify(authorization, trace);
    Object.assign(trace.notes, { auth: "verified", subject: verified.alias });
    // Only the single-space spelling: padded spellings of one token could evict all others.
    if (authorization.length <= MAX_REMEMBERED_LENGTH && /^bearer [^ ]/i.test(authorization)) {
      const [oldest] = remembered.keys();
      if (remembered.size >= MAX_REMEMBERED && oldest !== undefined) remembered.delete(oldest);
      remembered.set(authorization, verified);
    }
    return verified;
  }

  async function verify(authorization: string, trace: Trace) {
    // The checks that need no key come first: a bad token costs no key fetch.
    const token = inspectToken(authorization, settings, Date.now() / 1_000);
    const keys = await findKeys(token, trace);
    const { subject, rights } = token;
    const alias = LOG_SUBJECT === "hash" ? (await digestText(subject)).slice(0, 16) : subject;
    return {
      reader: { subject, isAdmin: rights.has(ADMIN_SCOPE) },
      /** Whether it has REQUIRED_SCOPE, if that is set. */
      hasRequiredScope: REQUIRED_SCOPE === undefined || rights.has(REQUIRED_SCOPE),
      /** When the token expires, leeway included, in milliseconds since the epoch. */
      expiresMs: (token.expiresAtSeconds + JWT_LEEWAY_SECONDS) * 1_000,
      /** The subject as the log may show it. */
      alias: LOG_SUBJECT === "omit" ? undefined : alias,
      keys,
    };
  }

  /** Returns the keys that verify the token's signature. */
  async function findKeys(token: InspectedToken, trace: Trace): Promise<Keys> {
    for (let keys = await keySet.get(trace); ;) {
      const verdict = await verifySignature(token, keys);
      if (verdict === "verified") return keys;
      // The issuer may have replaced a key under its `kid`: stale keys refuse no signature.
      const isRefused = verdict === "bad_signature" && !keySet.areStale();
      const newer = isRefused ? undefined : await keySet.getNewer(keys, trace);
      if (newer === undefined) throw refuseToken("bad_signature", verdict);
      keys = newer;
    }
  }

  return authenticate;
}
