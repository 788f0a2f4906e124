// A path under /docs without a file: a page for browsers, the API's 404 for programs. The files themselves: test/tools/browser.
import { expect, test } from "vitest";
import { getMissingPage } from "../../src/http/missing-page.ts";
import { createTestApp } from "../support/test-app.ts";

const PAGE = "<!doctype html><h1>There is no such page</h1>";

/** The platform's files, one of which the Worker fetches. */
const ASSETS = {
  fetch: async (url: URL) =>
    url.pathname === "/docs/404" &&
    new Response(PAGE, { headers: { "content-security-policy": "default-src 'none'" } }),
};

test.each(["/docs/nothing", "/docs/a/b"])(
  "at %s a browser gets the page, with the headers of the site's files",
  async (path) => {
    const response = await createTestApp({ ASSETS, CORS_ORIGINS: "https://app.example.com" }).fetch(path, {
      headers: { accept: "text/html,*/*;q=0.8" },
    });
    expect([response.status, await response.text()]).toEqual([404, PAGE]);
    expect(response.headers.get("content-security-policy")).toBe("default-src 'none'");
    expect(response.headers.get("vary")).toBe("Accept, Origin, Authorization");
  },
);

test("a browser with a Host that no URL can have gets the page, too", async () => {
  const request = { header: () => "text/html", url: "https://a b/docs/nothing" };
  const response = await getMissingPage({ req: request } as never, ASSETS as never);
  expect([response.status, await response.text()]).toEqual([404, PAGE]);
});

test.each([
  ["GET", "/docs/nothing", "*/*"],
  ["GET", "/docs/nothing", "application/json"],
  ["POST", "/docs/nothing", "text/html"],
  ["GET", "/docs/nothing", "application/xhtml+xml"],
  ["GET", "/nothing", "text/html"],
  ["GET", "/api/nothing", "text/html"],
])("%s %s is the API's 404 for a client that accepts %s", async (method, path, accept) => {
  const response = await createTestApp({ ASSETS }).fetch(path, { method, headers: { accept } });
  expect([response.status, await response.json()]).toMatchObject([404, { code: "not_found" }]);
});

test("a deployment without files sends everyone the API's 404", async () => {
  const response = await createTestApp().fetch("/docs/nothing", { headers: { accept: "text/html" } });
  expect([response.status, await response.json()]).toMatchObject([404, { code: "not_found" }]);
});
