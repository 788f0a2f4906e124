// The optional rate limit, with Cloudflare's own binding as it runs locally: three reads of the database a minute for each user.
// Each test has another user. Only a broken limiter is faked.
import { env } from "cloudflare:workers";
import { beforeEach, expect, test } from "vitest";
import { insertRun, updateRun } from "../support/database.ts";
import { type Reader, createReader } from "../support/reader.ts";

const PERIOD_MS = 60_000;
/** The longest that a test takes from its first read to its last. */
const TEST_MS = 8_000;

let reader: Reader;

beforeEach(async () => {
  reader = await createReader({ settings: { RATE_LIMITER: env.RATE_LIMITER } });
  // The binding counts anew at each full minute of the clock: wait for the next one if this one ends within the test.
  const leftMs = PERIOD_MS - (Date.now() % PERIOD_MS);
  if (leftMs < TEST_MS) await new Promise((resolve) => setTimeout(resolve, leftMs));
}, 2 * TEST_MS);

/** Returns a function by which a new user reads runs. */
async function makeUser(from = reader) {
  const owner_id = crypto.randomUUID();
  const token = await from.issuer.sign({ sub: owner_id });
  const read = (id: string, headers = {}) => from.read(id, { token, headers });
  return { owner_id, read };
}

test("the fourth read of a user is a 429 with Retry-After; another user still reads", async () => {
  const [user, other] = [await makeUser(), await makeUser()];
  const ids = await Promise.all([user, other].map(({ owner_id }) => insertRun({ owner_id })));
  for (let count = 0; count < 3; count += 1) expect((await user.read(`${ids[0]}`)).status).toBe(200);
  const limited = await user.read(`${ids[0]}`);
  expect(limited.status).toBe(429);
  expect(limited.headers.get("retry-after")).toBe("60");
  expect(JSON.parse(limited.body)).toMatchObject({ detail: "Too Many Requests", code: "rate_limited" });
  expect((await other.read(`${ids[1]}`)).status).toBe(200);
});

test("cached runs, their 304s, refusals and documents are not counted, and a cached run is served beyond the limit", async () => {
  const { owner_id, read } = await makeUser();
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
  expect((await read(unfinished)).status).toBe(429);
  await readForFree();
});

test("a wait's polls count, those beyond the limit are skipped, and its last one is free", async () => {
  const { owner_id, read } = await makeUser();
  const id = await insertRun({ owner_id });
  // The limit is three: the first read and two polls. The others are skipped, except the last.
  const { status, queries } = await read(id, { prefer: "wait=3" });
  expect([status, queries]).toEqual([200, 4]);
  expect((await read(id, { prefer: "wait=5" })).status).toBe(429);
});

test("a wait whose polls are all skipped still brings the run's end", async () => {
  let isFull = false;
  const limit = async () => ({ success: !isFull });
  const { owner_id, read } = await makeUser(reader.restart({ RATE_LIMITER: { limit } }));
  const id = await insertRun({ owner_id });
  const waiting = read(id, { prefer: "wait=2" });
  await scheduler.wait(300);
  isFull = true;
  await updateRun(id, "status = 'completed', result = 'done'");
  expect(JSON.parse((await waiting).body)).toMatchObject({ status: "completed" });
});

const BROKEN_LIMITERS = {
  "that fails": () => Promise.reject(new Error("out of order")),
  "that hangs": () => new Promise<never>(() => {}),
};

test.for(Object.entries(BROKEN_LIMITERS))("a limiter %s lets the read pass, and the log says so", async ([, limit]) => {
  const { owner_id, read } = await makeUser(reader.restart({ RATE_LIMITER: { limit } }));
  const { status, log } = await read(await insertRun({ owner_id }));
  expect([status, log["rate_limit"]]).toEqual([200, "failed"]);
});
