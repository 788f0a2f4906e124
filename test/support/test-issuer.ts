// An issuer that a test controls, for tokens that no honest issuer would sign and for keys that come and go.
import type { FaultProxy, Upstream } from "./fault-proxy-protocol.ts";
import { type SigningKey, formatKeySet, signToken } from "./signing.ts";

export interface TestIssuer {
  /** The key endpoint. */
  proxy: FaultProxy;
  /** What a Worker needs to trust this issuer. */
  variables: { JWT_ISSUER: string; JWT_AUDIENCE: string; JWKS_URL: string };
  /** Publishes other keys from now on; anything may be among them. */
  publish(keys: readonly unknown[]): Promise<void>;
  /** Signs as `signToken` does, with the issuer's first key unless another is given. */
  sign(
    claims?: Record<string, unknown>,
    options?: { key?: SigningKey; header?: Record<string, unknown> },
  ): Promise<string>;
}

/** Opens an issuer whose key endpoint is a fault proxy. */
export async function openIssuerAt(
  open: (upstream: Upstream) => FaultProxy | Promise<FaultProxy>,
  keys: readonly SigningKey[],
  audience = "https://api.example.com",
): Promise<TestIssuer> {
  const proxy = await open({ text: formatKeySet(keys.map(({ jwk }) => jwk)) });
  const issuer = `https://issuer.test/${crypto.randomUUID()}`;
  const [first] = keys;
  return {
    proxy,
    variables: { JWT_ISSUER: issuer, JWT_AUDIENCE: audience, JWKS_URL: proxy.url },
    publish: (published) => proxy.serve({ text: formatKeySet(published) }),
    async sign(claims = {}, { key = first, header = {} } = {}) {
      if (key === undefined) throw new Error("no key to sign with");
      return signToken(key, { iss: issuer, aud: audience, ...claims }, header);
    },
  };
}
