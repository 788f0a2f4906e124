// Every request: an id that can be trusted, the headers of each response, one log line, and work that is held to its
// end. What the log calls the reader: auth/ways-in.test.ts.
import { Hono } from "hono/tiny";
import { beforeEach, expect, inject, test, vi } from "vitest";
import { createApp } from "../../src/app.ts";
import type { AppEnv } from "../../src/env.ts";
import { logRequests } from "../../src/http/request-log.ts";
import { listLines } from "../support/console.ts";
import { keepSecret } from "../support/secrets.ts";
import { bearer, createTestApp } from "../support/test-app.ts";
import { insertRun } from "../support/database.ts";
import { openDatabaseProxy } from "../support/fault-proxy.ts";
import { untilHeld } from "../support/fault-proxy-protocol.ts";
import { fetchToken } from "../support/issuer.ts";

let before = 0;
beforeEach(() => void (before = listLines().length));

/** What the test has logged so far. */
const lines = () => listLines().slice(before);
const logs = () => lines().map(({ log }) => log);

test("a sane x-request-id is kept, in the header, the error's body and the log line", async () => {
  const response = await createTestApp().fetch("/nowhere", { headers: { "x-request-id": "abc-123._:Z" } });
  expect(response.headers.get("x-request-id")).toBe("abc-123._:Z");
  expect(await response.json()).toMatchObject({ request_id: "abc-123._:Z" });
  const line = { request_id: "abc-123._:Z", status: 404, code: "not_found" };
  expect(logs()).toEqual([expect.objectContaining(line)]);
  expect(logs()[0]).not.toHaveProperty("route");
});

test.each(["", "a".repeat(129), 'a"b', "a b", "é"])("the x-request-id %j is replaced by a fresh one", async (given) => {
  const response = await createTestApp().fetch("/nowhere", { headers: { "x-request-id": given } });
  expect(response.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
});

test("every response forbids sniffing and referrers; over https it pins https", async () => {
  const app = createTestApp();
  for (const path of ["/nowhere", "/health", "/api/crew-runs/x"]) {
    const { headers } = await app.fetch(path);
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("referrer-policy")).toBe("no-referrer");
    expect(headers.get("strict-transport-security")).toBe("max-age=31536000");
  }
});

test("one line per request, with its trace and nothing of the token", async () => {
  const id = await insertRun();
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const headers = { ...bearer(await fetchToken("owner")), traceparent, "cf-ray": "8f3a1b2c3d4e5f60-DFW" };
  const response = await createTestApp().fetch(`/api/crew-runs/${id}`, { headers });
  expect(logs()).toEqual([
    {
      level: "info",
      request_id: response.headers.get("x-request-id"),
      trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
      method: "GET",
      route: "/api/crew-runs/:run_id",
      run_id: id,
      status: 200,
      ms: expect.any(Number),
      cf_ray: "8f3a1b2c3d4e5f60-DFW",
      auth: "verified",
      key_set: expect.any(String),
      cache: "miss",
      db_attempts: 1,
      db_ms: expect.any(Number),
    },
  ]);
  expect(response.headers.get("server-timing")).toMatch(
    /^total;dur=\d+, auth;desc=verified, cache;desc=miss, db;dur=\d+$/,
  );
});

test("an error that no step foresaw is on console.error, by its name and place, without its message", async () => {
  const headers = bearer(await fetchToken("owner"));
  const unforeseen = new RangeError(keepSecret("a value of the record\n    at a value (of the record)"));
  const digest = vi.spyOn(crypto.subtle, "digest").mockRejectedValue(unforeseen);
  const response = await createTestApp().fetch(`/api/crew-runs/${crypto.randomUUID()}`, { headers });
  digest.mockRestore();
  expect(response.status).toBe(500);
  const log = { level: "error", status: 500, code: "internal_error", why: "RangeError" };
  expect(lines()).toMatchObject([{ method: "error", log: { ...log, stack: expect.stringMatching(/^at /) } }]);
  expect(lines()[0]?.text).not.toContain("a value");
});

test("each line has the cf-ray of its own request, so that the platform's records are found by it", async () => {
  const app = createTestApp();
  for (const ray of ["8f3a1b2c3d4e5f60-DFW", "8f3a1b2c3d4e5f61-FRA"])
    await app.fetch("/health", { headers: { "cf-ray": ray } });
  expect(logs().map((log) => log["cf_ray"])).toEqual(["8f3a1b2c3d4e5f60-DFW", "8f3a1b2c3d4e5f61-FRA"]);
});

test("a request whose handler fails beyond Hono's reach isn't held open", async () => {
  const held: Promise<unknown>[] = [];
  const app = new Hono<AppEnv>().use(logRequests(undefined, (work) => held.push(work))).get("/", () => {
    // Hono's `onError` gets errors only: another value that is thrown leaves the whole chain.
    throw "not an error";
  });
  await expect(app.fetch(new Request("https://api.test/"))).rejects.toBe("not an error");
  await Promise.all(held);
});

test("a check of readiness goes on when the client that began it leaves", async () => {
  const proxy = await openDatabaseProxy();
  await proxy.fail({ kind: "hold" });
  const settings = { NEON_FETCH_ENDPOINT: proxy.url, READY_CHECKS_DATABASE: "true" };
  const waitUntil = vi.fn<(work: Promise<unknown>) => void>();
  // Work that isn't handed to the platform ends with its client: everyone who joined it would wait 9.5 s for nothing.
  const app = createApp({ ...inject("localStack").variables, ...settings }, waitUntil);
  const answer = app.fetch(new Request("https://api.test/ready"));
  await untilHeld(proxy);
  const handedOver = waitUntil.mock.calls.map(([work]) => Promise.race([work, "under way"]));
  expect(await Promise.all(handedOver)).toContain("under way");
  await proxy.heal();
  expect((await answer).status).toBe(200);
});
