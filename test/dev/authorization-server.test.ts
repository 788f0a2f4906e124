// The local authorization server by its tokens: each says whose it is, and only the admin gets the admin scope.
// How a user signs in, test/operations/clients.test.ts shows; the promises of oidc-provider itself are not tested.
import { createRemoteJWKSet, jwtVerify } from "jose";
import { expect, inject, test } from "vitest";

const { variables, tokenEndpoint, clients } = inject("stack");
const { JWT_ISSUER: issuer, JWT_AUDIENCE: audience, JWKS_URL: jwksUrl } = variables;

function requestToken(user: keyof typeof clients, form: Record<string, string> = {}): Promise<Response> {
  const { id, secret } = clients[user];
  return fetch(tokenEndpoint, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`${id}:${secret}`)}` },
    body: new URLSearchParams({ grant_type: "client_credentials", ...form }),
  });
}

test.for([
  ["owner", "RS256", "crew-runs:read"],
  ["stranger", "ES256", "crew-runs:read"],
  ["admin", "RS256", "crew-runs:read crew-runs:admin"],
] as const)("%s gets an RFC 9068 token, signed with %s, for %s", async ([user, alg, scope]) => {
  const { access_token: token } = await (await requestToken(user)).json<{ access_token: string }>();
  const keySet = createRemoteJWKSet(new URL(jwksUrl));
  const { payload, protectedHeader } = await jwtVerify(token, keySet, { issuer, audience, typ: "at+jwt" });
  expect(protectedHeader).toEqual({ alg, kid: expect.any(String), typ: "at+jwt" });
  expect(payload).toMatchObject({ sub: user, client_id: user, scope, exp: Number(payload.iat) + 3_600 });
});

test.for(["owner", "stranger"] as const)("%s is refused the admin scope", async (user) => {
  const response = await requestToken(user, { scope: "crew-runs:admin" });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ error: "invalid_scope" });
});

test.for([
  ["http://localhost:8787", true],
  ["http://127.0.0.1:5000", true],
  ["http://localhost.evil.example", false],
] as const)("a page of %s may ask for a token: %s", async ([origin, isAllowed]) => {
  const form = { grant_type: "authorization_code", client_id: "browser", redirect_uri: "http://127.0.0.1/docs" };
  const body = new URLSearchParams({ ...form, code: "x", code_verifier: "x".repeat(43) });
  const response = await fetch(tokenEndpoint, { method: "POST", headers: { origin }, body });
  expect(response.status).toBe(400);
  expect(response.headers.get("access-control-allow-origin")).toBe(isAllowed ? origin : null);
  expect(await response.json()).toMatchObject({ error: isAllowed ? "invalid_grant" : "invalid_request" });
});
