// Every request: an id that can be trusted, the headers of each response, one log line, and work that is held to its
// end. What the log calls the reader: auth/remembered-tokens.test.ts.
import { Hono } from "hono/tiny";
import { expect, inject, test, vi } from "vitest";
import { createApp } from "../../src/app.ts";
import { logRequests } from "../../src/http/request-log.ts";
import type { AppEnv } from "../../src/request.ts";
import { controlClock } from "../support/clock.ts";
import { listLines } from "../support/console.ts";
import { insertRun } from "../support/database.ts";
import { openDatabaseProxy } from "../support/fault-proxy.ts";
import { untilHeld } from "../support/fault-proxy-protocol.ts";
import { createReader } from "../support/reader.ts";
import { keepSecret } from "../support/secrets.ts";

const clock = controlClock();
const reader = await createReader();
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT = `00-${TRACE}-00f067aa0ba902b7-01`;

test.each<[id: string, isKept: boolean]>([
  ["abc-123._:Z", true],
  ["a".repeat(128), true],
  ...["", "a".repeat(129), 'a"b', "a b", "a/b", "é", "a\u00a0", "/a"].map((id): [string, boolean] => [id, false]),
])("the x-request-id %j is kept: %s; another is replaced by a fresh one", async (given, isKept) => {
  const { headers, body, log } = await reader.read("/nowhere", { as: "nobody", headers: { "x-request-id": given } });
  const id = headers.get("x-request-id") ?? "";
  expect(id).toMatch(isKept ? given : /^[0-9a-f-]{36}$/);
  expect(JSON.parse(body)).toMatchObject({ request_id: id });
  expect(log).toMatchObject({ level: "info", request_id: id, method: "GET", status: 404, code: "not_found" });
  for (const name of ["route", "why", "stack"]) expect(log).not.toHaveProperty(name);
});

test.each<[string, string | undefined]>([
  [TRACEPARENT, TRACE],
  [`01${TRACEPARENT.slice(2)}-future`, TRACE],
  [TRACEPARENT.toUpperCase(), undefined],
  [`x${TRACEPARENT}`, undefined],
  [TRACEPARENT.slice(0, -1), undefined],
])("of the traceparent %s the log has the trace %s", async (traceparent, trace) => {
  expect((await reader.read("/health", { headers: { traceparent } })).log["trace_id"]).toBe(trace);
});

test("one line per request, with its trace and nothing of the token", async () => {
  // So that each duration is 0, which is shown, too.
  clock.stopAt(Date.now());
  const id = await insertRun();
  const { read } = await createReader({ settings: { CF_VERSION_METADATA: { id: "the deployment" } } });
  const { headers, log } = await read(id, {
    method: "HEAD",
    headers: { traceparent: TRACEPARENT, "cf-ray": "8f3a1b2c3d4e5f60-DFW" },
  });
  expect(log).toEqual({
    level: "info",
    request_id: headers.get("x-request-id"),
    trace_id: TRACE,
    method: "HEAD",
    route: "/api/crew-runs/:run_id",
    run_id: id,
    status: 200,
    ms: 0,
    cf_ray: "8f3a1b2c3d4e5f60-DFW",
    version: "the deployment",
    auth: "verified",
    key_set: "fetched",
    cache: "miss",
    db_attempts: 1,
    db_ms: 0,
  });
  expect(headers.get("server-timing")).toBe("total;dur=0, auth;desc=verified, cache;desc=miss, db;dur=0");
});

test("an error that no step foresaw is on console.error, by its name and place, without its message", async () => {
  await reader.read();
  const unforeseen = new RangeError(keepSecret("a value of the record\n    at a value (of the record)"));
  vi.spyOn(crypto.subtle, "digest").mockRejectedValue(unforeseen);
  const { status, log } = await reader.restart().read();
  expect(status).toBe(500);
  expect(log).toMatchObject({ level: "error", status: 500, code: "internal_error", why: "RangeError" });
  expect(log["stack"]).toMatch(/^at .*\nat /);
  expect(listLines().at(-1)?.method).toBe("error");
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
