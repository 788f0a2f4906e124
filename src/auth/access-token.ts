// The policy: which JWT is an access token for this API, and what it grants. Pure but for the signature check: keys and
// clock are handed in. All that can be told without a key is told first, so that a bad token costs no key fetch.
// Sources: RFC 9068 §4, RFC 8725 §3, RFC 7519 §4.1, RFC 7515 §4.1, RFC 6750 §3.
import { compactVerify } from "jose";
import { type Failure, type Result, TOKEN_PROBLEMS, fail, succeed } from "../failure.ts";
import type { Settings } from "../settings.ts";
import type { CompactToken } from "./bearer.ts";
import { type SignatureKey, keysFor } from "./signature-key.ts";

/** OpenID Connect Core §2 bounds `sub` to 255 characters; it becomes a query parameter and part of a cache key. */
const MAX_SUBJECT_LENGTH = 255;
const MAX_KEY_ID_LENGTH = 512;
/** Keys tried for a token without `kid`: each costs a signature check, and the token is not yet trusted. */
const MAX_CANDIDATE_KEYS = 4;

/** Claims that only other kinds of JWT carry: ID tokens (OpenID Connect Core §2, §3.3.2.11), logout and security event tokens (RFC 8417). */
const FOREIGN_CLAIMS = ["at_hash", "c_hash", "s_hash", "events"];

export interface AccessToken {
  subject: string;
  rights: ReadonlySet<string>;
  expiresAtSeconds: number;
}

export interface UnverifiedToken extends AccessToken {
  text: string;
  algorithm: string;
  keyId: string | undefined;
}

type Claims = Record<string, unknown>;

const refuse = (problem: keyof typeof TOKEN_PROBLEMS, why: string): { ok: false; failure: Failure } =>
  fail({ reason: "invalid_token", problem, why });

/**
 * Checks header and claims of a token whose signature is still unknown.
 * `nowSeconds` is the time since the epoch. Fails with `invalid_token`.
 */
export function inspectToken(token: CompactToken, settings: Settings, nowSeconds: number): Result<UnverifiedToken> {
  const header = decodeObject(token.header);
  const claims = decodeObject(token.payload);
  if (header === undefined || claims === undefined) return refuse("malformed", "not JSON objects");

  const { alg, typ, kid } = header;
  if (typeof alg !== "string" || !settings.JWT_ALGORITHMS.includes(alg)) {
    return refuse("bad_signature", "algorithm not allowed");
  }
  // RFC 8725 §3.10: a key id is a look-up key of foreign origin.
  if (kid !== undefined && (typeof kid !== "string" || kid.length > MAX_KEY_ID_LENGTH)) {
    return refuse("malformed", "kid is no short string");
  }
  // RFC 7515 §4.1.11: we understand no extension, so none may be critical; RFC 7797 §7: `b64` is not for JWTs.
  if ("crit" in header || "b64" in header) return refuse("malformed", "crit or b64");
  if ("enc" in header || "zip" in header) return refuse("wrong_kind", "encrypted or compressed");
  if ("cty" in header) return refuse("wrong_kind", "nested");
  // RFC 8725 §3.11, §3.12: the kinds of JWT are told apart by `typ`; RFC 9068 §2.1 names ours.
  const isAtJwt = typeof typ === "string" && /^(application\/)?at\+jwt$/i.test(typ);
  const isPlain = typ === undefined || (typeof typ === "string" && /^(application\/)?jwt$/i.test(typ));
  if (!isAtJwt && (settings.JWT_REQUIRE_AT_JWT || !isPlain)) return refuse("wrong_kind", "typ");
  const foreign = isAtJwt ? findSenderConstraint(claims) : findForeignMark(claims);
  if (foreign !== undefined) return refuse("wrong_kind", foreign);

  if (claims["iss"] !== settings.JWT_ISSUER) return refuse("wrong_issuer", "iss");
  const audience = claims[settings.AUDIENCE_CLAIM];
  const audiences: unknown[] = Array.isArray(audience) ? audience : [audience];
  if (!audiences.includes(settings.JWT_AUDIENCE)) {
    return refuse("wrong_audience", settings.AUDIENCE_CLAIM);
  }

  const { exp, nbf, iat } = claims;
  const leeway = settings.JWT_LEEWAY_SECONDS;
  if (!isTime(exp)) return refuse("malformed", "exp is no number");
  if (exp + leeway <= nowSeconds) return refuse("expired", "exp");
  for (const [claim, time] of [
    ["nbf", nbf],
    ["iat", iat],
  ] as const) {
    if (time === undefined) continue;
    if (!isTime(time)) return refuse("malformed", `${claim} is no number`);
    if (time - leeway > nowSeconds) return refuse("not_yet_valid", claim);
  }

  const subject = claims[settings.SUBJECT_CLAIM];
  if (!isSubject(subject)) return refuse("no_subject", settings.SUBJECT_CLAIM);
  const rights = collectRights(claims, settings.RIGHTS_CLAIMS);
  return succeed({ text: token.text, algorithm: alg, keyId: kid, subject, rights, expiresAtSeconds: exp });
}

/**
 * Checks the signature of an inspected token with the keys of a key set that fit it.
 * Gives `unknown_key` where its key may be one that the set lacks: its `kid` is not there, or it has none and no key that
 * fits made the signature.
 */
export async function verifySignature(
  token: Pick<UnverifiedToken, "text" | "algorithm" | "keyId">,
  keys: readonly SignatureKey[],
): Promise<"verified" | "bad_signature" | "unknown_key"> {
  const fitting = keysFor(keys, token.algorithm, token.keyId);
  for (const key of fitting.slice(0, MAX_CANDIDATE_KEYS)) {
    try {
      await compactVerify(token.text, key.jwk, { algorithms: [token.algorithm] });
      return "verified";
    } catch {
      // jose's reasons (bad signature, a point off the curve) are one to the client and, for a key set, one to us:
      // this key did not make it.
    }
  }
  return fitting.length === 0 || token.keyId === undefined ? "unknown_key" : "bad_signature";
}

function decodeObject(part: string): Claims | undefined {
  try {
    const bytes = Uint8Array.fromBase64(part, { alphabet: "base64url" });
    // Strict: a replaced byte could make two subjects one.
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Claims) : undefined;
  } catch {
    return undefined;
  }
}

const isTime = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);

/** A lone surrogate or a NUL would change or break on its way to Postgres. */
function isSubject(value: unknown): value is string {
  return (
    typeof value === "string" &&
    value.length > 0 &&
    value.length <= MAX_SUBJECT_LENGTH &&
    value.isWellFormed() &&
    !/\p{Cc}/u.test(value)
  );
}

/** RFC 9449 §7.1, RFC 8705 §3: a token bound to a key is worth nothing to who cannot prove the key; we cannot ask for proof. */
function findSenderConstraint(claims: Claims): string | undefined {
  return "cnf" in claims ? "sender-constrained" : undefined;
}

/** Marks by which issuers that do not use `at+jwt` tell their other tokens apart. */
function findForeignMark(claims: Claims): string | undefined {
  const { typ, token_use } = claims;
  if (token_use !== undefined && token_use !== "access") return "token_use";
  if (typ !== undefined && (typeof typ !== "string" || !/^(bearer|at\+jwt|jwt)$/i.test(typ))) return "typ claim";
  // An ID token repeats the client's nonce; some older access tokens do so too, and say `typ: Bearer`.
  if ("nonce" in claims && typ === undefined) return "nonce";
  return FOREIGN_CLAIMS.find((claim) => claim in claims) ?? findSenderConstraint(claims);
}

/**
 * Rights as whole strings: the words of a string (RFC 6749 §3.3), the strings of an array, the names of an object.
 * A path is first a claim of that very name (they may hold dots), then a way through objects.
 */
function collectRights(claims: Claims, paths: readonly string[]): Set<string> {
  const rights = new Set<string>();
  for (const path of paths) {
    const value = Object.hasOwn(claims, path) ? claims[path] : followPath(claims, path.split("."));
    if (typeof value === "string") for (const word of value.split(" ")) rights.add(word);
    else if (Array.isArray(value)) {
      for (const item of value) if (typeof item === "string") rights.add(item);
    } else if (typeof value === "object" && value !== null) {
      for (const key of Object.keys(value)) rights.add(key);
    }
  }
  return rights;
}

function followPath(start: Claims, steps: readonly string[]): unknown {
  let value: unknown = start;
  for (const step of steps) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = Reflect.get(value, step);
  }
  return value;
}
