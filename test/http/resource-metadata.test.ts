// Protected resource metadata (RFC 9728): a strict client finds its way from a 401 to the issuer, whatever the audience is.
import { expect, test } from "vitest";
import { createReader } from "../support/reader.ts";

const PATH = "/.well-known/oauth-protected-resource";
const reader = await createReader();
const ask = (origin: string, settings = {}, path = PATH) =>
  reader.restart(settings).read(path, { as: "nobody", origin });
const describeResource = async (...words: Parameters<typeof ask>) => JSON.parse((await ask(...words)).body);

test("a 401 leads to the resource's metadata, and they to the issuer and to documentation", async () => {
  const challenge = (await reader.read("x", { as: "nobody" })).headers.get("www-authenticate") ?? "";
  const [, address = ""] = /resource_metadata="([^"]+)"/.exec(challenge) ?? [];
  const { origin, pathname } = new URL(address);
  const { status, headers, body } = await ask(origin, {}, pathname);
  expect(status).toBe(200);
  expect(headers.get("cache-control")).toBe("public, max-age=3600");
  expect(JSON.parse(body)).toEqual({
    resource: origin,
    resource_name: "Crew runs",
    authorization_servers: [reader.issuer.variables.JWT_ISSUER],
    bearer_methods_supported: ["header"],
    resource_documentation: "https://api.test/docs",
  });
  expect((await reader.read(PATH, { as: "nobody", method: "POST" })).status).toBe(405);
});

test.each(['a"b', "a,b"])("a Host that can't be quoted, %s, does not break the challenge", async (host) => {
  const { status, headers } = await ask(`https://${host}.test`, {}, "/api/crew-runs/x");
  expect(status).toBe(401);
  expect(headers.get("www-authenticate")).toBe(`Bearer resource_metadata="${PATH}"`);
});

test.each([
  // Audiences that aren't a URL of the origin: the resource is the origin that was asked.
  ["https://api.example.com", "https://one.test", "https://one.test"],
  ["crew-runs", "https://two.test", "https://two.test"],
  ["https://elsewhere.test/", "https://api.test", "https://api.test"],
  // The others: it is spelt as the audience is.
  ["https://api.test/", "https://api.test", "https://api.test/"],
  ["https://api.test", "https://api.test", "https://api.test"],
  ["https://elsewhere.test/ https://api.test/", "https://api.test", "https://api.test/"],
])("with JWT_AUDIENCE %s, the resource at %s is %s", async (JWT_AUDIENCE, origin, resource) => {
  expect(await describeResource(origin, { JWT_AUDIENCE })).toMatchObject({ resource });
});

test("an audience that is a URL of this origin with a path has metadata of its own", async () => {
  const settings = { JWT_AUDIENCE: "https://api.test/crews, https://api.test/runs/, https://elsewhere.test/other" };
  const crews = await describeResource("https://api.test", settings, `${PATH}/crews`);
  expect(crews).toMatchObject({ resource: "https://api.test/crews" });
  for (const path of ["/other", "/crews/", "/crew", "/crews/x", "/runs"]) {
    expect((await ask("https://api.test", settings, PATH + path)).status).toBe(404);
  }
});

test("of the settings, it has the scope that everyone needs, not the admin's, and the client id of the documentation", async () => {
  const settings = { REQUIRED_SCOPE: "runs:read", ADMIN_SCOPE: "all", DOCS_CLIENT_ID: "docs" };
  const members = { scopes_supported: ["runs:read"], docs_client_id: "docs" };
  expect(await describeResource("https://api.test", settings)).toMatchObject(members);
});
