// Keys and the tokens that they sign, by jose, in workerd and in Node. Tokens that no library would make: forged-token.ts.
import { type CryptoKey, type JWK, SignJWT, exportJWK, generateKeyPair } from "jose";
import { keepSecret } from "./secrets.ts";

export interface SigningKey {
  algorithm: string;
  privateKey: CryptoKey;
  /** As it is published: with `kid`, `alg` and `use`. */
  jwk: JWK;
}

/** Makes a key pair. `jwk` members given here replace those of the published key; undefined removes one. */
export async function makeKey(algorithm: string, members: Record<string, unknown> = {}): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid: crypto.randomUUID(), alg: algorithm, use: "sig", ...members };
  return { algorithm, privateKey, jwk: JSON.parse(JSON.stringify(jwk)) };
}

/** A JSON Web Key Set; anything may be among the keys. */
export const formatKeySet = (keys: readonly unknown[]): string => JSON.stringify({ keys });

/** Signs an access token as RFC 9068 shapes it. Claims and header members replace the good ones; undefined removes one. */
export async function signToken(
  key: SigningKey,
  claims: { iss: string; aud: string } & Record<string, unknown>,
  header: Record<string, unknown> = {},
): Promise<string> {
  const nowSeconds = Math.floor(Date.now() / 1_000);
  const good = {
    sub: "owner",
    client_id: "tests",
    iat: nowSeconds,
    exp: nowSeconds + 300,
    jti: crypto.randomUUID(),
    scope: "crew-runs:read",
    ...claims,
  };
  const protectedHeader = { alg: key.algorithm, typ: "at+jwt", kid: key.jwk.kid, ...header };
  const token = new SignJWT(JSON.parse(JSON.stringify(good)));
  return keepSecret(await token.setProtectedHeader(JSON.parse(JSON.stringify(protectedHeader))).sign(key.privateKey));
}
