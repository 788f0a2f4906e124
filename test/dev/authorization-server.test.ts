// The local authorization server as the product relies on it: whose tokens say what, that nobody but the admin gets the admin
// scope, and that a page on this machine can sign in. What oidc-provider itself promises is not tested here.
import { createRemoteJWKSet, jwtVerify } from "jose";
import { describe, expect, inject, test } from "vitest";

const { variables, tokenEndpoint, authorizationEndpoint, clients } = inject("stack");
const { JWT_ISSUER: issuer, JWT_AUDIENCE: audience, JWKS_URL: jwksUrl } = variables;
const REDIRECT_URI = "http://127.0.0.1:54321/callback";
const keySet = createRemoteJWKSet(new URL(jwksUrl));

type User = keyof typeof clients;

interface TokenAnswer {
  access_token: string;
  scope: string;
}

function requestToken(form: Record<string, string>, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(tokenEndpoint, { method: "POST", headers, body: new URLSearchParams(form) });
}

function requestOwnToken(user: User, form: Record<string, string> = {}): Promise<Response> {
  const authorization = `Basic ${btoa(`${clients[user].id}:${clients[user].secret}`)}`;
  return requestToken({ grant_type: "client_credentials", ...form }, { authorization });
}

async function verify(response: Response) {
  expect(response.status).toBe(200);
  const { access_token: token } = await response.json<TokenAnswer>();
  return jwtVerify(token, keySet, { issuer, audience, typ: "at+jwt" });
}

for (const path of ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"]) {
  test(`${path} names the issuer and its endpoints, to any origin`, async () => {
    const response = await fetch(`${issuer}${path}`, { headers: { origin: "https://anywhere.example" } });
    expect(response.headers.get("access-control-allow-origin")).toBe("https://anywhere.example");
    expect(await response.json()).toMatchObject({
      issuer,
      jwks_uri: jwksUrl,
      token_endpoint: tokenEndpoint,
      authorization_endpoint: authorizationEndpoint,
    });
  });
}

describe("client credentials", () => {
  for (const [user, alg, scope] of [
    ["owner", "RS256", "crew-runs:read"],
    ["stranger", "ES256", "crew-runs:read"],
    ["admin", "RS256", "crew-runs:read crew-runs:admin"],
  ] as const) {
    test(`${user} gets an RFC 9068 token, signed with ${alg}, without naming resource or scope`, async () => {
      const { payload, protectedHeader } = await verify(await requestOwnToken(user));
      expect(protectedHeader).toEqual({ alg, kid: expect.any(String), typ: "at+jwt" });
      expect(payload).toMatchObject({ sub: user, client_id: user, scope, exp: Number(payload.iat) + 3_600 });
    });
  }

  test("the admin scope is refused to the others", async () => {
    for (const user of ["owner", "stranger"] as const) {
      const response = await requestOwnToken(user, { scope: "crew-runs:admin" });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: "invalid_scope" });
    }
  });
});

describe("authorization code", () => {
  for (const [account, asked, granted] of [
    ["owner", undefined, "crew-runs:read"],
    ["stranger", "crew-runs:admin", "crew-runs:read"],
    ["admin", "crew-runs:admin", "crew-runs:read crew-runs:admin"],
  ] as const) {
    test(`${account}, asking for ${asked ?? "no scope"}, signs in and gets ${granted}`, async () => {
      const { code, verifier } = await signIn(account, asked === undefined ? {} : { scope: asked });
      const { payload } = await verify(await redeem(code, verifier));
      expect(payload).toMatchObject({ sub: account, client_id: "browser", scope: granted });
    });
  }

  test("another verifier than the challenge's is refused", async () => {
    const { code } = await signIn("owner");
    const response = await redeem(code, "x".repeat(43));
    expect(await response.json()).toMatchObject({ error: "invalid_grant" });
  });

  test("the token endpoint answers pages on the loopback, and no others", async () => {
    for (const [origin, isAllowed] of [
      ["http://localhost:8787", true],
      ["http://127.0.0.1:5000", true],
      ["http://localhost.evil.example", false],
    ] as const) {
      const { code, verifier } = await signIn("owner");
      const response = await redeem(code, verifier, { origin });
      expect(response.status).toBe(isAllowed ? 200 : 400);
      expect(response.headers.get("access-control-allow-origin")).toBe(isAllowed ? origin : null);
      await response.body?.cancel();
    }
  });
});

/** From the client's request, through the sign-in page, to the code at its redirect URI. Keeps the page's cookies. */
async function signIn(account: User, parameters: Record<string, string> = {}) {
  const verifier = crypto.randomUUID().repeat(2);
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const query = new URLSearchParams({
    response_type: "code",
    client_id: "browser",
    redirect_uri: REDIRECT_URI,
    code_challenge: new Uint8Array(digest).toBase64({ alphabet: "base64url", omitPadding: true }),
    code_challenge_method: "S256",
    ...parameters,
  });
  const cookies = new Map<string, string>();
  const follow = async (address: string, init: RequestInit = {}): Promise<string> => {
    const cookie = [...cookies].map((pair) => pair.join("=")).join("; ");
    const response = await fetch(new URL(address, issuer), { ...init, redirect: "manual", headers: { cookie } });
    expect(response.status).toBe(303);
    for (const header of response.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(header) ?? [];
      cookies.set(name, value);
    }
    return response.headers.get("location") ?? "";
  };
  const page = await follow(`${authorizationEndpoint}?${query}`);
  const resumed = await follow(page, { method: "POST", body: new URLSearchParams({ account }) });
  const location = new URL(await follow(resumed));
  expect(location.href.startsWith(`${REDIRECT_URI}?`)).toBe(true);
  return { code: location.searchParams.get("code") ?? "", verifier };
}

function redeem(code: string, verifier: string, headers: Record<string, string> = {}): Promise<Response> {
  const form = { grant_type: "authorization_code", client_id: "browser", redirect_uri: REDIRECT_URI };
  return requestToken({ ...form, code, code_verifier: verifier }, headers);
}
