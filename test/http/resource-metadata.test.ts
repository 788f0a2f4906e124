// Protected resource metadata (RFC 9728): a strict client finds its way from a 401 to the issuer, whatever the audience is.
import { expect, inject, test } from "vitest";
import { createTestApp } from "../support/test-app.ts";

const { variables } = inject("localStack");
const PATH = "/.well-known/oauth-protected-resource";

const ask = (url: string, settings: Record<string, unknown> = {}) => createTestApp(settings).fetch("", {}, url);

test("a 401 leads to the resource's metadata, and they to the issuer and to documentation", async () => {
  const challenge = (await createTestApp().fetch("/api/crew-runs/x")).headers.get("www-authenticate") ?? "";
  const [, address = ""] = /resource_metadata="([^"]+)"/.exec(challenge) ?? [];
  const response = await ask(address);
  expect(response.status).toBe(200);
  expect(response.headers.get("cache-control")).toBe("public, max-age=3600");
  expect(await response.json()).toEqual({
    resource: new URL(address).origin,
    resource_name: "Crew runs",
    authorization_servers: [variables.JWT_ISSUER],
    bearer_methods_supported: ["header"],
    resource_documentation: "https://api.test/docs",
  });
});

test("a quote in Host does not break the challenge", async () => {
  const response = await ask('https://a"b.test/api/crew-runs/x');
  expect(response.status).toBe(401);
  expect(response.headers.get("www-authenticate")).toBe(`Bearer resource_metadata="${PATH}"`);
});

test.each(["https://api.example.com", "crew-runs", "https://issuer.example.com"])(
  "the resource is the origin that was asked, where the audience is %s",
  async (JWT_AUDIENCE) => {
    for (const origin of ["https://one.test", "https://two.test"]) {
      expect(await (await ask(origin + PATH, { JWT_AUDIENCE })).json()).toMatchObject({ resource: origin });
    }
  },
);

test.each([
  ["https://api.test/", "https://api.test/"],
  ["https://api.test", "https://api.test"],
  ["https://elsewhere.test/ https://api.test/", "https://api.test/"],
  ["https://elsewhere.test/", "https://api.test"],
])("the resource is spelt as the audience is: with JWT_AUDIENCE %s it is %s", async (JWT_AUDIENCE, resource) => {
  expect(await (await ask(`https://api.test${PATH}`, { JWT_AUDIENCE })).json()).toMatchObject({ resource });
});

test("an audience that is a URL of this origin with a path has metadata of its own", async () => {
  const settings = { JWT_AUDIENCE: "https://api.test/crews, https://elsewhere.test/other" };
  const response = await ask(`https://api.test${PATH}/crews`, settings);
  expect(await response.json()).toMatchObject({ resource: "https://api.test/crews" });
  for (const path of ["/other", "/crews/", "/crew", "/crews/x"]) {
    expect((await ask(`https://api.test${PATH}${path}`, settings)).status).toBe(404);
  }
});

test("only the scope that is demanded of everyone is advertised, never the admin right", async () => {
  expect(await (await ask(`https://api.test${PATH}`)).json()).not.toHaveProperty("scopes_supported");
  const settings = { REQUIRED_SCOPE: "runs:read", ADMIN_SCOPE: "all" };
  expect(await (await ask(`https://api.test${PATH}`, settings)).json()).toMatchObject({
    scopes_supported: ["runs:read"],
  });
});

test("the documentation's client is published where there is one", async () => {
  const response = await ask(`https://api.test${PATH}`, { DOCS_CLIENT_ID: "docs" });
  expect(await response.json()).toMatchObject({ docs_client_id: "docs" });
});
