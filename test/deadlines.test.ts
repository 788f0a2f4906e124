// If one part hangs, the rest keeps working, and every response arrives within its request's time: its wait and
// REQUEST_TIMEOUT_MS. Time is simulated.
import { beforeEach, expect, test, vi } from "vitest";
import { Failure } from "../src/failure.ts";
import { type Hang, answerFetches, controlClock, elapsed, hangFetches } from "./support/clock.ts";
import { insertRun } from "./support/database.ts";
import { expectFault } from "./support/documented-fault.ts";
import { createReader } from "./support/reader.ts";

const clock = controlClock();
beforeEach(() => clock.simulate());

const WAITS = [0, 1, 3] as const;
const HANGS: readonly Hang[] = ["silent", "stuck in the body", "trickling"];

interface Case {
  part: string;
  /** Makes the part hang, but for the limiter. */
  hang?(keysUrl: string): unknown;
  /** If it isn't the default. */
  timeoutMs?: number;
  limiter?: Pick<RateLimit, "limit">;
  /** How old the isolate's keys are; without it, it has none. */
  keysAgeSeconds?: number;
  /** When the part begins to hang, after the request. */
  afterMs?: number;
  status: number;
  /** Milliseconds until the response, at most, for each of the waits. */
  within: readonly [number, number, number];
}

const hangForever = () => new Promise<never>(() => {});

function hangLookups(): void {
  vi.mocked(Cache.prototype.match).mockImplementation(hangForever);
}

function hangBodies(): void {
  vi.mocked(Cache.prototype.match).mockImplementation(async () => new Response(""));
  vi.spyOn(Response.prototype, "bytes").mockImplementation(hangForever);
}

const hangIssuer = (hang: Hang) => (keysUrl: string) => hangFetches(keysUrl, hang);
const failAtOnce = () => answerFetches("/sql", async () => new Response(null, { status: 500 }));
const WITH_KEYS = { keysAgeSeconds: 0 };
const WITH_STALE_KEYS = { keysAgeSeconds: 1_200 };

const CASES: readonly Case[] = [
  ...HANGS.flatMap((hang): Case[] => {
    const database = { ...WITH_KEYS, hang: () => hangFetches("/sql", hang), status: 503 };
    const issuer = { hang: hangIssuer(hang) };
    return [
      { ...database, part: `a ${hang} database`, within: [9_000, 10_000, 12_000] },
      { ...database, part: `a database, ${hang} after the first read`, afterMs: 300, within: [0, 10_000, 12_000] },
      { ...issuer, part: `a ${hang} issuer without keys at hand`, status: 503, within: [3_000, 3_000, 3_000] },
      { ...issuer, ...WITH_STALE_KEYS, part: `a ${hang} issuer`, status: 200, within: [1_000, 1_000, 3_000] },
    ];
  }),
  { part: "an issuer", timeoutMs: 500, hang: hangIssuer("silent"), status: 503, within: [500, 500, 500] },
  {
    part: "an issuer with stale keys at hand",
    timeoutMs: 500,
    ...WITH_STALE_KEYS,
    hang: hangIssuer("silent"),
    status: 200,
    within: [500, 1_500, 3_500],
  },
  { part: "a retry", timeoutMs: 100, ...WITH_KEYS, hang: failAtOnce, status: 503, within: [100, 1_100, 3_100] },
  { part: "a cache whose lookups hang", hang: hangLookups, status: 200, within: [400, 1_000, 3_000] },
  // The keys', and the run's.
  { part: "a cache whose bodies hang", hang: hangBodies, status: 200, within: [800, 1_000, 3_000] },
  { part: "a limiter", limiter: { limit: hangForever }, status: 200, within: [400, 1_400, 3_400] },
];

test.each(CASES)(
  "$part, and waits of 0, 1 and 3 s: within $within ms (REQUEST_TIMEOUT_MS: $timeoutMs)",
  async (each) => {
    const { hang, timeoutMs, limiter, keysAgeSeconds, afterMs = 0, within } = each;
    const reader = await createReader({ settings: { REQUEST_TIMEOUT_MS: timeoutMs, RATE_LIMITER: limiter } });
    const { JWKS_URL } = reader.issuer.variables;
    if (keysAgeSeconds !== undefined) {
      expect((await reader.read()).status).toBe(404);
      await reader.app.settle();
      clock.advance(keysAgeSeconds);
    }
    const id = await insertRun({ status: "running" });
    if (afterMs === 0) hang?.(JWKS_URL);
    const reads = WAITS.map(async (seconds, index) => {
      const withinMs = within[index] ?? 0;
      const reading = reader.read(id, { headers: { prefer: `wait=${seconds}` } });
      expect(await elapsed(reading)).toBeLessThanOrEqual(withinMs);
      // Without a wait, the first read is the only one.
      expect((await reading).status).toBe(withinMs === 0 ? 200 : each.status);
    });
    if (afterMs > 0) {
      await scheduler.wait(afterMs);
      hang?.(JWKS_URL);
    }
    await Promise.all(reads);
  },
);

test("a wait that is cut short by its token has as much less time", async () => {
  const reader = await createReader({ settings: { JWT_LEEWAY_SECONDS: 0 } });
  const token = await reader.issuer.sign({ exp: Math.floor(Date.now() / 1_000) + 5 });
  const reading = elapsed(reader.read(await insertRun(), { token, headers: { prefer: "wait=20" } }));
  await scheduler.wait(300);
  hangFetches("/sql", "silent");
  // The wait is three seconds and a fraction of the fourth is over.
  expect(await reading).toBeLessThanOrEqual(12_000);
});

test("a poll that takes the rest of its request's time is the last one", async () => {
  const settings = { REQUEST_TIMEOUT_MS: 1_000, DATABASE_ATTEMPT_TIMEOUT_MS: 9_000 };
  const reader = await createReader({ settings });
  const reading = reader.read(await insertRun(), { headers: { prefer: "wait=5" } });
  await scheduler.wait(300);
  hangFetches("/sql", "silent");
  expect(await elapsed(reading)).toBeLessThanOrEqual(6_000);
  expect((await reading).log["db_attempts"]).toBe(2);
});

test.each([0, 0.5, 0.99])(
  "a wait without room for its replies fails within its time, after few: %f",
  async (chance) => {
    const reader = await createReader({ settings: { REQUEST_TIMEOUT_MS: 1_500 } });
    let replies = 0;
    answerFetches("/sql", async (send) => {
      replies += 1;
      if (replies < 10) throw new Failure("overloaded");
      return send();
    });
    vi.spyOn(Math, "random").mockReturnValue(chance);
    const reading = reader.read(undefined, { headers: { prefer: "wait=1" } });
    expect(await elapsed(reading)).toBeLessThanOrEqual(2_500);
    // Not the 404 that the tenth reply is.
    expectFault("overloaded", await reading);
  },
);
