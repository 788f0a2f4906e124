// The optional rate limit, with Cloudflare's own binding as it runs locally: three reads of the database a minute for each user.
// Where it matters when the limit is reached, or how the limiter fails, a stand-in takes its place.
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { controlClock } from "../support/clock.ts";
import { insertRun, updateRun } from "../support/database.ts";
import { createReader } from "../support/reader.ts";

const PERIOD_MS = 60_000;
/** The longest that a test takes from its first read to its last. */
const TEST_MS = 8_000;

const clock = controlClock();

test(
  "the fourth read of a user is a 429; cached runs, their 304s, refusals and documents don't count, and are served beyond it",
  { timeout: 2 * TEST_MS },
  async () => {
    const reader = await createReader({ settings: { RATE_LIMITER: env.RATE_LIMITER } });
    // The binding counts anew at each full minute of the clock: wait for the next one if this one ends within the test.
    const leftMs = PERIOD_MS - (Date.now() % PERIOD_MS);
    if (leftMs < TEST_MS) await new Promise((resolve) => setTimeout(resolve, leftMs));
    const owner_id = crypto.randomUUID();
    const token = await reader.issuer.sign({ sub: owner_id });
    const read = (id: string, headers = {}) => reader.read(id, { token, headers });
    const finished = await insertRun({ owner_id, status: "completed", result: "done" });
    const etag = (await read(finished)).headers.get("etag") ?? "";
    const readForFree = async () => {
      expect((await read(finished)).status).toBe(200);
      expect((await read(finished, { "if-none-match": etag })).status).toBe(304);
      expect((await read("no-uuid")).status).toBe(422);
      expect((await read(finished, { authorization: "Bearer x" })).status).toBe(401);
      expect((await read("/health")).status).toBe(200);
    };
    await readForFree();
    await readForFree();
    const unfinished = await insertRun({ owner_id });
    expect((await read(unfinished)).status).toBe(200);
    expect((await read(unfinished)).status).toBe(200);
    const limited = await read(unfinished);
    expect([limited.status, limited.headers.get("retry-after")]).toEqual([429, "60"]);
    expect(JSON.parse(limited.body)).toMatchObject({ detail: "Too Many Requests", code: "rate_limited" });
    await readForFree();
    expect((await reader.read()).status).toBe(404);
  },
);

describe("with a stand-in for the binding, in simulated time,", () => {
  const setUp = async (limit: () => Promise<{ success: boolean }>) => {
    clock.simulate();
    const reader = await createReader({ settings: { RATE_LIMITER: { limit } } });
    return { id: await insertRun(), read: reader.read };
  };

  test("a wait's polls count, those beyond the limit are skipped, and its last one is free", async () => {
    let left = 3;
    const { id, read } = await setUp(async () => ({ success: (left -= 1) >= 0 }));
    // The first read and two polls. The others are skipped, except the last.
    const { status, queries } = await read(id, { headers: { prefer: "wait=5" } });
    expect([status, queries]).toEqual([200, 4]);
    expect((await read(id, { headers: { prefer: "wait=5" } })).status).toBe(429);
  });

  test("a wait whose polls are all skipped still brings the run's end", async () => {
    let isFull = false;
    const { id, read } = await setUp(async () => ({ success: !isFull }));
    const waiting = read(id, { headers: { prefer: "wait=2" } });
    await scheduler.wait(300);
    isFull = true;
    await updateRun(id, "status = 'completed', result = 'done'");
    expect(JSON.parse((await waiting).body)).toMatchObject({ status: "completed" });
  });

  test.each([
    ["fails lets the read pass, and the log says so", () => Promise.reject(new Error("out of order")), 200, "failed"],
    ["hangs lets the read pass, and the log says so", () => new Promise<never>(() => {}), 200, "failed"],
    ["takes 300 ms is waited for", () => scheduler.wait(300).then(() => ({ success: false })), 429, undefined],
  ])("a limiter that %s", async (_, limit, expected, logged) => {
    const { id, read } = await setUp(limit);
    const { status, log } = await read(id);
    expect([status, log["rate_limit"]]).toEqual([expected, logged]);
  });
});
