// The documents as a deployment serves them: files with their headers, beside the Worker's routes; and what they say.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type ServedStack, startServedStack } from "../../dev/served-stack.ts";
import { PAGES } from "../../docs/pages.ts";
import type { OpenApi } from "../documented.ts";

const START_TIMEOUT_MS = 60_000;
const NAMES = Object.keys(PAGES);
const GUIDES = NAMES.filter((name) => name !== "get-run");

let served: ServedStack;

before(async () => {
  served = await startServedStack({ signal: AbortSignal.timeout(START_TIMEOUT_MS) });
});

after(async () => served?.close());

async function get(path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(`${served.url}${path}`, { redirect: "manual", ...init });
}

async function read(path: string): Promise<string> {
  const response = await get(path);
  assert.equal(response.status, 200, path);
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
  ];
  for (const [path, type, content] of expected) {
    const response = await get(path);
    assert.equal(response.status, 200, path);
    assert.equal(response.headers.get("content-type"), type, path);
    assert.equal(response.headers.get("x-content-type-options"), "nosniff");
    assert.equal(response.headers.get("referrer-policy"), "no-referrer");
    assert.equal(response.headers.get("cross-origin-opener-policy"), null);
    assert.match(await response.text(), content);
  }
});

test("a page runs only our own files, may talk to any issuer over https, and cannot be framed", async () => {
  for (const path of ["/docs", ...GUIDES.map((name) => `/docs/${name}`)]) {
    const policy = (await get(path)).headers.get("content-security-policy") ?? "";
    assert.deepEqual(policy.split("; "), [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "img-src 'self' data:",
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
    assert.equal(await grants(path), "*", path);
  }
  assert.equal(await grants("/docs"), null);
});

test("a document that is still so is a 304, and style and scripts may be kept for ever", async () => {
  const page = await get("/docs");
  assert.equal(page.headers.get("cache-control"), "public, max-age=0, must-revalidate");
  const etag = page.headers.get("etag") ?? "";
  assert.equal((await get("/docs", { headers: { "if-none-match": etag } })).status, 304);
  const assets = (await page.text()).match(/\/docs\/assets\/[\w.-]+/g) ?? [];
  assert.equal(assets.length, 2);
  for (const asset of assets) {
    assert.equal((await get(asset)).headers.get("cache-control"), "public, max-age=31536000, immutable");
  }
});

test("the root and the reference's other address lead to the page", async () => {
  for (const path of ["/", "/docs/get-run"]) {
    const response = await get(path);
    assert.equal(response.status, 302);
    assert.equal(response.headers.get("location"), "/docs");
  }
});

test("a path without a file is the Worker's JSON 404", async () => {
  for (const path of [
    "/docs/nothing",
    "/docs/faults.md",
    "/docs/..%2fllms.txt",
    "/docs/%00",
    "/_headers",
    "/page.js",
  ]) {
    const response = await get(path);
    assert.equal(response.status, 404, path);
    assert.equal(((await response.json()) as { code: string }).code, "not_found");
  }
});

test("each page names its Markdown", async () => {
  for (const name of NAMES) {
    const html = await read(name === "get-run" ? "/docs" : `/docs/${name}`);
    assert.ok(html.includes(`<link rel="alternate" type="text/markdown" href="/docs/${name}.md">`), name);
  }
});

test("llms.txt is as llmstxt.org has it: title, summary, sections of links, and lists each page's Markdown", async () => {
  const text = await read("/llms.txt");
  assert.match(text, /^# Crew runs\n\n> A read-only HTTP API/);
  assert.deepEqual(text.match(/^## .*$/gm), ["## Docs", "## API", "## Optional"]);
  const items = text.slice(text.indexOf("## Docs")).match(/^- .*$/gm) ?? [];
  for (const item of items) assert.match(item, /^- \[[^\]]+\]\(\/[^)]+\): \S/);
  for (const name of NAMES) assert.ok(text.includes(`(/docs/${name}.md)`), name);
});

test("the OpenAPI document stands for any deployment: no host, no issuer", async () => {
  const { servers, security, components } = JSON.parse(await read("/openapi.json")) as OpenApi;
  assert.deepEqual(servers, [{ url: "/" }]);
  assert.deepEqual(security, [{ bearer: [] }]);
  assert.deepEqual(Object.keys(components.securitySchemes), ["bearer"]);
});

test("page and Markdown of the reference name each parameter, field and header, and the page each error", async () => {
  const { paths, components } = JSON.parse(await read("/openapi.json")) as OpenApi;
  const fields = ["CrewRun", "CrewConfig", "AgentConfig", "TaskConfig"].flatMap((name) =>
    Object.keys(components.schemas[name]?.properties ?? {}),
  );
  assert.equal(fields.length, 12 + 5 + 8 + 4);
  const names = [...fields, "run_id", "If-None-Match", "Prefer", "X-Request-Id", "ETag", "Cache-Status", "Retry-After"];
  const [html, markdown, errors] = await Promise.all(["/docs", "/docs/get-run.md", "/docs/errors.md"].map(read));
  for (const name of names) {
    assert.ok(html?.includes(`<dt><code>${name}</code>`), name);
    assert.match(markdown ?? "", new RegExp(`^\\| \`(.*\\.)?${name}\` +\\|`, "m"));
  }
  const responses = Object.entries(paths["/api/crew-runs/{run_id}"]?.get.responses ?? {});
  const failures = responses.filter(([status]) => Number(status) >= 400);
  const codes = failures.flatMap(([status, { content }]) =>
    Object.keys(content?.["application/json"]?.examples ?? {}).map((code) => [status, code]),
  );
  assert.ok(codes.length > 12);
  for (const [status, code] of codes) {
    assert.ok(html?.includes(`<summary><b>${status}</b> ${code}</summary>`), code);
    assert.match(errors ?? "", new RegExp(`^\\| ${status} +\\| \\[\`${code}\`\\]\\(#${code}\\) +\\|`, "m"));
  }
});
