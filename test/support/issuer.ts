// Issuers: the local stack's authorization server for real tokens, and test issuers.
import { inject } from "vitest";
import { openFaultProxy } from "./fault-proxy.ts";
import { keepSecret } from "./secrets.ts";
import type { SigningKey } from "./signing.ts";
import { type TestIssuer, openIssuerAt } from "./test-issuer.ts";

export type User = "owner" | "stranger" | "admin";

const tokens = new Map<User, Promise<string>>();

/** A real access token from the local stack's authorization server, by client credentials; fetched once. */
export function fetchToken(user: User): Promise<string> {
  const known = tokens.get(user) ?? requestToken(user);
  tokens.set(user, known);
  return known;
}

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

/** Opens an issuer of this test's own. */
export const openIssuer = (keys: readonly SigningKey[]): Promise<TestIssuer> =>
  openIssuerAt(openFaultProxy, keys, inject("localStack").variables.JWT_AUDIENCE);
