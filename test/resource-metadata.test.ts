// Protected resource metadata (RFC 9728): what a client learns there leads back to the address that it asked.
import { createExecutionContext } from "cloudflare:test";
import { expect, inject, test } from "vitest";
import { createApp } from "../src/app.ts";
import { startWorker } from "./worker.ts";

const PATH = "/.well-known/oauth-protected-resource";
const { variables } = inject("stack");

/** The same Worker, asked by another of its names. */
async function fetchFrom(url: string, settings: Record<string, string>): Promise<Response> {
  return createApp().fetch(new Request(url), { ...variables, ...settings }, createExecutionContext());
}

test("a 401 leads to the resource's metadata, and they to the issuer and to documentation", async () => {
  const challenge = (await startWorker().fetch("/api/crew-runs/x")).headers.get("www-authenticate") ?? "";
  const [, address] = /resource_metadata="([^"]+)"/.exec(challenge) ?? [];
  expect(address).toBe(`https://api.test${PATH}`);
  const response = await startWorker().fetch(PATH);
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("application/json");
  expect(response.headers.get("cache-control")).toBe("public, max-age=3600");
  expect(await response.json()).toEqual({
    resource: "https://api.test",
    resource_name: "Crew runs",
    authorization_servers: [variables.JWT_ISSUER],
    bearer_methods_supported: ["header"],
    resource_documentation: "https://api.test/docs",
  });
});

test("the scope that is demanded of everyone and the page's client are there where the settings name them", async () => {
  const worker = startWorker({ REQUIRED_SCOPE: "runs:read", ADMIN_SCOPE: "all", DOCS_CLIENT_ID: "docs" });
  const metadata = await (await worker.fetch(PATH)).json();
  expect(metadata).toMatchObject({ scopes_supported: ["runs:read"], docs_client_id: "docs" });
});

test("the resource is the host that was asked, whatever the audience is", async () => {
  for (const JWT_AUDIENCE of ["https://api.test", "crew-runs", variables.JWT_ISSUER]) {
    for (const host of ["https://one.test", "https://two.test"]) {
      const response = await fetchFrom(`${host}${PATH}`, { JWT_AUDIENCE });
      expect(await response.json()).toMatchObject({ resource: host });
    }
  }
});

test("an audience that is a URL of this host with a path has metadata behind that path, and no other path has", async () => {
  const settings = { JWT_AUDIENCE: "https://one.test/crews, https://other.test/runs" };
  const response = await fetchFrom(`https://one.test${PATH}/crews`, settings);
  expect(await response.json()).toMatchObject({ resource: "https://one.test/crews" });
  for (const path of ["/runs", "/crews/more", "/"]) {
    expect((await fetchFrom(`https://one.test${PATH}${path}`, settings)).status).toBe(404);
  }
});
