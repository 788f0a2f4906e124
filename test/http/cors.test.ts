// Cross-origin requests: granted to exactly the listed origins; off by default.
import { expect, test } from "vitest";
import { insertRun } from "../support/database.ts";
import { createReader } from "../support/reader.ts";

const ORIGIN = "https://app.example.com";
const LISTED = { CORS_ORIGINS: `${ORIGIN}, http://localhost:3000` };
const EXPOSED =
  "ETag, Retry-After, X-Request-Id, WWW-Authenticate, Age, Cache-Status, Preference-Applied, Server-Timing";
const PREFLIGHT = {
  as: "nobody",
  method: "OPTIONS",
  headers: {
    origin: ORIGIN,
    "access-control-request-method": "GET",
    "access-control-request-headers": "authorization",
  },
} as const;

const grants = (headers: Headers) => [...headers.keys()].filter((name) => name.startsWith("access-control-"));
const byDefault = await createReader();
const listed = byDefault.restart(LISTED);

test("off by default: no grant, no Vary: Origin, and a preflight is a 405", async () => {
  const { headers } = await byDefault.read("x", { headers: { origin: ORIGIN } });
  expect(grants(headers)).toEqual([]);
  expect(headers.get("vary")).toBe("Authorization");
  expect((await byDefault.read("x", PREFLIGHT)).status).toBe(405);
});

test("a preflight from a listed origin is answered without credentials", async () => {
  const { status, headers } = await listed.read("x", PREFLIGHT);
  expect(status).toBe(204);
  expect(Object.fromEntries([...headers].filter(([name]) => name.startsWith("access-control-")))).toEqual({
    "access-control-allow-origin": ORIGIN,
    "access-control-allow-methods": "GET, HEAD",
    "access-control-allow-headers":
      "Authorization, If-None-Match, Prefer, X-Request-Id, Traceparent, Tracestate, Accept, Cache-Control, " +
      "Content-Type, If-Modified-Since, Pragma, X-Requested-With",
    "access-control-expose-headers": EXPOSED,
    "access-control-max-age": "86400",
  });
  expect(headers.get("vary")).toContain("Origin");
});

test("a listed origin may read a run and an error, and what a browser needs is exposed", async () => {
  const headers = { origin: "http://localhost:3000" };
  for (const target of [await insertRun(), "no-uuid", "/nowhere"]) {
    const result = await listed.read(target, { headers });
    expect(result.headers.get("access-control-allow-origin")).toBe("http://localhost:3000");
    expect(result.headers.get("access-control-expose-headers")).toBe(EXPOSED);
    expect(result.headers.get("vary")).toBe("Origin, Authorization");
  }
});

test("OPTIONS of a listed origin that asks for no method is no preflight, nor is another method that does", async () => {
  expect((await listed.read("x", { ...PREFLIGHT, headers: { origin: ORIGIN } })).status).toBe(405);
  expect((await listed.read("x", { ...PREFLIGHT, method: "GET" })).status).toBe(401);
});

test.each([
  "https://evil.example.com",
  "https://app.example.com.evil.test",
  "https://app.example.co",
  "https://app.example.com, http://localhost:3000",
  "",
  "http://app.example.com",
  "https://app.example.com:8443",
  "HTTPS://APP.EXAMPLE.COM",
  "null",
])("the origin %s is not on the list and gets no grant", async (origin) => {
  expect(grants((await listed.read("x", { headers: { origin } })).headers)).toEqual([]);
  const preflight = await listed.read("x", { ...PREFLIGHT, headers: { ...PREFLIGHT.headers, origin } });
  expect(preflight.status).toBe(405);
  expect(grants(preflight.headers)).toEqual([]);
});

test("a request without an origin gets no grant, but the caches learn that the origin matters", async () => {
  const { origin: _, ...headers } = PREFLIGHT.headers;
  for (const options of [{}, { ...PREFLIGHT, headers }]) {
    const result = await listed.read("x", options);
    expect(grants(result.headers)).toEqual([]);
    expect(result.headers.get("vary")).toContain("Origin");
  }
});
