import { createExecutionContext } from "cloudflare:test";
import { expect, inject, test } from "vitest";
import { createApp } from "../src/app.ts";
import { TOKEN_PROBLEMS } from "../src/failure.ts";
import type { OpenApi } from "./documented.ts";
import { startWorker } from "./worker.ts";

const PAGES = ["get-run", "authentication", "polling", "errors"];
const { variables } = inject("stack");
const ENDPOINTS = {
  AUTHORIZATION_ENDPOINT: "https://login.test/authorize",
  TOKEN_ENDPOINT: "https://tokens.test/token",
  DOCS_CLIENT_ID: "docs",
};

async function read(path: string): Promise<string> {
  const response = await startWorker().fetch(path);
  expect(response.status, path).toBe(200);
  return response.text();
}

async function readOpenApi(settings: Record<string, string | undefined> = {}): Promise<OpenApi> {
  const response = await startWorker(settings).fetch("/openapi.json");
  expect(response.status).toBe(200);
  return response.json();
}

/** The same Worker, asked by another of its names. */
async function fetchFrom(url: string, settings: Record<string, string>): Promise<Response> {
  return createApp().fetch(new Request(url), { ...variables, ...settings }, createExecutionContext());
}

/** The targets of a Markdown page's links. */
const findLinks = (markdown: string) => [...markdown.matchAll(/\]\(([^)]+)\)/g)].map(([, target]) => target ?? "");

test.each([
  ["/docs", "text/html; charset=utf-8", /^<!doctype html>/],
  ["/docs/oauth2-redirect", "text/html; charset=utf-8", /^<!doctype html>/],
  ["/docs/page.js", "text/javascript; charset=utf-8", /SwaggerUIBundle/],
  ["/docs/page.css", "text/css; charset=utf-8", /\.swagger-ui/],
  ["/docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8", /SwaggerUIBundle/],
  ["/docs/get-run.md", "text/markdown; charset=utf-8", /^# Read a run\n/],
  ["/docs/authentication.md", "text/markdown; charset=utf-8", /^# Authentication\n/],
  ["/docs/polling.md", "text/markdown; charset=utf-8", /^# Polling\n/],
  ["/docs/errors.md", "text/markdown; charset=utf-8", /^# Errors\n/],
  ["/llms.txt", "text/plain; charset=utf-8", /^# Crew runs\n/],
  ["/openapi.json", "application/json", /^\{"openapi":"3\.1/],
  ["/.well-known/oauth-protected-resource", "application/json", /^\{"resource":/],
])("%s is there for everybody, and may be kept for an hour", async (path, type, content) => {
  const response = await startWorker().fetch(path);
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe(type);
  expect(response.headers.get("cache-control")).toBe("public, max-age=3600");
  expect(response.headers.get("vary")).toBe("Accept-Encoding");
  expect(await response.text()).toMatch(content);
});

test("a document that is still so is a 304 with its tag", async () => {
  const etag = (await startWorker().fetch("/docs/errors.md")).headers.get("etag") ?? "";
  const response = await startWorker().fetch("/docs/errors.md", { headers: { "if-none-match": etag } });
  expect(response.status).toBe(304);
  expect(response.headers.get("etag")).toBe(etag);
  expect(response.headers.get("cache-control")).toBe("public, max-age=3600");
  expect(await response.text()).toBe("");
});

test("the completed OpenAPI document is sent whole, whatever tag comes in", async () => {
  const response = await startWorker().fetch("/openapi.json", { headers: { "if-none-match": "*" } });
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ openapi: "3.1.1" });
});

test.each(["/docs/nothing.md", "/docs/..%2fllms.txt", "/docs/%00", "/docs/index.html", "/docs/faults.md", "/page.js"])(
  "%s is a JSON 404",
  async (path) => {
    const response = await startWorker().fetch(path);
    expect(response.status).toBe(404);
    expect(await response.json()).toMatchObject({ code: "not_found" });
  },
);

test("documents can be read where settings are missing, and name no issuer then", async () => {
  const nothing = Object.fromEntries(Object.keys(variables).map((name) => [name, undefined]));
  for (const path of ["/docs", "/llms.txt", "/docs/get-run.md"]) {
    expect((await startWorker(nothing).fetch(path)).status).toBe(200);
  }
  const { security, components } = await readOpenApi(nothing);
  expect(security).toEqual([{ bearer: [] }]);
  expect(Object.keys(components.securitySchemes)).toEqual(["bearer"]);
});

test("without the binding, documents are 404", async () => {
  for (const path of ["/docs", "/openapi.json"]) {
    expect((await fetchFrom(`https://api.test${path}`, {})).status).toBe(404);
  }
});

test("HEAD works for documents, other methods are a 405", async () => {
  const head = await startWorker().fetch("/openapi.json", { method: "HEAD" });
  expect(head.status).toBe(200);
  expect(await head.text()).toBe("");
  expect((await startWorker().fetch("/docs", { method: "POST" })).status).toBe(405);
});

test.each(["/docs", "/docs/oauth2-redirect"])("on %s only our own files run, and nobody frames it", async (path) => {
  const { headers } = await startWorker(ENDPOINTS).fetch(path);
  const directives = (headers.get("content-security-policy") ?? "").split("; ");
  expect(directives.toSorted()).toEqual([
    "base-uri 'none'",
    "connect-src 'self' https://tokens.test",
    "default-src 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "img-src 'self' data:",
    "script-src 'self'",
    "style-src 'self'",
  ]);
});

test("the page may ask the issuer where no token endpoint is named", async () => {
  const { headers } = await startWorker({ JWT_ISSUER: "https://login.test/tenant" }).fetch("/docs");
  expect(headers.get("content-security-policy")).toContain("connect-src 'self' https://login.test;");
});

test("the page refers to nothing but files of ours, which are there", async () => {
  const html = await read("/docs");
  const references = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, target]) => target ?? "");
  const files = references.filter((reference) => reference !== "data:,");
  expect(files).toEqual(expect.arrayContaining(["/docs/swagger-ui-bundle.js", "/docs/page.js", "/openapi.json"]));
  for (const file of files) await read(file);
  expect(await read("/docs/oauth2-redirect")).toContain(`src="oauth2-redirect.js"`);
  await read("/docs/oauth2-redirect.js");
});

test("llms.txt is as llmstxt.org has it: title, summary, sections of links, all of which resolve", async () => {
  const text = await read("/llms.txt");
  expect(text).toMatch(/^# Crew runs\n\n> A read-only HTTP API/);
  expect(text.match(/^## .*$/gm)).toEqual(["## Docs", "## API", "## Optional"]);
  const items = text.slice(text.indexOf("## Docs")).match(/^- .*$/gm) ?? [];
  for (const item of items) expect(item).toMatch(/^- \[[^\]]+\]\(\/[^)]+\): \S/);
  const links = findLinks(text);
  expect(links).toEqual(expect.arrayContaining(["/openapi.json", ...PAGES.map((page) => `/docs/${page}.md`)]));
  for (const link of links) await read(link);
});

test.each(PAGES)("the links of %s.md resolve", async (page) => {
  for (const link of findLinks(await read(`/docs/${page}.md`))) await read(link);
});

test("the links in the OpenAPI document resolve", async () => {
  const links = findLinks(JSON.stringify(await readOpenApi()));
  expect(links.length).toBeGreaterThan(0);
  for (const link of links) await read(link);
});

test("get-run.md shows the OpenAPI document's example, and names each header and field", async () => {
  const page = await read("/docs/get-run.md");
  const { paths, components } = await readOpenApi();
  const { content, headers } = paths["/api/crew-runs/{run_id}"]?.get.responses[200] ?? {};
  const [, shown] = /```json\n([^]*?)```/.exec(page) ?? [];
  expect(JSON.parse(shown ?? "")).toEqual(content?.["application/json"]?.examples?.["completed"]?.value);
  const security = ["X-Content-Type-Options", "Referrer-Policy", "Strict-Transport-Security"];
  const names = Object.keys(headers ?? {}).filter((name) => !security.includes(name));
  const parameters = Object.values(components.parameters).map(({ name }) => name);
  for (const name of [...names, ...parameters, ...Object.keys(components.schemas["CrewRun"]?.properties ?? {})]) {
    expect(page).toContain(`\`${name}\``);
  }
});

test("errors.md lists each failure with its status and words, and what is said of a token", async () => {
  const page = await read("/docs/errors.md");
  const { paths } = await readOpenApi();
  const rows = [...page.matchAll(/^\| (\d{3}) +\| `(\w+)` +\| (.*?) +\|/gm)].map(([, ...cells]) => cells);
  const documented = Object.entries(paths["/api/crew-runs/{run_id}"]?.get.responses ?? {}).flatMap(
    ([status, { content }]) => {
      const examples = Number(status) < 400 ? {} : (content?.["application/json"]?.examples ?? {});
      return Object.entries(examples).map(([code, { value }]) => {
        const { detail } = value as { detail: unknown };
        return [status, code, typeof detail === "string" ? detail : "a list, see below"];
      });
    },
  );
  expect(rows).toEqual(documented);
  const said = page.match(/(?<=^- ).*$/gm);
  expect(said).toEqual(Object.values(TOKEN_PROBLEMS));
});

test("polling.md knows the tag of the example", async () => {
  const { components } = await readOpenApi();
  expect(await read("/docs/polling.md")).toContain(`If-None-Match: ${String(components.headers["ETag"]?.example)}`);
});

test("the OpenAPI document names the host that was asked", async () => {
  expect((await readOpenApi()).servers).toEqual([{ url: "https://api.test" }]);
});

test("the OpenAPI document names the issuer's endpoints where the settings do", async () => {
  const { security, components } = await readOpenApi({ ...ENDPOINTS, REQUIRED_SCOPE: "runs:read", ADMIN_SCOPE: "all" });
  expect(security).toEqual([{ oauth2: [] }, { bearer: [] }]);
  expect(components.securitySchemes["oauth2"]).toMatchObject({
    type: "oauth2",
    "x-client-id": "docs",
    flows: {
      authorizationCode: {
        authorizationUrl: "https://login.test/authorize",
        tokenUrl: "https://tokens.test/token",
        scopes: { "runs:read": expect.any(String), all: expect.any(String) },
      },
    },
  });
});

test.each(["https://login.test/tenant", "https://login.test/tenant/"])(
  "the OpenAPI document says where to discover the endpoints of %s otherwise",
  async (issuer) => {
    const { security, components } = await readOpenApi({ JWT_ISSUER: issuer });
    expect(security).toEqual([{ openIdConnect: [] }, { bearer: [] }]);
    expect(components.securitySchemes["openIdConnect"]).toEqual({
      type: "openIdConnect",
      openIdConnectUrl: "https://login.test/tenant/.well-known/openid-configuration",
    });
  },
);

test("a 401 leads to the resource's metadata, and they to the issuer and to documentation", async () => {
  const challenge = (await startWorker().fetch("/api/crew-runs/x")).headers.get("www-authenticate") ?? "";
  const [, address] = /resource_metadata="([^"]+)"/.exec(challenge) ?? [];
  const { origin, pathname } = new URL(address ?? "");
  expect(origin).toBe("https://api.test");
  expect(JSON.parse(await read(pathname))).toEqual({
    resource: variables.JWT_AUDIENCE,
    resource_name: "Crew runs",
    authorization_servers: [variables.JWT_ISSUER],
    bearer_methods_supported: ["header"],
    scopes_supported: ["crew-runs:admin"],
    resource_documentation: "https://api.test/docs",
  });
  await read("/docs");
});

test("the scope that is demanded of everyone is in the resource's metadata", async () => {
  const worker = startWorker({ REQUIRED_SCOPE: "runs:read", ADMIN_SCOPE: "all" });
  const response = await worker.fetch("/.well-known/oauth-protected-resource");
  expect(await response.json()).toMatchObject({ scopes_supported: ["runs:read", "all"] });
});

test.each([
  ["names the client", { AUDIENCE_CLAIM: "client_id", JWT_AUDIENCE: "https://client.example.com" }],
  ["is the issuer", { JWT_ISSUER: "https://issuer.example.com", JWT_AUDIENCE: "https://issuer.example.com" }],
] as const)("the resource is the host where the audience %s", async (_, settings) => {
  const response = await fetchFrom("https://a.test/.well-known/oauth-protected-resource", settings);
  expect(await response.json()).toMatchObject({ resource: "https://a.test" });
});

test("the resource is the audience whatever host is asked, and the host where the audience is no URL", async () => {
  const read = async (host: string, JWT_AUDIENCE: string) => {
    const response = await fetchFrom(`https://${host}/.well-known/oauth-protected-resource`, { JWT_AUDIENCE });
    return (await response.json<{ resource: string }>()).resource;
  };
  expect(await read("one.test", "https://api.test")).toBe("https://api.test");
  expect(await read("two.test", "https://api.test")).toBe("https://api.test");
  expect(await read("one.test", "crew-runs")).toBe("https://one.test");
  expect(await read("two.test", "crew-runs")).toBe("https://two.test");
});
