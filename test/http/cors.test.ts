// Cross-origin requests: granted to exactly the listed origins; off by default.
import { expect, test } from "vitest";
import { bearer, createTestApp } from "../support/test-app.ts";
import { insertRun } from "../support/database.ts";
import { fetchToken } from "../support/issuer.ts";

const ORIGIN = "https://app.example.com";
const LISTED = { CORS_ORIGINS: `${ORIGIN}, http://localhost:3000` };
const PREFLIGHT = {
  method: "OPTIONS",
  headers: {
    origin: ORIGIN,
    "access-control-request-method": "GET",
    "access-control-request-headers": "authorization",
  },
};

const grants = (response: Response) =>
  [...response.headers.keys()].filter((name) => name.startsWith("access-control-"));

test("off by default: no grant, no Vary: Origin, and a preflight is a 405", async () => {
  const app = createTestApp();
  const response = await app.fetch("/api/crew-runs/x", { headers: { origin: ORIGIN } });
  expect(grants(response)).toEqual([]);
  expect(response.headers.get("vary")).toBe("Authorization");
  expect((await app.fetch("/api/crew-runs/x", PREFLIGHT)).status).toBe(405);
});

test("a preflight from a listed origin is answered without credentials", async () => {
  const response = await createTestApp(LISTED).fetch("/api/crew-runs/x", PREFLIGHT);
  expect(response.status).toBe(204);
  expect(response.headers.get("access-control-allow-origin")).toBe(ORIGIN);
  expect(response.headers.get("access-control-allow-methods")).toBe("GET, HEAD");
  expect(response.headers.get("access-control-allow-headers")?.split(", ")).toEqual([
    "Authorization",
    "If-None-Match",
    "Prefer",
    "X-Request-Id",
    "Traceparent",
    "Tracestate",
    "Accept",
    "Cache-Control",
    "Content-Type",
    "If-Modified-Since",
    "Pragma",
    "X-Requested-With",
  ]);
  expect(response.headers.get("access-control-allow-credentials")).toBeNull();
  expect(response.headers.get("vary")).toContain("Origin");
});

test("a listed origin may read a run and an error, and what a browser needs is exposed", async () => {
  const app = createTestApp(LISTED);
  const id = await insertRun();
  const headers = { ...bearer(await fetchToken("owner")), origin: "http://localhost:3000" };
  for (const path of [`/api/crew-runs/${id}`, "/api/crew-runs/x", "/nowhere"]) {
    const response = await app.fetch(path, { headers });
    expect(response.headers.get("access-control-allow-origin")).toBe("http://localhost:3000");
    expect(response.headers.get("access-control-expose-headers")).toContain("ETag, Retry-After, X-Request-Id");
    expect(response.headers.get("vary")).toBe("Origin, Authorization");
  }
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
  const app = createTestApp(LISTED);
  expect(grants(await app.fetch("/api/crew-runs/x", { headers: { origin } }))).toEqual([]);
  const preflight = await app.fetch("/api/crew-runs/x", {
    ...PREFLIGHT,
    headers: { ...PREFLIGHT.headers, origin },
  });
  expect(preflight.status).toBe(405);
  expect(grants(preflight)).toEqual([]);
});

test("a request without an origin gets no grant, but the caches learn that the origin matters", async () => {
  const app = createTestApp(LISTED);
  const { origin: _, ...headers } = PREFLIGHT.headers;
  for (const init of [{}, { ...PREFLIGHT, headers }]) {
    const response = await app.fetch("/api/crew-runs/x", init);
    expect(grants(response)).toEqual([]);
    expect(response.headers.get("vary")).toContain("Origin");
  }
});
