// Tokens that no library would make: any header, any payload, any signature. A test says what is wrong with them.
import { keepSecret } from "./secrets.ts";
import type { SigningKey } from "./signing.ts";

const SHA: Record<string, string> = { "256": "SHA-256", "384": "SHA-384", "512": "SHA-512" };

/** base64url without padding: of a text's UTF-8, of bytes as they are, of anything else's JSON. */
export const encode = (value: unknown): string => toBase64url(toBytes(value));

export const toBase64url = (bytes: Uint8Array): string => bytes.toBase64({ alphabet: "base64url", omitPadding: true });

export const fromBase64url = (text: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(Uint8Array.fromBase64(text, { alphabet: "base64url" }));

/** A signed token. The signature is right for `algorithm` and the key, whatever the header says. */
export async function forge(header: unknown, payload: unknown, key: SigningKey, algorithm = key.algorithm) {
  const input = `${encode(header)}.${encode(payload)}`;
  return keepSecret(`${input}.${toBase64url(await signText(input, key, algorithm))}`);
}

async function signText(text: string, key: SigningKey, algorithm: string): Promise<Uint8Array> {
  const { curve, ...parameters } = parametersOf(algorithm, key);
  const { alg: _, key_ops: __, ...jwk } = (await crypto.subtle.exportKey("jwk", key.privateKey)) as JsonWebKey;
  const usable = await crypto.subtle.importKey("jwk", jwk, { ...parameters, ...curve }, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign(parameters, usable, toBytes(text)));
}

/** A token whose HMAC (HS256) is right for a secret: what confuses a verifier that takes a public key for one. */
export async function forgeHmac(header: unknown, payload: unknown, secret: Uint8Array): Promise<string> {
  const input = `${encode(header)}.${encode(payload)}`;
  // WebCrypto takes no empty key; HMAC pads a short one with zeros.
  const material = secret.length === 0 ? new Uint8Array(1) : Uint8Array.from(secret);
  const key = await crypto.subtle.importKey("raw", material, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return keepSecret(`${input}.${toBase64url(new Uint8Array(await crypto.subtle.sign("HMAC", key, toBytes(input))))}`);
}

/** The same token with its header's, payload's or signature's text replaced. */
export function replacePart(token: string, index: 0 | 1 | 2, replace: (part: string) => string): string {
  const parts = token.split(".");
  return parts.map((part, at) => (at === index ? replace(part) : part)).join(".");
}

function toBytes(value: unknown): Uint8Array<ArrayBuffer> {
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return Uint8Array.from(new TextEncoder().encode(text));
}

/** WebCrypto's words for a JOSE algorithm. An elliptic curve is the key's, so that hash and curve can be mismatched. */
function parametersOf(algorithm: string, key: SigningKey) {
  const size = algorithm.slice(2);
  const hash = SHA[size] ?? "SHA-256";
  switch (algorithm.slice(0, 2)) {
    case "RS":
      return { name: "RSASSA-PKCS1-v1_5", hash };
    case "PS":
      return { name: "RSA-PSS", hash, saltLength: Number(size) / 8 };
    case "ES":
      return { name: "ECDSA", hash, curve: { namedCurve: key.jwk.crv ?? "" } };
    default:
      return { name: "Ed25519" };
  }
}
