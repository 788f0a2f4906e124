// Which keys of a key set may verify a signature, and which of them fits a token. Pure.
// A key that does not fit the rules is passed over; it never spoils the others.

/** A public key for signatures, reduced to what the check needs: a strange member in the set changes nothing. */
export interface SignatureKey {
  keyId: string | undefined;
  algorithms: readonly string[];
  jwk: Record<string, string>;
}

const CURVE_ALGORITHMS: Record<string, readonly string[]> = {
  "P-256": ["ES256"],
  "P-384": ["ES384"],
  "P-521": ["ES512"],
  // One algorithm with two names (RFC 9864 §2.2).
  Ed25519: ["EdDSA", "Ed25519"],
};

/** RFC 7518 §3.3: 2048 bits or more. The ceiling bounds what one check can cost. */
const MIN_RSA_BITS = 2_048;
const MAX_RSA_BITS = 8_192;

/**
 * Reads the `keys` of a JSON Web Key Set (RFC 7517 §5). `algorithms` are those allowed, in order of preference.
 * Each key has one algorithm (RFC 8725 §3.1): its `alg`, else its curve's, else the first RSA one allowed.
 */
export function readSignatureKeys(keys: readonly unknown[], algorithms: readonly string[]): SignatureKey[] {
  return keys.flatMap((key) => readSignatureKey(key, algorithms) ?? []);
}

/** The keys that may have signed a token with this `alg` and `kid`. */
export function keysFor(keys: readonly SignatureKey[], algorithm: string, keyId: string | undefined): SignatureKey[] {
  return keys.filter((key) => key.algorithms.includes(algorithm) && (keyId === undefined || key.keyId === keyId));
}

function readSignatureKey(key: unknown, allowed: readonly string[]): SignatureKey | undefined {
  if (typeof key !== "object" || key === null) return undefined;
  const { kty, kid, use, key_ops, alg, crv, x, y, n, e, d } = key as Record<string, unknown>;
  // A private key on a public page has lost its worth: anyone can sign with it.
  if (d !== undefined) return undefined;
  if (use !== undefined && use !== "sig") return undefined;
  if (key_ops !== undefined && !(Array.isArray(key_ops) && key_ops.includes("verify"))) return undefined;
  if (kid !== undefined && typeof kid !== "string") return undefined;

  let fit: readonly string[];
  let jwk: Record<string, unknown>;
  if (kty === "RSA" && isSoundRsa(n, e)) {
    const rsa = allowed.filter((name) => name.startsWith("RS") || name.startsWith("PS"));
    fit = alg === undefined ? rsa.slice(0, 1) : rsa;
    jwk = { kty, n, e };
  } else if ((kty === "EC" || kty === "OKP") && typeof crv === "string" && typeof x === "string") {
    fit = (Object.hasOwn(CURVE_ALGORITHMS, crv) && CURVE_ALGORITHMS[crv]) || [];
    if ((kty === "EC") !== (typeof y === "string")) return undefined;
    jwk = kty === "EC" ? { kty, crv, x, y } : { kty, crv, x };
  } else return undefined;

  const algorithms = fit.filter((name) => allowed.includes(name) && (alg === undefined || isSame(name, alg)));
  if (algorithms.length === 0) return undefined;
  return { keyId: kid, algorithms, jwk: jwk as Record<string, string> };
}

function isSame(name: string, alg: unknown): boolean {
  const ed25519 = CURVE_ALGORITHMS["Ed25519"] ?? [];
  return name === alg || (ed25519.includes(name) && typeof alg === "string" && ed25519.includes(alg));
}

/** Modulus within bounds and odd exponent above 1: with exponent 1 every text is its own signature. */
function isSoundRsa(n: unknown, e: unknown): boolean {
  if (typeof n !== "string" || typeof e !== "string") return false;
  try {
    const modulus = Uint8Array.fromBase64(n, { alphabet: "base64url" });
    const exponent = Uint8Array.fromBase64(e, { alphabet: "base64url" });
    const first = modulus.findIndex((byte) => byte !== 0);
    const bits = (modulus.length - first) * 8 - Math.clz32(modulus[first] ?? 0) + 24;
    const value = exponent.reduce((sum, byte) => sum * 256 + byte, 0);
    return (
      first >= 0 && bits >= MIN_RSA_BITS && bits <= MAX_RSA_BITS && value > 1 && value % 2 === 1 && exponent.length <= 4
    );
  } catch {
    return false;
  }
}
