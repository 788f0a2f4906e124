// Which keys of a published JSON Web Key Set (RFC 7517 §5) may verify a signature. Pure.
// jose finds a token's key among them by `kid`, `alg` and curve. A key that can't be used would
// only fail at the first token, and a set of such keys must not replace good ones.
import { type JWK, base64url } from "jose";

/** RFC 7518 §3.3 demands 2048 bits. The ceiling bounds what one check can cost. */
const RSA_BYTES = { min: 256, max: 1_024 };
/** The algorithm of a curve (RFC 7518 §3.4), and the characters of a coordinate (§6.2.1, RFC 8037 §2). */
const EC_ALGORITHMS: Record<string, string> = { "P-256": "ES256", "P-384": "ES384", "P-521": "ES512" };
const COORDINATE_LENGTHS: Record<string, number> = { "P-256": 43, "P-384": 64, "P-521": 88, Ed25519: 43 };

/**
 * Returns the usable keys of a key set's text; a key that breaks a rule is skipped. `algorithms` are those allowed, in order of
 * preference. Throws if the text isn't JSON (SyntaxError, which quotes it), isn't a key set or contains no usable key.
 */
export function readKeySet(text: string, algorithms: readonly string[]): { keys: JWK[] } {
  const published: unknown = JSON.parse(text)?.keys;
  if (!Array.isArray(published)) throw new Error("the reply isn't a JSON Web Key Set");
  const keys = published.flatMap((key) => readKey(key, algorithms) ?? []);
  if (keys.length === 0) throw new Error("the key set contains no usable signature key");
  return { keys: keys as JWK[] };
}

/**
 * A key, reduced to the members that the check needs. Each has one algorithm (RFC 8725 §3.1): its `alg`,
 * else its curve's, else the first RSA one allowed.
 */
function readKey(key: Partial<JWK> | null, allowed: readonly string[]): object | undefined {
  // Anyone can sign with a private key that is published.
  if (typeof key !== "object" || key === null || "d" in key || (key.use ?? "sig") !== "sig") return undefined;
  if (key.kid !== undefined && typeof key.kid !== "string") return undefined;
  const { kty, kid, alg, key_ops, crv = "", x, y, n, e } = key;
  if (![key_ops ?? "verify"].flat().includes("verify")) return undefined;
  const used = { kty, ...(kid !== undefined && { kid }) };
  if (kty === "RSA") {
    const algorithm = alg ?? allowed.find((name) => /^[RP]S/.test(name)) ?? "";
    return isSoundRsa(n, e) && allowed.includes(algorithm) ? { ...used, alg: algorithm, n, e } : undefined;
  }
  // Two more or less: some issuers leave out or add a leading zero byte, or add padding.
  const hasLength = (part: unknown) => Math.abs(String(part).length - (COORDINATE_LENGTHS[crv] ?? NaN)) <= 2;
  const ofCurve = EC_ALGORITHMS[crv] ?? "";
  const isEc = kty === "EC" && (alg ?? ofCurve) === ofCurve && allowed.includes(ofCurve);
  if (isEc) return hasLength(x) && hasLength(y) ? { ...used, alg, crv, x, y } : undefined;
  // One algorithm with two names (RFC 9864 §2.2): the key does not choose between them, the token does.
  const names = ["EdDSA", "Ed25519"];
  const isEd25519 = kty === "OKP" && crv === "Ed25519" && names.includes(alg ?? "EdDSA");
  return isEd25519 && names.some((name) => allowed.includes(name)) && hasLength(x) ? { ...used, crv, x } : undefined;
}

/** Modulus within bounds and odd exponent above 1: with exponent 1 every text is its own signature. */
function isSoundRsa(n: unknown, e: unknown): boolean {
  try {
    const { length } = base64url.decode(String(n));
    const exponent = base64url.decode(String(e)).reduce((sum, byte) => sum * 256 + byte, 0);
    const hasLength = length >= RSA_BYTES.min && length <= RSA_BYTES.max;
    return hasLength && exponent > 1 && exponent < 2 ** 32 && exponent % 2 === 1;
  } catch {
    return false;
  }
}
