// The documents as a deployment serves them: files with their headers, beside the Worker's routes; and what they say.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LocalStack, startLocalStack } from "../../dev/local-stack.ts";
import { PAGES, findOrigin, renderPage } from "../../docs/pages.ts";
import type { OpenApi } from "../support/openapi-document.ts";

const NAMES = Object.keys(PAGES);
const GUIDES = NAMES.filter((name) => name !== "get-run");

let served: LocalStack;

beforeAll(async () => {
  served = await startLocalStack();
});

afterAll(async () => served?.close());

async function get(path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(`${served.url}${path}`, { redirect: "manual", ...init });
}

async function read(path: string): Promise<string> {
  const response = await get(path);
  expect(response.status, path).toBe(200);
  return response.text();
}

test("pages, Markdown, llms.txt and the OpenAPI document have their types", async () => {
  type Expected = [path: string, type: string, content: RegExp];
  const expected: Expected[] = [
    ["/docs", "text/html; charset=utf-8", /^<!doctype html>/],
    ...GUIDES.map((name): Expected => [`/docs/${name}`, "text/html; charset=utf-8", /^<!doctype html>/]),
    ...NAMES.map((name): Expected => [`/docs/${name}.md`, "text/markdown; charset=utf-8", /^# \w/]),
    ["/llms.txt", "text/plain; charset=utf-8", /^# Crew runs\n/],
    ["/openapi.json", "application/json", /^\{"openapi":"3\.1/],
    ["/robots.txt", "text/plain; charset=utf-8", /^User-agent: \*\n/],
    ["/favicon.svg", "image/svg+xml", /^<svg /],
  ];
  for (const [path, type, content] of expected) {
    const response = await get(path);
    expect(response.status, path).toBe(200);
    expect(response.headers.get("content-type"), path).toBe(type);
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    expect(response.headers.get("referrer-policy")).toBe("no-referrer");
    expect(response.headers.get("cross-origin-opener-policy")).toBeNull();
    expect(await response.text()).toMatch(content);
  }
});

test("a page runs only our own files, may talk to any issuer over https, and cannot be framed", async () => {
  for (const path of ["/docs", ...GUIDES.map((name) => `/docs/${name}`)]) {
    const policy = (await get(path)).headers.get("content-security-policy") ?? "";
    expect(policy.split("; ")).toEqual([
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "img-src 'self'",
      "connect-src 'self' https: http://127.0.0.1:* http://localhost:*",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ]);
  }
});

test("a page of any origin can read the public documents, but not the HTML", async () => {
  const grants = async (path: string) => (await get(path)).headers.get("access-control-allow-origin");
  for (const path of ["/openapi.json", "/llms.txt", ...NAMES.map((name) => `/docs/${name}.md`)]) {
    expect(await grants(path), path).toBe("*");
  }
  expect(await grants("/docs")).toBeNull();
});

test("an unchanged document is a 304, and style and scripts may be cached for ever", async () => {
  const page = await get("/docs");
  expect(page.headers.get("cache-control")).toBe("public, max-age=0, must-revalidate");
  const etag = page.headers.get("etag") ?? "";
  expect((await get("/docs", { headers: { "if-none-match": etag } })).status).toBe(304);
  const assets = (await page.text()).match(/\/docs\/assets\/[\w.-]+/g) ?? [];
  expect(assets.length).toBe(2);
  for (const asset of assets) {
    expect((await get(asset)).headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
  }
});

test("the root and the reference's other address lead to the page", async () => {
  for (const path of ["/", "/docs/get-run"]) {
    const response = await get(path);
    expect(response.status).toBe(302);
    expect(response.headers.get("location")).toBe("/docs");
  }
});

test("scanners' requests cost no run of the Worker", async () => {
  const favicon = await get("/favicon.ico");
  expect([favicon.status, favicon.headers.get("location")]).toEqual([302, "/favicon.svg"]);
  for (const path of ["/robots.txt", "/favicon.svg", "/favicon.ico", "/docs"]) {
    expect((await get(path)).headers.get("x-request-id"), path).toBeNull();
  }
  expect((await get("/health")).headers.get("x-request-id")).not.toBeNull();
});

test("a path without a file is the Worker's JSON 404", async () => {
  for (const path of [
    "/docs/nothing",
    "/docs/troubleshooting.md",
    "/docs/..%2fllms.txt",
    "/docs/%00",
    "/_headers",
    "/page.js",
  ]) {
    const response = await get(path);
    expect(response.status, path).toBe(404);
    expect(((await response.json()) as { code: string }).code).toBe("not_found");
  }
});

test("each page names its Markdown, and describes itself to search engines and previews", async () => {
  const descriptions = new Set<string>();
  for (const name of NAMES) {
    const html = await read(name === "get-run" ? "/docs" : `/docs/${name}`);
    expect(html, name).toContain(`<link rel="alternate" type="text/markdown" href="/docs/${name}.md" />`);
    const [, description = ""] = /<meta name="description" content="([^"]*)" \/>/.exec(html) ?? [];
    expect(description.length, name).toBeGreaterThan(40);
    expect(html, name).toContain(`<meta property="og:description" content="${description}" />`);
    expect(html, name).not.toMatch(/property="og:[^>]*https?:/);
    descriptions.add(description);
  }
  expect(descriptions.size).toBe(NAMES.length);
});

test("a deployment with a custom domain is named in the page's addresses", () => {
  const origin = findOrigin(`routes = [{ pattern = "api.example.com", custom_domain = true }]\n`);
  const options = { blocks: new Map(), assets: new Map(), template: "{{links}}", origin };
  const links = renderPage("polling", "# Polling\n", options);
  expect(links).toContain(`<link rel="canonical" href="https://api.example.com/docs/polling" />`);
  expect(links).toContain(`<meta property="og:url" content="https://api.example.com/docs/polling" />`);
  expect(findOrigin(`# routes = [{ pattern = "api.example.com", custom_domain = true }]\n`)).toBe("");
});

test("the Markdown names no host that isn't there, and no marker of a generated block", async () => {
  for (const name of NAMES) {
    const markdown = await read(`/docs/${name}.md`);
    expect(markdown, name).not.toContain("api.example.com");
    expect(markdown, name).not.toContain("<!--");
    if (markdown.includes("https://HOST")) expect(markdown, name).toContain("`HOST` stands for the host of this file.");
  }
});

test("llms.txt is as llmstxt.org has it: title, summary, sections of links, and lists each page's Markdown", async () => {
  const text = await read("/llms.txt");
  expect(text).toMatch(/^# Crew runs\n\n> A read-only HTTP API/);
  expect(text.match(/^## .*$/gm)).toEqual(["## Docs", "## API", "## Optional"]);
  const items = text.slice(text.indexOf("## Docs")).match(/^- .*$/gm) ?? [];
  for (const item of items) expect(item).toMatch(/^- \[[^\]]+\]\(\/[^)]+\): \S/);
  for (const name of NAMES) expect(text, name).toContain(`(/docs/${name}.md)`);
});

test("the OpenAPI document stands for any deployment: no host, no issuer", async () => {
  const { servers, security, components } = JSON.parse(await read("/openapi.json")) as OpenApi;
  expect(servers).toEqual([{ url: "/" }]);
  expect(security).toEqual([{ bearer: [] }]);
  expect(Object.keys(components.securitySchemes)).toEqual(["bearer"]);
});

test("page and Markdown of the reference name each parameter, field and header, and the page each error", async () => {
  const { paths, components } = JSON.parse(await read("/openapi.json")) as OpenApi;
  const fields = ["CrewRun", "CrewConfig", "AgentConfig", "TaskConfig"].flatMap((name) =>
    Object.keys(components.schemas[name]?.properties ?? {}),
  );
  expect(fields.length).toBe(12 + 5 + 8 + 4);
  const names = [...fields, "run_id", "If-None-Match", "Prefer", "X-Request-Id", "ETag", "Cache-Status", "Retry-After"];
  const files = ["/docs", "/docs/get-run.md", "/docs/errors", "/docs/errors.md"];
  const [html, markdown, errorsHtml, errors] = await Promise.all(files.map(read));
  for (const name of names) {
    expect(html, name).toContain(`<code>${name}</code></a> <span class="type">`);
    expect(markdown ?? "").toMatch(new RegExp(`^\\| \`(.*\\.)?${name}\` +\\|`, "m"));
  }
  const responses = Object.entries(paths["/api/crew-runs/{run_id}"]?.get.responses ?? {});
  const failures = responses.filter(([status]) => Number(status) >= 400);
  const codes = failures.flatMap(([status, { content }]) =>
    Object.keys(content?.["application/json"]?.examples ?? {}).map((code) => [status, code] as const),
  );
  expect(codes.length).toBeGreaterThan(12);
  for (const [status, code] of codes) {
    expect(errorsHtml, code).toContain(`<a id="${code}"></a><code>${code}</code>`);
    expect(errors ?? "").toMatch(new RegExp(`^\\| \`${status}\` +\\| <a id="${code}"></a>\`${code}\` +\\|`, "m"));
  }
});
