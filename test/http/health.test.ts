// GET /health and GET /ready: what they check, and that they can't be used to load the database or to keep it awake.
import { describe, expect, test, vi } from "vitest";
import { answerFetches, controlClock, hangFetches } from "../support/clock.ts";
import { type Reader, createReader } from "../support/reader.ts";

const clock = controlClock();

/** Expects that /ready says so, to the client without a cause and to the log with one. */
async function expectReady(reader: Reader, status: 200 | 503, parts: Record<string, string>): Promise<void> {
  const { status: actual, headers, body, log } = await reader.read("/ready", { as: "nobody" });
  const state = status === 200 ? "ready" : "not_ready";
  expect([actual, JSON.parse(body)]).toEqual([status, { status: state, ...parts }]);
  expect(headers.get("cache-control")).toBe("no-store");
  expect(headers.get("retry-after")).toBe(status === 503 ? "10" : null);
  const cause = { level: "error", code: "not_ready", why: JSON.stringify(parts) };
  expect(log).toMatchObject(status === 503 ? cause : { level: "info" });
}

describe("/ready by default", () => {
  test("makes no query, however often it is called, and says that the database isn't checked", async () => {
    const reader = await createReader();
    for (let time = 0; time < 5; time += 1) {
      await expectReady(reader, 200, { database: "not_checked", key_set: "ok" });
      clock.advance(300);
    }
    expect(await reader.database.received()).toBe(0);
  });

  test("is 503 while there are no keys", async () => {
    const reader = await createReader();
    await reader.issuer.proxy.fail({ kind: "drop" });
    await expectReady(reader, 503, { database: "not_checked", key_set: "unavailable" });
  });

  test("calls keys that are at hand ok at once, though they are stale and the issuer hangs", async () => {
    clock.simulate();
    const reader = await createReader();
    await expectReady(reader, 200, { database: "not_checked", key_set: "ok" });
    hangFetches(reader.issuer.proxy.url, "silent");
    clock.advance(700);
    const startedMs = Date.now();
    await expectReady(reader, 200, { database: "not_checked", key_set: "ok" });
    expect(Date.now()).toBe(startedMs);
    expect(vi.mocked(fetch).mock.calls.filter(([url]) => url === reader.issuer.proxy.url)).toHaveLength(2);
  });
});

describe("/ready with READY_CHECKS_DATABASE", () => {
  const settings = { READY_CHECKS_DATABASE: "true" };

  test("makes one query in ten seconds for everybody, whether it succeeds or fails", async () => {
    const reader = await createReader({ settings });
    for (const [queries, status, database] of [
      [1, 200, "ok"],
      [2, 200, "ok"],
      [3, 503, "unavailable"],
    ] as const) {
      if (status === 503) await reader.database.fail({ kind: "drop" });
      const expectAll = () => expectReady(reader, status, { database, key_set: "ok" });
      await Promise.all(Array.from({ length: 10 }, expectAll));
      clock.advance(9);
      await expectAll();
      expect(await reader.database.received()).toBe(queries);
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
    await expectReady(await createReader({ settings }), 503, { database: "unavailable", key_set: "ok" });
  });

  test("waits for a slow database as long as for any read", async () => {
    clock.simulate();
    const reader = await createReader({ settings: { ...settings, DATABASE_ATTEMPT_TIMEOUT_MS: 9_000 } });
    answerFetches("/sql", (send) => scheduler.wait(8_900).then(send));
    await expectReady(reader, 200, { database: "ok", key_set: "ok" });
  });

  test("waits no longer than 9.5 s for a check whose request was cut off", async () => {
    clock.simulate();
    const reader = await createReader({ settings });
    await expectReady(reader, 200, { database: "ok", key_set: "ok" });
    clock.advance(60);
    // Nothing of such a request goes on.
    vi.spyOn(Promise, "allSettled").mockReturnValueOnce(new Promise(() => {}));
    void reader.read("/ready", { as: "nobody" });
    const startedMs = Date.now();
    await expectReady(reader, 503, { database: "unavailable", key_set: "unavailable" });
    expect(Date.now() - startedMs).toBe(9_500);
    await expectReady(reader, 200, { database: "ok", key_set: "ok" });
  });
});
