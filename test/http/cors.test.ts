// Cross-origin requests: granted to exactly the listed origins; off by default.
import { expect, test } from "vitest";
import { insertRun } from "../support/database.ts";
import { createReader } from "../support/reader.ts";

const ORIGIN = "https://app.example.com";
const OTHER_ORIGIN = "http://localhost:3000";
const PREFLIGHT = {
  origin: ORIGIN,
  "access-control-request-method": "GET",
  "access-control-request-headers": "authorization",
};
const GRANT = {
  "access-control-allow-origin": ORIGIN,
  "access-control-expose-headers":
    "ETag, Retry-After, X-Request-Id, WWW-Authenticate, Age, Cache-Status, Preference-Applied, Server-Timing",
};

const byDefault = await createReader();
const listed = byDefault.restart({ CORS_ORIGINS: `${ORIGIN}, ${OTHER_ORIGIN}` });
const sendPreflight = (headers: Record<string, string>, { read } = listed) =>
  read("x", { as: "nobody", method: "OPTIONS", headers });
const grantOf = ({ headers }: { headers: Headers }) =>
  Object.fromEntries([...headers].filter(([name]) => name.startsWith("access-control-")));

test("off by default: no grant, no Vary: Origin, and a preflight is a 405", async () => {
  const result = await byDefault.read("x", { headers: { origin: ORIGIN } });
  expect([grantOf(result), result.headers.get("vary")]).toEqual([{}, "Authorization"]);
  expect((await sendPreflight(PREFLIGHT, byDefault)).status).toBe(405);
});

test("a preflight from a listed origin is answered without credentials", async () => {
  const result = await sendPreflight(PREFLIGHT);
  expect([result.status, result.headers.get("vary")]).toEqual([204, "Origin, Authorization"]);
  expect(grantOf(result)).toEqual({
    ...GRANT,
    "access-control-allow-methods": "GET, HEAD",
    "access-control-allow-headers":
      "Authorization, If-None-Match, Prefer, X-Request-Id, Traceparent, Tracestate, Accept, Cache-Control, " +
      "Content-Type, If-Modified-Since, Pragma, X-Requested-With",
    "access-control-max-age": "86400",
  });
});

test("each listed origin may read a run and an error, and what a browser needs is exposed", async () => {
  for (const origin of [ORIGIN, OTHER_ORIGIN]) {
    for (const target of [await insertRun(), "no-uuid", "/nowhere"]) {
      const result = await listed.read(target, { headers: { origin } });
      expect(grantOf(result)).toEqual({ ...GRANT, "access-control-allow-origin": origin });
      expect(result.headers.get("vary")).toBe("Origin, Authorization");
    }
  }
});

test("OPTIONS of a listed origin that asks for no method is no preflight, nor is another method that does", async () => {
  expect((await sendPreflight({ origin: ORIGIN })).status).toBe(405);
  expect((await listed.read("x", { as: "nobody", headers: PREFLIGHT })).status).toBe(401);
});

test.each([
  undefined,
  "https://evil.example.com",
  "https://app.example.com.evil.test",
  "https://app.example.co",
  "https://app.example.com, http://localhost:3000",
  "",
  "http://app.example.com",
  "https://app.example.com:8443",
  "HTTPS://APP.EXAMPLE.COM",
  "null",
])("the origin %s gets no grant, but caches learn that the origin matters", async (origin) => {
  const { origin: _, ...others } = PREFLIGHT;
  const headers = origin === undefined ? {} : { origin };
  const results = [await listed.read("x", { headers }), await sendPreflight({ ...others, ...headers })];
  expect(results.map(({ status }) => status)).toEqual([422, 405]);
  for (const result of results) {
    expect([grantOf(result), result.headers.get("vary")]).toEqual([{}, "Origin, Authorization"]);
  }
});
