// Issuers: the local stack's authorization server for real tokens, and issuers that a test controls, for tokens that no honest
// issuer would sign and for keys that come and go.
import { inject } from "vitest";
import { openFaultProxy } from "./fault-proxy.ts";
import { keepSecret } from "./secrets.ts";
import { type SigningKey, formatKeySet, signToken } from "./signing.ts";

export type User = "owner" | "stranger" | "admin";

const tokens: { [user in User]?: Promise<string> } = {};

/** A real access token from the local stack's authorization server, by client credentials; fetched once. */
export const fetchToken = (user: User): Promise<string> => (tokens[user] ??= requestToken(user));

async function requestToken(user: User): Promise<string> {
  const { tokenEndpoint, clients } = inject("localStack");
  const { id, secret } = clients[user];
  const response = await fetch(tokenEndpoint, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`${id}:${secret}`)}` },
    body: new URLSearchParams({ grant_type: "client_credentials" }),
  });
  const { access_token } = (await response.json()) as { access_token: string };
  return keepSecret(access_token);
}

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
