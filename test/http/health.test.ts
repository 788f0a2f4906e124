// GET /health and GET /ready: what they check, and that they can't be used to load the database or to keep it awake.
import { beforeEach, describe, expect, test, vi } from "vitest";
import { controlClock } from "../support/clock.ts";
import { openDatabaseProxy } from "../support/fault-proxy.ts";
import type { FaultProxy } from "../support/fault-proxy-protocol.ts";
import { openIssuer } from "../support/issuer.ts";
import { makeKey } from "../support/signing.ts";
import { type TestApp, createTestApp } from "../support/test-app.ts";
import type { TestIssuer } from "../support/test-issuer.ts";

const clock = controlClock();

let database: FaultProxy;
let issuer: TestIssuer;

beforeEach(async () => {
  database = await openDatabaseProxy();
  issuer = await openIssuer([await makeKey("ES256")]);
});

const start = (variables: object = {}) =>
  createTestApp({ NEON_FETCH_ENDPOINT: database.url, ...issuer.variables, ...variables });

async function ready(app: TestApp): Promise<{ status: number; body: unknown }> {
  const response = await app.fetch("/ready");
  expect(response.headers.get("cache-control")).toBe("no-store");
  expect(response.headers.get("retry-after")).toBe(response.status === 503 ? "10" : null);
  return { status: response.status, body: await response.json() };
}

test("/health says that the Worker runs, though it has no settings", async () => {
  const response = await createTestApp({ DATABASE_URL: undefined }).fetch("/health");
  expect([response.status, await response.json()]).toEqual([200, { status: "ok" }]);
});

describe("/ready by default", () => {
  test("makes no query, however often it is called, and says that the database isn't checked", async () => {
    const app = start();
    for (let time = 0; time < 5; time += 1) {
      expect(await ready(app)).toEqual({
        status: 200,
        body: { status: "ready", database: "not_checked", key_set: "ok" },
      });
      clock.advance(300);
    }
    expect(await database.received()).toBe(0);
  });

  test("is 503 while there are no keys", async () => {
    await issuer.proxy.fail({ kind: "drop" });
    expect(await ready(start())).toEqual({
      status: 503,
      body: { status: "not_ready", database: "not_checked", key_set: "unavailable" },
    });
  });

  test("is 503 if a setting is missing, and doesn't say which", async () => {
    expect(await ready(start({ JWT_AUDIENCE: undefined }))).toEqual({
      status: 503,
      body: { status: "not_ready", settings: "misconfigured" },
    });
  });

  test("calls keys that are at hand ok, though the issuer can't be reached now", async () => {
    const app = start();
    await ready(app);
    await issuer.proxy.fail({ kind: "drop" });
    // The keys are due, so that the issuer is called.
    clock.advance(500);
    expect(await ready(app)).toMatchObject({ status: 200, body: { key_set: "ok" } });
    await app.settle();
    expect(await issuer.proxy.received()).toBe(2);
  });
});

describe("/ready with READY_CHECKS_DATABASE", () => {
  const variables = { READY_CHECKS_DATABASE: "true" };

  test("makes one query in ten seconds for everybody", async () => {
    const app = start(variables);
    for (const expected of [1, 2]) {
      const all = await Promise.all(Array.from({ length: 10 }, () => ready(app)));
      clock.advance(9);
      for (const each of [...all, await ready(app)]) {
        expect(each).toEqual({ status: 200, body: { status: "ready", database: "ok", key_set: "ok" } });
      }
      expect(await database.received()).toBe(expected);
      clock.advance(1);
    }
  });

  test("is 503 if reads would fail, for example because the table lacks a column", async () => {
    const { fetch: realFetch } = globalThis;
    // The real Postgres looks for a column that isn't there.
    vi.spyOn(globalThis, "fetch").mockImplementation((input, init) =>
      realFetch(input, {
        ...init,
        ...(init?.body && { body: String(init.body).replace("crew_type", "no_such_column") }),
      }),
    );
    const answer = await ready(start(variables));
    vi.restoreAllMocks();
    expect(answer).toMatchObject({ status: 503, body: { database: "unavailable", key_set: "ok" } });
  });

  test("is 503 while the database fails", async () => {
    await database.fail({ kind: "drop" });
    expect(await ready(start(variables))).toEqual({
      status: 503,
      body: { status: "not_ready", database: "unavailable", key_set: "ok" },
    });
  });
});
