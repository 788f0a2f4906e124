// Issuers that a test controls, for tokens that no honest issuer would sign and for keys that come and go.
import { inject } from "vitest";
import { openFaultProxy } from "./fault-proxy.ts";
import { type SigningKey, formatKeySet, signToken } from "./signing.ts";

export type User = "owner" | "stranger" | "admin";

export type TestIssuer = Awaited<ReturnType<typeof openIssuer>>;

/** Opens an issuer of this test's own. */
export async function openIssuer(keys: readonly SigningKey[]) {
  const proxy = await openFaultProxy({ text: formatKeySet(keys.map(({ jwk }) => jwk)) });
  const issuer = `https://issuer.test/${crypto.randomUUID()}`;
  const { JWT_AUDIENCE } = inject("localStack").variables;
  const [first] = keys;
  return {
    /** The key endpoint. */
    proxy,
    /** What a Worker needs to trust this issuer. */
    variables: { JWT_ISSUER: issuer, JWT_AUDIENCE, JWKS_URL: proxy.url },
    /** Publishes other keys from now on; anything may be among them. */
    publish: (published: readonly unknown[]) => proxy.serve({ text: formatKeySet(published) }),
    /** Signs as `signToken` does, with the issuer's first key unless another is given. */
    async sign(
      claims: Record<string, unknown> = {},
      { key = first, header = {} }: { key?: SigningKey | undefined; header?: Record<string, unknown> } = {},
    ) {
      if (key === undefined) throw new Error("no key to sign with");
      return signToken(key, { iss: issuer, aud: JWT_AUDIENCE, ...claims }, header);
    },
  };
}
