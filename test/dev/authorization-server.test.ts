// The local authorization server as its clients meet it: scripts with a secret, a browser without, verifiers with its keys.
import { createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from "jose";
import { describe, expect, inject, test } from "vitest";

const { variables, tokenEndpoint, authorizationEndpoint, clients } = inject("stack");
const { JWT_ISSUER: issuer, JWT_AUDIENCE: audience, JWKS_URL: jwksUrl } = variables;
const redirectUri = "http://127.0.0.1:54321/callback";
const keySet = createRemoteJWKSet(new URL(jwksUrl));

type User = keyof typeof clients;
type TokenAnswer = { access_token: string; expires_in: number; scope?: string; token_type: string };

function requestToken(form: Record<string, string>, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(tokenEndpoint, { method: "POST", headers, body: new URLSearchParams(form) });
}

function requestOwnToken(user: User, form: Record<string, string> = {}): Promise<Response> {
  const { id, secret } = clients[user];
  const authorization = `Basic ${btoa(`${id}:${secret}`)}`;
  return requestToken({ grant_type: "client_credentials", ...form }, { authorization });
}

function verify(token: string) {
  return jwtVerify(token, keySet, { issuer, audience, typ: "at+jwt" });
}

describe("metadata and keys", () => {
  for (const path of ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"]) {
    test(`${path} names the issuer, the endpoints and what they take, to any origin`, async () => {
      const response = await fetch(`${issuer}${path}`, { headers: { origin: "https://anywhere.example" } });
      expect(response.status).toBe(200);
      expect(response.headers.get("access-control-allow-origin")).toBe("https://anywhere.example");
      expect(await response.json()).toMatchObject({
        issuer,
        jwks_uri: jwksUrl,
        token_endpoint: tokenEndpoint,
        authorization_endpoint: authorizationEndpoint,
        grant_types_supported: ["authorization_code", "client_credentials"],
        response_types_supported: ["code"],
        code_challenge_methods_supported: ["S256"],
        scopes_supported: ["openid", "crew-runs:read", "crew-runs:admin"],
      });
    });
  }

  test("the key set holds an RSA and an EC key, and nothing private", async () => {
    const response = await fetch(jwksUrl, { headers: { origin: "https://anywhere.example" } });
    expect(response.headers.get("content-type")).toMatch(/^application\/jwk-set\+json/);
    expect(response.headers.get("access-control-allow-origin")).toBe("https://anywhere.example");
    const { keys } = await response.json<{ keys: Record<string, string>[] }>();
    expect(keys.map(({ kty, alg, use, crv }) => ({ kty, alg, use, crv }))).toEqual([
      { kty: "RSA", alg: "RS256", use: "sig", crv: undefined },
      { kty: "EC", alg: "ES256", use: "sig", crv: "P-256" },
    ]);
    expect(keys.map((key) => Object.keys(key).toSorted())).toEqual([
      ["alg", "e", "kid", "kty", "n", "use"],
      ["alg", "crv", "kid", "kty", "use", "x", "y"],
    ]);
  });
});

describe("client credentials", () => {
  for (const [user, algorithm, scope] of [
    ["owner", "RS256", "crew-runs:read"],
    ["stranger", "ES256", "crew-runs:read"],
    ["admin", "RS256", "crew-runs:read crew-runs:admin"],
  ] as const) {
    test(`${user} gets an RFC 9068 token, signed with ${algorithm}, without naming resource or scope`, async () => {
      const response = await requestOwnToken(user);
      expect(response.status).toBe(200);
      const answer = await response.json<TokenAnswer>();
      expect(answer).toEqual({
        access_token: expect.any(String),
        expires_in: 3600,
        scope,
        token_type: "Bearer",
      });
      expect(decodeProtectedHeader(answer.access_token)).toEqual({
        alg: algorithm,
        kid: expect.any(String),
        typ: "at+jwt",
      });
      const { payload } = await verify(answer.access_token);
      expect(payload).toEqual({
        iss: issuer,
        aud: audience,
        sub: user,
        client_id: user,
        scope,
        jti: expect.any(String),
        iat: expect.any(Number),
        exp: Number(payload.iat) + 3600,
      });
    });
  }

  test("two tokens differ in their jti", async () => {
    const [one, other] = await Promise.all(
      [requestOwnToken("owner"), requestOwnToken("owner")].map(async (response) => {
        const { access_token } = await (await response).json<TokenAnswer>();
        return (await verify(access_token)).payload.jti;
      }),
    );
    expect(one).not.toBe(other);
  });

  test("a named scope is all that the token gets", async () => {
    const response = await requestOwnToken("admin", { scope: "crew-runs:read" });
    const { access_token } = await response.json<TokenAnswer>();
    expect((await verify(access_token)).payload["scope"]).toBe("crew-runs:read");
  });

  for (const user of ["owner", "stranger"] as const) {
    test(`the admin scope is refused to ${user}`, async () => {
      const response = await requestOwnToken(user, { scope: "crew-runs:admin" });
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({ error: "invalid_scope", scope: "crew-runs:admin" });
    });
  }

  test("another resource is refused", async () => {
    const response = await requestOwnToken("owner", { resource: "https://other.example" });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: "invalid_target" });
  });

  test("a wrong secret is refused", async () => {
    const authorization = `Basic ${btoa(`owner:${clients.stranger.secret}`)}`;
    const response = await requestToken({ grant_type: "client_credentials" }, { authorization });
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ error: "invalid_client" });
  });

  test("the browser's client, which has no secret, gets none", async () => {
    const response = await requestToken({ grant_type: "client_credentials", client_id: "browser" });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: "invalid_request" });
  });
});

describe("authorization code", () => {
  for (const [account, asked, granted] of [
    ["owner", undefined, "crew-runs:read"],
    ["stranger", "crew-runs:admin", "crew-runs:read"],
    ["admin", "crew-runs:admin", "crew-runs:read crew-runs:admin"],
  ] as const) {
    test(`${account}, asking for ${asked ?? "no scope"}, signs in and gets ${granted}`, async () => {
      const { code, verifier, response } = await signIn(account, asked === undefined ? {} : { scope: asked });
      expect(response).toMatchObject({ state: "a state & more", iss: issuer });
      const answer = await redeem(code, verifier);
      expect(answer.status).toBe(200);
      const { access_token, scope } = await answer.json<TokenAnswer>();
      expect(scope).toBe(granted);
      expect((await verify(access_token)).payload).toMatchObject({
        sub: account,
        client_id: "browser",
        scope: granted,
      });
    });
  }

  test("the page loads nothing, may not be framed, and sends its form only here and on to the client", async () => {
    const browser = new Browser();
    const { request } = await makeRequest();
    const page = await browser.follow(await browser.get(request));
    expect(page.status).toBe(200);
    expect(page.headers.get("content-security-policy")).toMatch(
      /^default-src 'none'; style-src 'sha256-[^']+'; form-action 'self' http:\/\/127\.0\.0\.1:54321; base-uri 'none'; frame-ancestors 'none'$/,
    );
    const html = await page.text();
    expect(html).not.toMatch(/<script|src=|href=|url\(/);
    expect(html.match(/(?<=<button name="account" value=")\w+/g)).toEqual(["owner", "stranger", "admin"]);
  });

  test("each sign-in asks anew, so that one browser can be three users", async () => {
    const browser = new Browser();
    for (const account of ["owner", "admin"] as const) {
      const { code, verifier } = await signIn(account, {}, browser);
      const { access_token } = await (await redeem(code, verifier)).json<TokenAnswer>();
      expect((await verify(access_token)).payload.sub).toBe(account);
    }
  });

  test("without PKCE, or with its plain method, the request is refused", async () => {
    for (const [parameters, description] of [
      [{ code_challenge: "", code_challenge_method: "" }, /requires PKCE/],
      [{ code_challenge_method: "plain" }, /code_challenge_method/],
    ] as const) {
      const { request } = await makeRequest(parameters);
      const response = await new Browser().get(request);
      expect(response.status).toBe(303);
      const answer = new URL(response.headers.get("location") ?? "").searchParams;
      expect(answer.get("error")).toBe("invalid_request");
      expect(answer.get("error_description")).toMatch(description);
      expect(answer.has("code")).toBe(false);
    }
  });

  test("another verifier than the challenge's is refused", async () => {
    const { code } = await signIn("owner");
    const response = await redeem(code, "x".repeat(43));
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: "invalid_grant" });
  });

  test("a code works once", async () => {
    const { code, verifier } = await signIn("owner");
    expect((await redeem(code, verifier)).status).toBe(200);
    expect(await (await redeem(code, verifier)).json()).toMatchObject({ error: "invalid_grant" });
  });

  test("an unregistered redirect URI gets a page, not a redirect", async () => {
    const { request } = await makeRequest({ redirect_uri: "http://127.0.0.1.evil.example/callback" });
    const response = await new Browser().get(request);
    expect(response.status).toBe(400);
    expect(response.headers.has("location")).toBe(false);
    expect(await response.text()).toContain("redirect_uri");
  });

  test("nobody signs in without the page's cookie, or as an account that does not exist", async () => {
    const browser = new Browser();
    const { request } = await makeRequest();
    const address = (await browser.get(request)).headers.get("location") ?? "";
    expect((await new Browser().post(address, { account: "admin" })).status).toBe(400);
    expect((await browser.post(address, { account: "root" })).status).toBe(400);
  });

  test("the token endpoint answers pages on the loopback, and no others", async () => {
    for (const [origin, isAllowed] of [
      ["http://localhost:8787", true],
      ["http://127.0.0.1:5000", true],
      ["http://localhost.evil.example", false],
      ["null", false],
    ] as const) {
      const { code, verifier } = await signIn("owner");
      const response = await redeem(code, verifier, { origin });
      expect(response.status).toBe(isAllowed ? 200 : 400);
      expect(response.headers.get("access-control-allow-origin")).toBe(isAllowed ? origin : null);
    }
  });
});

/** A browser without a screen: it keeps cookies with their paths, and follows redirects when told to. */
class Browser {
  readonly #cookies = new Map<string, { value: string; path: string }>();

  get(address: string): Promise<Response> {
    return this.#send(address, {});
  }

  post(address: string, form: Record<string, string>): Promise<Response> {
    return this.#send(address, { method: "POST", body: new URLSearchParams(form) });
  }

  follow(response: Response): Promise<Response> {
    expect(response.status).toBe(303);
    return this.get(response.headers.get("location") ?? "");
  }

  async #send(address: string, init: RequestInit): Promise<Response> {
    const url = new URL(address, issuer);
    const cookies = [...this.#cookies].filter(([, { path }]) => url.pathname.startsWith(path));
    const cookie = cookies.map(([name, { value }]) => `${name}=${value}`).join("; ");
    const response = await fetch(url, {
      ...init,
      redirect: "manual",
      headers: { accept: "text/html", cookie },
    });
    for (const header of response.headers.getSetCookie()) {
      const [, name = "", value = "", path = "/"] = /^([^=]+)=([^;]*);.*?path=([^;]+)/.exec(header) ?? [];
      this.#cookies.set(name, { value, path });
    }
    return response;
  }
}

async function makeRequest(parameters: Record<string, string> = {}): Promise<{ request: string; verifier: string }> {
  const verifier = encodeBase64Url(crypto.getRandomValues(new Uint8Array(32)));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const query = new URLSearchParams({
    response_type: "code",
    client_id: "browser",
    redirect_uri: redirectUri,
    state: "a state & more",
    code_challenge: encodeBase64Url(new Uint8Array(digest)),
    code_challenge_method: "S256",
    ...parameters,
  });
  return { request: `${authorizationEndpoint}?${query}`, verifier };
}

/** All the way from the client's request to the answer at its redirect URI. */
async function signIn(account: User, parameters: Record<string, string> = {}, browser = new Browser()) {
  const { request, verifier } = await makeRequest(parameters);
  const address = (await browser.get(request)).headers.get("location") ?? "";
  expect((await browser.get(address)).status).toBe(200);
  const resumed = await browser.follow(await browser.post(address, { account }));
  const location = new URL(resumed.headers.get("location") ?? "");
  expect(location.href.startsWith(`${redirectUri}?`)).toBe(true);
  const response = Object.fromEntries(location.searchParams);
  return { code: response["code"] ?? "", verifier, response };
}

function redeem(code: string, verifier: string, headers: Record<string, string> = {}): Promise<Response> {
  const form = { grant_type: "authorization_code", client_id: "browser", redirect_uri: redirectUri };
  return requestToken({ ...form, code, code_verifier: verifier }, headers);
}

function encodeBase64Url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");
}
