// From an `Authorization` header to its reader, or to the failure that says why there is none. Remembers what it verified,
// within bounds of number and time, so that a signature is checked once per token, isolate and state of the key set.
import { digestText } from "../digest.ts";
import { Failure, refuseToken } from "../failure.ts";
import type { Reader } from "../reader.ts";
import type { Settings } from "../settings.ts";
import type { Trace } from "../trace.ts";
import { type InspectedToken, inspectToken, verifySignature } from "./access-token.ts";
import type { KeySet, Keys } from "./key-set.ts";

/** What the keys at hand say of a token. */
export interface Access {
  reader: Reader;
  /** When the token expires, leeway included, in milliseconds since the epoch. */
  expiresMs: number;
  /**
   * Where the keys at hand are overdue: settles when refreshed ones have confirmed the token or refused it. Nothing may be
   * answered before. Elsewhere undefined.
   */
  vouched: Promise<unknown> | undefined;
}

/** At most 2,000 tokens of at most 2,048 characters: 4 MB of the isolate's 128. */
const MAX_REMEMBERED = 2_000;
const MAX_REMEMBERED_LENGTH = 2_048;

/**
 * Gives the function that admits a reader by the keys at hand. Overdue keys are refreshed meanwhile, so that a read can go on
 * beside the refresh. It fails with `not_authenticated`, `invalid_token`, `insufficient_scope` or `key_set_unavailable`; so
 * does `vouched`.
 */
export function createAuthenticator(settings: Settings, keySet: KeySet) {
  const { ADMIN_SCOPE, REQUIRED_SCOPE, JWT_LEEWAY_SECONDS, LOG_SUBJECT } = settings;
  /** By the header's exact value, so that a hit costs one look-up. Oldest first. */
  const remembered = new Map<string, Awaited<ReturnType<typeof verify>>>();

  async function admit(authorization: string, trace: Trace): Promise<Access> {
    const { reader, expiresMs, hasRequiredScope } = await authenticate(authorization, trace);
    const again = async () => authenticate(authorization, trace);
    const vouched = keySet.areOverdue() ? keySet.refresh(trace).then(again) : undefined;
    // The answer awaits it later; until then its rejection must not count as unhandled.
    vouched?.catch(() => {});
    if (hasRequiredScope) return { reader, expiresMs, vouched };
    await vouched;
    throw new Failure("insufficient_scope", { why: `the token lacks ${REQUIRED_SCOPE}` });
  }

  /** A remembered token is refused as soon as it expires or the keys change (RFC 9068 §4). */
  async function authenticate(authorization: string, trace: Trace) {
    const known = remembered.get(authorization);
    if (known !== undefined && Date.now() < known.expiresMs && known.keys === (await keySet.get(trace))) {
      Object.assign(trace.notes, { auth: trace.notes.auth ?? "remembered", subject: known.alias });
      return known;
    }
    remembered.delete(authorization);
    const verified = await verify(authorization, trace);
    Object.assign(trace.notes, { auth: "verified", subject: verified.alias });
    // With one blank only: spelled with more and more blanks, one token could push out all others.
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
    const { subject, rights, expiresAtSeconds } = token;
    const alias = LOG_SUBJECT === "hash" ? (await digestText(subject)).slice(0, 16) : subject;
    return {
      reader: { subject, isAdmin: rights.has(ADMIN_SCOPE) },
      expiresMs: (expiresAtSeconds + JWT_LEEWAY_SECONDS) * 1_000,
      hasRequiredScope: REQUIRED_SCOPE === undefined || rights.has(REQUIRED_SCOPE),
      alias: LOG_SUBJECT === "omit" ? undefined : alias,
      keys,
    };
  }

  /** Gives the keys that vouch for the token. */
  async function findKeys(token: InspectedToken, trace: Trace): Promise<Keys> {
    for (let keys = await keySet.get(trace); ;) {
      const verdict = await verifySignature(token, keys);
      if (verdict === "verified") return keys;
      const newer = verdict === "unknown_key" ? await keySet.getNewer(keys, trace) : undefined;
      if (newer === undefined) throw refuseToken("bad_signature", verdict);
      keys = newer;
    }
  }

  return admit;
}
