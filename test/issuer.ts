// Issuers for the tests: the stack's own, for real tokens; and one that a test controls, for tokens that no honest issuer
// would sign and for keys that come and go.
import { type CryptoKey, type JWK, SignJWT, exportJWK, generateKeyPair } from "jose";
import { inject } from "vitest";
import { type Lane, openLane } from "./lane.ts";

export type User = "owner" | "stranger" | "admin";

const tokens = new Map<User, Promise<string>>();

/** A real access token from the stack's authorization server, by client credentials; asked for once. */
export function fetchToken(user: User): Promise<string> {
  const known = tokens.get(user) ?? requestToken(user);
  tokens.set(user, known);
  return known;
}

async function requestToken(user: User): Promise<string> {
  const { tokenEndpoint, clients } = inject("stack");
  const { id, secret } = clients[user];
  const response = await fetch(tokenEndpoint, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`${id}:${secret}`)}` },
    body: new URLSearchParams({ grant_type: "client_credentials" }),
  });
  const { access_token } = await response.json<{ access_token: string }>();
  return access_token;
}

export interface SigningKey {
  algorithm: string;
  privateKey: CryptoKey;
  /** As it is published: with `kid`, `alg` and `use`. */
  jwk: JWK;
}

/** Makes a key pair. `jwk` members given here replace those of the published key; undefined removes one. */
export async function makeKey(algorithm: string, members: Record<string, unknown> = {}): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  const published = {
    ...(await exportJWK(publicKey)),
    kid: crypto.randomUUID(),
    alg: algorithm,
    use: "sig",
    ...members,
  };
  return { algorithm, privateKey, jwk: JSON.parse(JSON.stringify(published)) };
}

export interface TestIssuer {
  lane: Lane;
  /** What a Worker needs to trust this issuer. */
  variables: { JWT_ISSUER: string; JWKS_URL: string };
  /** Publishes other keys from now on; anything may be among them. */
  publish(keys: readonly unknown[]): Promise<void>;
  /**
   * Signs claims that a good token has, with the given ones replaced (undefined removes one).
   * `header` likewise; the key is the issuer's first unless given.
   */
  sign(
    claims?: Record<string, unknown>,
    options?: { key?: SigningKey; header?: Record<string, unknown> },
  ): Promise<string>;
}

/** Opens an issuer of this test's own, with its key endpoint on a lane. */
export async function openIssuer(keys: readonly SigningKey[]): Promise<TestIssuer> {
  const keySet = (jwks: readonly unknown[]) => ({ text: JSON.stringify({ keys: jwks }) });
  const lane = await openLane(keySet(keys.map(({ jwk }) => jwk)));
  const issuer = `https://issuer.test/${crypto.randomUUID()}`;
  const [first] = keys;
  return {
    lane,
    variables: { JWT_ISSUER: issuer, JWKS_URL: lane.url },
    publish: (jwks) => lane.serve(keySet(jwks)),
    async sign(claims = {}, { key = first, header = {} } = {}) {
      if (key === undefined) throw new Error("no key to sign with");
      const nowSeconds = Math.floor(Date.now() / 1_000);
      const good = {
        iss: issuer,
        aud: inject("stack").variables.JWT_AUDIENCE,
        sub: "owner",
        client_id: "tests",
        iat: nowSeconds,
        exp: nowSeconds + 300,
        jti: crypto.randomUUID(),
        scope: "crew-runs:read",
        ...claims,
      };
      const protectedHeader = { alg: key.algorithm, typ: "at+jwt", kid: key.jwk.kid, ...header };
      return new SignJWT(JSON.parse(JSON.stringify(good)))
        .setProtectedHeader(JSON.parse(JSON.stringify(protectedHeader)))
        .sign(key.privateKey);
    },
  };
}
