// The documents as a deployment serves them: files with their headers, beside the Worker's routes.
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type LocalStack, startLocalStack } from "../../dev/local-stack.ts";
import { PAGES, addressOf } from "../../docs/pages.ts";
import type { OpenApi } from "../support/openapi-document.ts";

const MAX_REFERENCE_BYTES = 22_000;
const NAMES = Object.keys(PAGES);

let served: LocalStack;

beforeAll(async () => {
  served = await startLocalStack();
});

afterAll(async () => served?.close());

async function get(path: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${served.url}${path}`, { redirect: "manual", headers });
}

async function read(path: string): Promise<string> {
  const response = await get(path);
  expect(response.status, path).toBe(200);
  return response.text();
}

type Row = [path: string, type: string, allowedOrigin: string | null, content: RegExp];

test.each<Row>([
  ...NAMES.map((name): Row => [addressOf(name), "text/html; charset=utf-8", null, /^<!doctype html>/]),
  ...NAMES.map((name): Row => [`/docs/${name}.md`, "text/markdown; charset=utf-8", "*", /^# \w/]),
  ["/llms.txt", "text/plain; charset=utf-8", "*", /^# Crew runs\n\n> /],
  ["/openapi.json", "application/json", "*", /^\{"openapi":"3\.1/],
  ["/robots.txt", "text/plain; charset=utf-8", null, /^User-agent: \*\n/],
  ["/favicon.svg", "image/svg+xml", null, /^<svg /],
])(
  "%s has its type, may run only our own files, and costs no run of the Worker",
  async (path, type, origin, content) => {
    const response = await get(path);
    const { status, headers } = response;
    expect([status, headers.get("content-type")]).toEqual([200, type]);
    expect(headers.get("access-control-allow-origin")).toBe(origin);
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
    expect(headers.get("cache-control")).toBe("public, max-age=0, must-revalidate");
    expect(headers.get("content-security-policy")?.split("; ")).toEqual([
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "img-src 'self'",
      "connect-src 'self' https: http://127.0.0.1:* http://localhost:*",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ]);
    expect(headers.has("x-request-id")).toBe(false);
    expect(await response.text()).toMatch(content);
    expect((await get(path, { "if-none-match": headers.get("etag") ?? "" })).status).toBe(304);
  },
);

test("a request and its response are both in view: only labeled blocks are tabs", async () => {
  expect(await read("/docs/authentication")).not.toContain('type="radio"');
});

test("style and script of the reference may be cached for ever, and don't contain what only a log-in needs", async () => {
  const html = await read("/docs");
  const paths = html.match(/\/docs\/assets\/[\w.-]+/g) ?? [];
  expect(paths).toHaveLength(2);
  const texts = paths.map(async (path) => {
    const response = await get(path);
    expect(response.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
    return response.text();
  });
  const sizes = [html, ...(await Promise.all(texts))].map((text) => gzipSync(text).byteLength);
  expect(sizes.reduce((sum, size) => sum + size)).toBeLessThan(MAX_REFERENCE_BYTES);
});

test.each([
  ["/", "/docs"],
  ["/docs/get-run", "/docs"],
  ["/favicon.ico", "/favicon.svg"],
])("%s leads to %s, without a run of the Worker", async (path, target) => {
  const { status, headers } = await get(path);
  expect([status, headers.get("location"), headers.get("x-request-id")]).toEqual([302, target, null]);
});

test.each(["/docs/nothing", "/docs/a/b", "/docs/troubleshooting.md", "/docs/%00"])(
  "%s is a page that leads to the reference, without a run of the Worker",
  async (path) => {
    const response = await get(path);
    expect([response.status, response.headers.get("x-request-id")]).toEqual([404, null]);
    expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(await response.text()).toContain('<a href="/docs">');
  },
);

test.each(["/nothing", "/_headers", "/404", "/docsx", "/api/nothing"])("%s is the API's 404", async (path) => {
  const response = await get(path);
  expect([response.status, await response.json()]).toMatchObject([404, { code: "not_found" }]);
});

test("each page has a title, a description and a canonical address of its own, and names its Markdown", async () => {
  const titles = new Set<string>();
  const descriptions = new Set<string>();
  for (const name of NAMES) {
    const html = await read(addressOf(name));
    expect(html).toContain(`<link rel="canonical" href="${addressOf(name)}" />`);
    expect(html).toContain(`<link rel="alternate" type="text/markdown" href="/docs/${name}.md" />`);
    titles.add(/<title>(\S.*) · Crew runs API</.exec(html)?.[1] ?? "");
    descriptions.add(/<meta name="description" content="([^"]{40,})" \/>/.exec(html)?.[1] ?? "");
  }
  for (const texts of [titles, descriptions]) expect(texts.has("") ? 0 : texts.size).toBe(NAMES.length);
});

test("Markdown for programs is listed in llms.txt, names no host that isn't there, and no marker of a block", async () => {
  const list = await read("/llms.txt");
  for (const name of NAMES) {
    const markdown = await read(`/docs/${name}.md`);
    expect(markdown, name).not.toMatch(/api\.example\.com|<!--/);
    if (markdown.includes("https://HOST")) expect(markdown, name).toContain("`HOST` stands for the host of this file.");
    expect(list).toContain(`(/docs/${name}.md)`);
  }
});

test("the OpenAPI document stands for any deployment, and the pages have its fields and failures", async () => {
  const { servers, security, components, paths } = JSON.parse(await read("/openapi.json")) as OpenApi;
  expect([servers, security]).toEqual([[{ url: "/" }], [{ bearer: [] }]]);
  expect(Object.keys(components.securitySchemes)).toEqual(["bearer"]);
  const reference = await read("/docs");
  for (const name of ["CrewRun", "CrewConfig", "AgentConfig", "TaskConfig"])
    for (const field of Object.keys(components.schemas[name]?.properties ?? {}))
      expect(reference).toContain(`<code>${field}</code></a> <span class="type">`);
  const errors = await read("/docs/errors");
  for (const { content } of Object.values(paths["/api/crew-runs/{run_id}"]?.get.responses ?? {}))
    for (const { value } of Object.values(content?.["application/json"]?.examples ?? {})) {
      const { code } = value as { code?: string };
      if (code !== undefined) expect(errors).toContain(`<a id="${code}"></a>`);
    }
});
