// If one part hangs, the rest keeps working, and every response arrives within its request's time: its wait and
// REQUEST_TIMEOUT_MS. Time is simulated.
import { beforeEach, expect, test, vi } from "vitest";
import { Failure } from "../src/failure.ts";
import { type Hang, controlClock, hangFetches } from "./support/clock.ts";
import { insertRun } from "./support/database.ts";
import { openIssuer } from "./support/issuer.ts";
import { makeKey } from "./support/signing.ts";
import { type TestApp, bearer, createTestApp } from "./support/test-app.ts";

const clock = controlClock();
const key = await makeKey("ES256");
beforeEach(() => clock.simulate());

const TWENTY_MINUTES = 1_200;
const WAITS = [0, 1, 3] as const;
const HANGS: readonly Hang[] = ["silent", "stuck in the body", "trickling"];

interface Case {
  part: string;
  /** Makes the part hang. */
  hang(jwksUrl: string): unknown;
  variables?: Record<string, unknown>;
  /** How old the app's keys are; without it, it has none. */
  keysAgeSeconds?: number;
  /** When the part begins to hang, after the request. */
  afterMs?: number;
  status: number;
  /** Milliseconds until the response, at most, for each of the waits. */
  within: readonly [number, number, number];
}

const hangForever = () => new Promise<never>(() => {});
const mockLookups = (lookUp: () => Promise<Response>) => vi.mocked(Cache.prototype.match).mockImplementation(lookUp);

async function hangInBody(): Promise<Response> {
  const entry = new Response("");
  vi.spyOn(entry, "bytes").mockImplementation(hangForever);
  return entry;
}

const CASES: readonly Case[] = [
  ...HANGS.flatMap((hang): Case[] => {
    const database = { hang: () => hangFetches("/sql", hang), keysAgeSeconds: 0, status: 503 };
    const issuer = { hang: (jwksUrl: string) => hangFetches(jwksUrl, hang) };
    return [
      { ...database, part: `a ${hang} database`, within: [9_000, 10_000, 12_000] },
      {
        ...database,
        part: `a database that is ${hang} after the first read`,
        afterMs: 300,
        within: [0, 10_000, 12_000],
      },
      { ...issuer, part: `a ${hang} issuer without keys at hand`, status: 503, within: [3_000, 3_000, 3_000] },
      {
        ...issuer,
        part: `a ${hang} issuer with stale keys at hand`,
        keysAgeSeconds: TWENTY_MINUTES,
        status: 200,
        within: [1_000, 1_000, 3_000],
      },
    ];
  }),
  ...[
    { part: "an issuer without keys at hand", status: 503, within: [500, 500, 500] as const },
    {
      part: "an issuer with stale keys at hand",
      keysAgeSeconds: TWENTY_MINUTES,
      status: 200,
      within: [500, 1_500, 3_500] as const,
    },
  ].map((each): Case => ({
    ...each,
    part: `${each.part} and 500 ms for a request`,
    variables: { REQUEST_TIMEOUT_MS: 500 },
    hang: (jwksUrl) => hangFetches(jwksUrl, "silent"),
  })),
  {
    part: "a cache whose lookups hang",
    hang: () => mockLookups(hangForever),
    status: 200,
    within: [400, 1_000, 3_000],
  },
  // The keys', and the run's.
  { part: "a cache whose bodies hang", hang: () => mockLookups(hangInBody), status: 200, within: [800, 1_000, 3_000] },
  {
    part: "a limiter",
    variables: { RATE_LIMITER: { limit: hangForever } },
    hang: () => {},
    status: 200,
    within: [400, 1_400, 3_400],
  },
];

test("a wait that is cut short by its token has as much less time", async () => {
  const issuer = await openIssuer([key]);
  const app = createTestApp({ ...issuer.variables, JWT_LEEWAY_SECONDS: 0 });
  const token = await issuer.sign({ exp: Math.floor(Date.now() / 1_000) + 5 });
  const id = await insertRun({ status: "running" });
  const startedMs = Date.now();
  const reading = read(app, id, token, 20);
  await scheduler.wait(300);
  hangFetches("/sql", "silent");
  await reading;
  // The wait is three seconds and a fraction of the fourth is over.
  expect(Date.now() - startedMs).toBeLessThanOrEqual(12_000);
});

test("a wait for which the isolate never has room fails within its time", async () => {
  const issuer = await openIssuer([key]);
  const app = createTestApp({ ...issuer.variables, REQUEST_TIMEOUT_MS: 1_500 });
  const token = await issuer.sign();
  const id = await insertRun({ status: "running" });
  const simulated = vi.mocked(fetch).getMockImplementation() ?? fetch;
  vi.mocked(fetch).mockImplementation((input, init) =>
    String(input).endsWith("/sql") ? Promise.reject(new Failure("overloaded")) : simulated(input, init),
  );
  for (const chance of [0, 0.5, 0.99]) {
    vi.spyOn(Math, "random").mockReturnValue(chance);
    const startedMs = Date.now();
    const response = await read(app, id, token, 1);
    vi.mocked(Math.random).mockRestore();
    expect(Date.now() - startedMs).toBeLessThanOrEqual(2_500);
    expect(await response.json()).toMatchObject({ code: "overloaded" });
  }
});

const read = (app: TestApp, id: string, token: string, wait: number) =>
  app.fetch(`/api/crew-runs/${id}`, { headers: { ...bearer(token), prefer: `wait=${wait}` } });

test.each(CASES.flatMap((each) => WAITS.map((wait, index) => ({ ...each, wait, withinMs: each.within[index] ?? 0 }))))(
  "$part, and a wait of $wait s: $status within $withinMs ms",
  async ({ hang, variables, keysAgeSeconds, afterMs = 0, status, wait, withinMs }) => {
    const issuer = await openIssuer([key]);
    const token = await issuer.sign({ exp: Math.floor(Date.now() / 1_000) + 86_400 });
    const app = createTestApp({ ...issuer.variables, ...variables });
    if (keysAgeSeconds !== undefined) {
      expect((await read(app, crypto.randomUUID(), token, 0)).status).toBe(404);
      await app.settle();
      clock.advance(keysAgeSeconds);
    }
    const id = await insertRun({ status: "running" });
    if (afterMs === 0) hang(issuer.variables.JWKS_URL);
    const startedMs = Date.now();
    const reading = read(app, id, token, wait).then(async (response) => {
      await response.text();
      return { status: response.status, ms: Date.now() - startedMs };
    });
    if (afterMs > 0) {
      await scheduler.wait(afterMs);
      hang(issuer.variables.JWKS_URL);
    }
    const answer = await reading;
    // Without a wait, the first read is the only one.
    expect(answer.status).toBe(withinMs === 0 ? 200 : status);
    expect(answer.ms).toBeLessThanOrEqual(withinMs);
  },
);
