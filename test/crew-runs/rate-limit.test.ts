// The optional rate limit, with Cloudflare's own binding as it runs locally: three reads of the database a minute for each user.
// Each test has another user. Only a broken limiter is faked.
import { env } from "cloudflare:workers";
import { beforeAll, beforeEach, expect, test } from "vitest";
import { catchLines } from "../support/log-lines.ts";
import { type TestApp, bearer, createTestApp } from "../support/test-app.ts";
import { insertRun, updateRun } from "../support/database.ts";
import { openDatabaseProxy } from "../support/fault-proxy.ts";
import { openIssuer } from "../support/issuer.ts";
import { makeKey } from "../support/signing.ts";
import type { TestIssuer } from "../support/test-issuer.ts";

const PERIOD_MS = 60_000;
/** The longest that a test takes from its first read to its last. */
const TEST_MS = 8_000;

const lines = catchLines();
let issuer: TestIssuer;
let app: TestApp;

beforeAll(async () => {
  issuer = await openIssuer([await makeKey("ES256")]);
});

beforeEach(async () => {
  app = createTestApp({ ...issuer.variables, RATE_LIMITER: env.RATE_LIMITER });
  // The binding counts anew at each full minute of the clock: wait for the next one if this one ends within the test.
  const leftMs = PERIOD_MS - (Date.now() % PERIOD_MS);
  if (leftMs < TEST_MS) await new Promise((resolve) => setTimeout(resolve, leftMs));
}, 2 * TEST_MS);

/** Returns a function by which a new user reads runs. */
async function makeUser(): Promise<{ owner_id: string; read: typeof app.fetch }> {
  const owner_id = crypto.randomUUID();
  const authorization = bearer(await issuer.sign({ sub: owner_id }));
  return {
    owner_id,
    read: (id, { headers } = {}) => app.fetch(`/api/crew-runs/${id}`, { headers: { ...authorization, ...headers } }),
  };
}

test("the fourth read of a user is a 429 with Retry-After; another user still reads", async () => {
  const [user, other] = [await makeUser(), await makeUser()];
  const ids = await Promise.all([user, other].map(({ owner_id }) => insertRun({ owner_id })));
  for (let count = 0; count < 3; count += 1) expect((await user.read(`${ids[0]}`)).status).toBe(200);
  const limited = await user.read(`${ids[0]}`);
  expect(limited.status).toBe(429);
  expect(limited.headers.get("retry-after")).toBe("60");
  expect(limited.headers.get("cache-control")).toBe("no-store");
  expect(await limited.json()).toEqual({
    detail: "Too Many Requests",
    code: "rate_limited",
    request_id: limited.headers.get("x-request-id"),
  });
  expect((await other.read(`${ids[1]}`)).status).toBe(200);
});

test("cached runs, their 304s, refusals and documents are not counted, and a cached run is served beyond the limit", async () => {
  const { owner_id, read } = await makeUser();
  const finished = await insertRun({ owner_id, status: "completed", result: "done" });
  const etag = (await read(finished)).headers.get("etag") ?? "";
  const readForFree = async () => {
    expect((await read(finished)).status).toBe(200);
    expect((await read(finished, { headers: { "if-none-match": etag } })).status).toBe(304);
    expect((await read("no-uuid")).status).toBe(422);
    expect((await read(finished, { headers: { authorization: "Bearer x" } })).status).toBe(401);
    expect((await app.fetch("/health")).status).toBe(200);
  };
  await readForFree();
  await readForFree();
  const unfinished = await insertRun({ owner_id });
  expect((await read(unfinished)).status).toBe(200);
  expect((await read(unfinished)).status).toBe(200);
  expect((await read(unfinished)).status).toBe(429);
  await readForFree();
});

test("a wait's polls count, those beyond the limit are skipped, and its last one is free", async () => {
  const database = await openDatabaseProxy();
  app = createTestApp({ ...issuer.variables, RATE_LIMITER: env.RATE_LIMITER, NEON_FETCH_ENDPOINT: database.url });
  const { owner_id, read } = await makeUser();
  const id = await insertRun({ owner_id });
  // The limit is three: the first read and two polls. The others are skipped, except the last.
  expect((await read(id, { headers: { prefer: "wait=3" } })).status).toBe(200);
  expect(await database.received()).toBe(4);
  expect((await read(id, { headers: { prefer: "wait=5" } })).status).toBe(429);
});

test("a wait whose polls are all skipped still brings the run's end", async () => {
  let isFull = false;
  app = createTestApp({ ...issuer.variables, RATE_LIMITER: { limit: async () => ({ success: !isFull }) } });
  const { owner_id, read } = await makeUser();
  const id = await insertRun({ owner_id });
  const waiting = read(id, { headers: { prefer: "wait=2" } });
  await scheduler.wait(300);
  isFull = true;
  await updateRun(id, "status = 'completed', result = 'done'");
  expect(await (await waiting).json()).toMatchObject({ status: "completed" });
});

const BROKEN_LIMITERS = {
  "that fails": () => Promise.reject(new Error("out of order")),
  "that hangs": () => new Promise<never>(() => {}),
};

test.for(Object.entries(BROKEN_LIMITERS))("a limiter %s lets the read pass, and the log says so", async ([, limit]) => {
  app = createTestApp({ ...issuer.variables, RATE_LIMITER: { limit } });
  const { owner_id, read } = await makeUser();
  const response = await read(await insertRun({ owner_id }));
  expect(response.status).toBe(200);
  expect(lines.of(response.headers.get("x-request-id"))).toMatchObject([{ status: 200, rate_limit: "failed" }]);
});
