// The policy: which JWT is an access token for this API, and what it grants. Keys and clock are passed in; only the signature
// check is asynchronous. The checks that need no key come first, so that a bad token costs no key fetch; jose's jwtVerify would
// check the signature first.
// Sources: RFC 9068 §4, RFC 8725 §3, RFC 7519 §4.1, RFC 7515 §4.1, RFC 6750 §2.1 and §3.
import { type JWTVerifyGetKey, base64url, compactVerify, errors } from "jose";
import { Failure, type TokenProblem, refuseToken } from "../failure.ts";
import type { Settings } from "../settings.ts";

/** The longest tokens seen carry group lists and stay under 6 KB; common front ends refuse a header above 8 KB. */
const MAX_TOKEN_LENGTH = 8_192;
/** OpenID Connect Core §2 bounds `sub` to 255 characters; it becomes a query parameter and part of a cache key. */
const MAX_SUBJECT_LENGTH = 255;
const MAX_KEY_ID_LENGTH = 512;
/** Keys tried for a token without `kid`: each costs a signature check, and the token is not yet trusted. */
const MAX_CANDIDATE_KEYS = 4;

// One part of a compact JWS: base64url without padding and with zero trailing bits (RFC 4648 §3.5), so that a token has
// exactly one spelling.
const PART = "(?:[\\w-]{4})*(?:[\\w-][AQgw]|[\\w-]{2}[AEIMQUYcgkosw048])?";
const COMPACT_JWS = new RegExp(`^(${PART})\\.(${PART})\\.(${PART})$`);

/** Claims that only other kinds of JWT carry: ID tokens (OpenID Connect Core §2, §3.3.2.11), logout and security event tokens (RFC 8417). */
const FOREIGN_CLAIMS = ["at_hash", "c_hash", "s_hash", "events"];
/** Claims in which rights are text only: the names of an object's members grant nothing there. */
const TEXT_CLAIMS = ["scope", "scp", "permissions"];

/** A token whose header and claims fit; its signature is yet to be checked. */
export interface InspectedToken {
  text: string;
  algorithm: string;
  keyId: string | undefined;
  subject: string;
  rights: Set<string>;
  /** `exp`. */
  expiresAtSeconds: number;
}

type Members = Record<string, unknown>;

/**
 * Reads the token in an `Authorization` header (RFC 6750 §2.1). Two such headers reach a Worker as one value joined by a comma,
 * which no token contains. A token in the query or in a body isn't a credential (§5.3: URLs end up in logs). Fails with
 * `not_authenticated`, or with `invalid_token` if it doesn't have the form of a JWT.
 */
export function readBearerToken(authorization: string): { text: string; header: Members; claims: Members } {
  // The scheme alone: one pattern for scheme and token could backtrack over a long run of blanks.
  const [scheme] = /^bearer(?: +|$)/i.exec(authorization) ?? [];
  const text = authorization.slice(scheme?.length);
  if (scheme === undefined || text === "") throw new Failure("not_authenticated");
  demand(text.length <= MAX_TOKEN_LENGTH, "malformed", `longer than ${MAX_TOKEN_LENGTH}`);
  const [, header, claims, signature] = COMPACT_JWS.exec(text) ?? [];
  demand(header && claims && signature, "malformed", "not three base64url parts");
  return { text, header: decodeObject(header), claims: decodeObject(claims) };
}

/**
 * Checks header and claims of the token in an `Authorization` header. `nowSeconds` is the time since the epoch. Fails with
 * `not_authenticated` or `invalid_token`.
 */
export function inspectToken(authorization: string, settings: Settings, nowSeconds: number): InspectedToken {
  const { text, header, claims } = readBearerToken(authorization);
  const { alg, kid } = header;
  demand(typeof alg === "string" && settings.JWT_ALGORITHMS.includes(alg), "bad_signature", "algorithm not allowed");
  // RFC 8725 §3.10: a key id is untrusted input.
  demand(kid === undefined || isShortText(kid, MAX_KEY_ID_LENGTH), "malformed", "kid isn't a short string");
  checkKind(header, claims, settings.JWT_REQUIRE_AT_JWT);
  demand(claims["iss"] === settings.JWT_ISSUER, "wrong_issuer", "iss");
  const audiences = [claims[settings.AUDIENCE_CLAIM]].flat();
  const isForUs = settings.JWT_AUDIENCE.some((name) => audiences.includes(name));
  demand(isForUs, "wrong_audience", settings.AUDIENCE_CLAIM);
  const expiresAtSeconds = checkTimes(claims, settings.JWT_LEEWAY_SECONDS, nowSeconds);
  const subject = claims[settings.SUBJECT_CLAIM];
  demand(isSubject(subject), "no_subject", settings.SUBJECT_CLAIM);
  const rights = collectRights(claims, settings.RIGHTS_CLAIMS);
  return { text, algorithm: alg, keyId: kid, subject, rights, expiresAtSeconds };
}

/**
 * Checks the signature of a token with the key that `findKey` finds for it. `unknown_key`: no key in the set has this `kid`, or
 * the token has no `kid` and no candidate verified it.
 */
export async function verifySignature(
  { text, algorithm, keyId }: Pick<InspectedToken, "text" | "algorithm" | "keyId">,
  findKey: JWTVerifyGetKey,
): Promise<"verified" | "bad_signature" | "unknown_key"> {
  const options = { algorithms: [algorithm] };
  try {
    await compactVerify(text, findKey, options);
    return "verified";
  } catch (error) {
    if (error instanceof errors.JWKSNoMatchingKey) return "unknown_key";
    if (error instanceof errors.JWKSMultipleMatchingKeys) {
      let tried = 0;
      for await (const key of error) {
        if ((tried += 1) > MAX_CANDIDATE_KEYS) break;
        const madeIt = await compactVerify(text, key, options).catch(() => undefined);
        if (madeIt !== undefined) return "verified";
      }
    }
    // jose's other errors (bad signature, a point off the curve) mean the same here: this key didn't make the signature.
    return keyId === undefined ? "unknown_key" : "bad_signature";
  }
}

function demand(condition: unknown, problem: TokenProblem, why: string): asserts condition {
  if (!condition) throw refuseToken(problem, why);
}

function decodeObject(part: string): Members {
  let value: unknown;
  try {
    // Fatal: replacement characters could make two different subjects equal.
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(base64url.decode(part)));
  } catch {
    // Refused below.
  }
  demand(isObject(value), "malformed", "not JSON objects");
  return value;
}

/** RFC 8725 §3.11, §3.12: `typ` distinguishes the kinds of JWT (RFC 9068 §2.1), or else claims found only in other kinds. */
function checkKind(header: Members, claims: Members, mustBeAtJwt: boolean): void {
  // RFC 7515 §4.1.11: we understand no extension, so none may be critical; RFC 7797 §7: `b64` is not for JWTs.
  demand(!("crit" in header || "b64" in header), "malformed", "crit or b64");
  demand(!("enc" in header || "zip" in header), "wrong_kind", "encrypted or compressed");
  demand(!("cty" in header), "wrong_kind", "nested");
  // RFC 9449 §7.1, RFC 8705 §3: a sender-constrained token needs a proof of its key, which this API can't check.
  demand(!("cnf" in claims), "wrong_kind", "sender-constrained");
  const { typ: kind } = header;
  if (typeof kind === "string" && /^(application\/)?at\+jwt$/i.test(kind)) return;
  const isPlainJwt = kind === undefined || (typeof kind === "string" && /^(application\/)?jwt$/i.test(kind));
  demand(isPlainJwt && !mustBeAtJwt, "wrong_kind", "typ");
  // Claims by which issuers without `at+jwt` mark their other tokens.
  const { typ, token_use } = claims;
  demand(token_use === undefined || token_use === "access", "wrong_kind", "token_use");
  const isAccess = typ === undefined || (typeof typ === "string" && /^(bearer|at\+jwt|jwt)$/i.test(typ));
  demand(isAccess, "wrong_kind", "typ claim");
  // An ID token repeats the client's nonce. Some older access tokens do too, but with `typ: Bearer`.
  const mark = "nonce" in claims && typ === undefined ? "nonce" : FOREIGN_CLAIMS.find((claim) => claim in claims);
  demand(mark === undefined, "wrong_kind", String(mark));
}

/** RFC 7519 §4.1.4 to §4.1.6. Returns `exp`. */
function checkTimes(claims: Members, leewaySeconds: number, nowSeconds: number): number {
  const { exp } = claims;
  demand(isTime(exp), "malformed", "exp isn't a number");
  demand(exp + leewaySeconds > nowSeconds, "expired", "exp");
  for (const claim of ["nbf", "iat"]) {
    const time = claim in claims ? claims[claim] : 0;
    demand(isTime(time), "malformed", `${claim} isn't a number`);
    demand(time - leewaySeconds <= nowSeconds, "not_yet_valid", claim);
  }
  return exp;
}

const isTime = (value: unknown): value is number => Number.isFinite(value);
const isObject = (value: unknown): value is Members =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isShortText = (value: unknown, maxLength: number): value is string =>
  typeof value === "string" && value.length <= maxLength;

/** Without control characters and lone surrogates: a NUL and surrogates would break or change on their way to Postgres. */
const isSubject = (value: unknown): value is string =>
  isShortText(value, MAX_SUBJECT_LENGTH) && value !== "" && value.isWellFormed() && !/\p{Cc}/u.test(value);

/**
 * Rights as whole strings. A string is split at spaces (RFC 6749 §3.3); an array contributes its strings; an object in a claim
 * that the operator chose contributes the names of members that are `true` or an object that isn't an array (Zitadel's roles).
 */
function collectRights(claims: Members, paths: readonly string[]): Set<string> {
  const rights = paths.flatMap((path) => {
    const value = readPath(claims, path);
    if (typeof value === "string") return value.split(" ");
    if (Array.isArray(value)) return value.filter((item) => typeof item === "string");
    if (!isObject(value) || TEXT_CLAIMS.includes(path)) return [];
    return Object.keys(value).filter((name) => value[name] === true || isObject(value[name]));
  });
  return new Set(rights);
}

/** A path is the literal name of a claim, dots included, or else leads through nested objects. */
function readPath(claims: Members, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path];
  const step = (value: unknown, name: string) =>
    isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
  return path.split(".").reduce<unknown>(step, claims);
}
