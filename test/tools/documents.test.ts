// The documents as a deployment serves them: files with their headers, beside the Worker's routes.
import { beforeAll, expect, test } from "vitest";
import { type LocalStack, startLocalStack } from "../../dev/local-stack.ts";
import { PAGES, addressOf } from "../../docs/pages.ts";

const NAMES = Object.keys(PAGES);
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self' https: http://127.0.0.1:* " +
  "http://localhost:*; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

let served: LocalStack;

beforeAll(async () => {
  served = await startLocalStack();
  return served.close;
});

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
    expect(headers.get("content-security-policy")).toBe(POLICY);
    expect(headers.has("x-request-id")).toBe(false);
    expect(await response.text()).toMatch(content);
    expect((await get(path, { "if-none-match": headers.get("etag") ?? "" })).status).toBe(304);
  },
);

test("style and script of a page may be cached for ever", async () => {
  const paths = (await read("/docs")).match(/\/docs\/assets\/[\w.-]+/g) ?? [];
  expect(paths).toHaveLength(2);
  for (const path of paths) {
    const { headers } = await get(path);
    expect(headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
  }
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

test("Markdown for programs is named by its page and in llms.txt, and has no host that isn't there, and no marker", async () => {
  const list = await read("/llms.txt");
  for (const name of NAMES) {
    const path = `/docs/${name}.md`;
    expect(await read(addressOf(name))).toContain(`<link rel="alternate" type="text/markdown" href="${path}" />`);
    expect(list).toContain(`(${path})`);
    const markdown = await read(path);
    expect(markdown, name).not.toMatch(/api\.example\.com|<!--/);
    if (markdown.includes("https://HOST")) expect(markdown, name).toContain("`HOST` stands for the host of this file.");
  }
});
