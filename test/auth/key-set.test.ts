// Which keys decide about a token, what that costs and how long it takes: by the keys' age, by what the issuer publishes and by
// whether it responds. One table, then what a table can't show. Faults of the key endpoint: key-set-faults.test.ts; random orders:
// test/histories/.
import { beforeEach, describe, expect, inject, test, vi } from "vitest";
import { controlClock, elapsed, hangFetches } from "../support/clock.ts";
import { insertRun } from "../support/database.ts";
import { untilReceived } from "../support/fault-proxy-protocol.ts";
import { type Reader, createReader } from "../support/reader.ts";
import { expectNothingOfRun } from "../support/refusal.ts";
import { makeKey } from "../support/signing.ts";

const clock = controlClock();
const old = await makeKey("ES256");
const KEYS = {
  old,
  new: await makeKey("ES256"),
  /** Under the old key's id. */
  replacement: await makeKey("ES256", { kid: old.jwk.kid }),
  /** Under that id, too, and never published. */
  forged: await makeKey("ES256", { kid: old.jwk.kid }),
  es384: await makeKey("ES384"),
};
type KeyName = keyof typeof KEYS;

const FINISHED = await insertRun({ status: "completed" });
const UNFINISHED = await insertRun();
const REQUESTS = {
  run: [UNFINISHED, {}],
  "run in a new isolate": [UNFINISHED, {}],
  "cached run": [FINISHED, {}],
  "missing run": [crypto.randomUUID(), {}],
  wait: [UNFINISHED, { prefer: "wait=1" }],
  "invalid id": ["no-uuid", {}],
} as const;

/** The issuer publishes the old key. */
let reader: Reader;
beforeEach(async () => {
  reader = await createReader({ keys: [old] });
});

const publish = (names: string) => reader.issuer.publish(names.split(" ").map((name) => KEYS[name as KeyName].jwk));
const sign = (key: KeyName, header = {}) =>
  reader.issuer.sign({ exp: Math.floor(Date.now() / 1_000) + 86_400 }, { key: KEYS[key], header });
/** A missing run: 404 if the token is accepted. */
const statusOf = async (token: string, from = reader) => (await from.read(undefined, { token })).status;
/** Also those that hang. While time is simulated. */
const countFetches = (url = reader.issuer.proxy.url) =>
  vi.mocked(fetch).mock.calls.filter(([sent]) => String(sent).endsWith(url)).length;

/** Now. A number: it hangs, and the last fetch failed so many seconds ago. */
type Issuer = "up" | "down" | "hanging" | number;

/** Lets the keys become so old, the issuer being in this state at the end. */
async function age(seconds: number, issuer: Issuer, key: KeyName): Promise<void> {
  const ago = typeof issuer === "number" ? issuer : 0;
  clock.advance(seconds - ago);
  if (issuer === "down" || ago > 0) await reader.issuer.proxy.fail({ kind: "drop" });
  if (ago > 0) await statusOf(await sign(key));
  await reader.app.settle();
  clock.advance(ago);
  if (issuer === "hanging" || ago > 0) hangFetches(reader.issuer.proxy.url, "silent");
}

type Row = [number, Issuer, string, KeyName, keyof typeof REQUESTS, number, number, number, number];

test.each<Row>([
  // A known key serves.
  [0, "up", "old", "old", "run", 200, 0, 1, 0],
  [479, "up", "old", "old", "run", 200, 0, 1, 0],
  [480, "up", "old", "old", "run", 200, 1, 1, 0],
  [480, "down", "old", "old", "run", 200, 1, 1, 0],
  [599, "hanging", "old", "old", "run", 200, 1, 1, 0],
  [600, "hanging", "old", "old", "run", 200, 1, 1, 1_000],
  [1_200, "up", "old", "old", "cached run", 200, 1, 0, 0],
  [1_200, "down", "old", "old", "run", 200, 1, 1, 0],
  [1_200, 2, "old", "old", "run", 200, 0, 1, 0],
  [1_200, 3, "old", "old", "run", 200, 1, 1, 0],
  [1_200, 59, "old", "old", "run", 200, 1, 1, 0],
  [1_200, 60, "old", "old", "run", 200, 1, 1, 1_000],
  [14_399, "down", "old", "old", "run", 200, 1, 1, 0],
  [14_400, "down", "old", "old", "run", 503, 1, 0, 0],
  [14_400, "down", "old", "old", "cached run", 503, 1, 0, 0],
  [14_400, "hanging", "old", "old", "run", 503, 1, 0, 3_000],
  [14_400, 2, "old", "old", "run", 503, 0, 0, 0],
  [14_400, "up", "old", "old", "run", 200, 1, 1, 0],
  // A new key, and one that is replaced under its id.
  ...(["new", "replacement"] as const).flatMap((key): Row[] => [
    [9, "up", `old ${key}`, key, "run", 401, 0, 0, 0],
    [10, "up", `old ${key}`, key, "run", 200, 1, 1, 0],
    [10, "down", `old ${key}`, key, "run", 503, 1, 0, 0],
    [10, "hanging", `old ${key}`, key, "run", 503, 1, 0, 3_000],
    [12, 2, `old ${key}`, key, "run", 503, 0, 0, 0],
    [13, 3, `old ${key}`, key, "run", 503, 1, 0, 3_000],
    [1_200, "up", key, key, "run", 200, 1, 1, 0],
    [1_200, "down", key, key, "run", 503, 1, 0, 0],
    [1_200, "hanging", key, key, "run", 503, 1, 0, 3_000],
  ]),
  [9, "up", "old", "forged", "run", 401, 0, 0, 0],
  [10, "up", "old", "forged", "run", 401, 1, 0, 0],
  [10, "down", "old", "forged", "run", 503, 1, 0, 0],
  [1_200, "up", "old", "forged", "wait", 401, 1, 0, 0],
  // A withdrawn key.
  [479, "up", "new", "old", "run", 200, 0, 1, 0],
  [599, "hanging", "new", "old", "run", 200, 1, 1, 0],
  [600, "up", "new", "old", "run", 401, 1, 1, 0],
  [600, "up", "new", "old", "cached run", 401, 1, 0, 0],
  [600, "up", "new", "old", "missing run", 401, 1, 1, 0],
  [600, "up", "new", "old", "wait", 401, 1, 0, 0],
  [600, "up", "new", "old", "invalid id", 401, 1, 0, 0],
  [600, "hanging", "new", "old", "cached run", 200, 1, 0, 1_000],
  // The data center's copy.
  [0, "down", "old", "old", "run in a new isolate", 200, 0, 1, 0],
  [479, "up", "old", "old", "run in a new isolate", 200, 0, 1, 0],
  [480, "up", "old", "old", "run in a new isolate", 200, 1, 1, 0],
  [600, "up", "new", "old", "run in a new isolate", 401, 1, 1, 0],
  [600, "up", "replacement", "replacement", "run in a new isolate", 200, 1, 1, 0],
  [14_399, "down", "old", "old", "run in a new isolate", 200, 1, 1, 0],
  [14_400, "down", "old", "old", "run in a new isolate", 503, 1, 0, 0],
  // A clock that jumps back lengthens no bound: keys and cached runs of the future have expired.
  [-3_600, "up", "new", "old", "cached run", 401, 1, 0, 0],
  [-3_600, "up", "new", "new", "cached run", 200, 1, 1, 0],
])(
  "%i s old, the issuer %s, published %s: a token by the %s key for a %s is a %i after %i fetches, %i queries and %i ms",
  async (seconds, issuer, published, key, request, status, fetches, queries, ms) => {
    clock.simulate();
    const known = await sign("old");
    expect((await reader.read(FINISHED, { token: known })).status).toBe(200);
    await reader.app.settle();
    await publish(published);
    await age(seconds, issuer, key);
    const isolate = request === "run in a new isolate" ? reader.restart() : reader;
    const [id, headers] = REQUESTS[request];
    // At once: the first may be remembered, the other isn't.
    const tokens = [key === "old" ? known : await sign(key), await sign(key)];
    const [fetchesBefore, queriesBefore, startedMs] = [countFetches(), countFetches("/sql"), Date.now()];
    const results = await Promise.all(tokens.map((token) => isolate.read(id, { token, headers })));
    expect({ status: new Set(results.map((each) => each.status)), ms: Date.now() - startedMs }).toEqual({
      status: new Set([status]),
      ms,
    });
    expect(countFetches() - fetchesBefore).toBe(fetches);
    expect(countFetches("/sql") - queriesBefore).toBe(queries * tokens.length);
    for (const result of results) {
      if (status === 503) expect(JSON.parse(result.body).code).toBe("key_set_unavailable");
      if (status === 401) expectNothingOfRun(result);
    }
  },
);

test.each([
  ["up", 401],
  ["down", 503],
  ["hanging", 503],
] as const)(
  "a hundred forged tokens at once cost one fetch of an issuer that is %s, and delay no other",
  async (issuer, status) => {
    clock.simulate();
    const good = await sign("old");
    expect(await statusOf(good)).toBe(404);
    await age(10, issuer, "old");
    const headers = Array.from({ length: 100 }, (_, index) => (index < 50 ? {} : { kid: `made-up-${index}` }));
    const tokens = await Promise.all(headers.map((header) => sign("forged", header)));
    const startedMs = Date.now();
    const waiting = Promise.all(tokens.map((token) => statusOf(token)));
    expect([await statusOf(good), Date.now()]).toEqual([404, startedMs]);
    expect(new Set(await waiting)).toEqual(new Set([status]));
    expect(countFetches()).toBe(2);
  },
);

test("a response waits for the refetch of stale keys until a second after the refetch's start", async () => {
  clock.simulate();
  const token = await sign("old");
  expect(await statusOf(token)).toBe(404);
  await age(600, "hanging", "old");
  const waits = [0, 400, 1_500].map(async (delayMs) => {
    await scheduler.wait(delayMs);
    const status = statusOf(token);
    const waitedMs = await elapsed(status);
    expect(await status).toBe(404);
    return waitedMs;
  });
  expect(await Promise.all(waits)).toEqual([1_000, 600, 0]);
});

test.each([
  ["the isolate", false],
  ["its data center", true],
])("stale keys that %s has and an unfinished run are fetched together: one round trip", async (_, isCold) => {
  await reader.read();
  await reader.app.settle();
  const { issuer, database, read } = isCold ? reader.restart() : reader;
  const before = await Promise.all([issuer.proxy.received(), database.received()]);
  clock.advance(1_200);
  for (const proxy of [issuer.proxy, database]) await proxy.fail({ kind: "hold" });
  const reading = read(UNFINISHED);
  // Neither has a response yet.
  await untilReceived(issuer.proxy, before[0] + 1);
  await untilReceived(database, before[1] + 1);
  for (const proxy of [issuer.proxy, database]) await proxy.heal();
  const { status, fetches } = await reading;
  expect([status, fetches]).toEqual([200, 1]);
});

test("a refetch in the background outlives the request that started it", async () => {
  clock.simulate();
  const token = await sign("old");
  await statusOf(token);
  await age(480, "hanging", "old");
  const startedMs = Date.now();
  await statusOf(token);
  await reader.app.settle();
  expect(Date.now() - startedMs).toBe(3_000);
});

test("a refetch that brings the same keys leaves tokens remembered; the log shows one that fails, until one succeeds", async () => {
  const logOf = async () => {
    const { log } = await reader.read();
    await reader.app.settle();
    return log;
  };
  expect(await logOf()).toMatchObject({ auth: "verified", key_set: "fetched" });
  await reader.issuer.proxy.fail({ kind: "status", status: 500 });
  clock.advance(481);
  await logOf();
  const failing = { status: 404, auth: "remembered", key_set: "Error: the key endpoint returned 500" };
  expect(await logOf()).toMatchObject(failing);
  await reader.issuer.proxy.heal();
  clock.advance(3);
  // The keys come during the first of these, or after it.
  const [healing, healed] = [await logOf(), await logOf()];
  expect([healing["auth"], healed["auth"]]).toEqual(["remembered", "remembered"]);
  expect(healed).not.toHaveProperty("key_set");
});

test("a request that has no time to wait for the first keys is a 503, and the log says that there are none", async () => {
  clock.simulate();
  hangFetches(reader.issuer.proxy.url, "silent");
  const result = await reader.restart({ REQUEST_TIMEOUT_MS: 500 }).read();
  expect(result.status).toBe(503);
  expect(result.log).toMatchObject({ code: "key_set_unavailable", why: "no key set", ms: 500 });
});

test("in an outage keys serve for JWKS_MAX_STALE_SECONDS, and so does the data center's copy", async () => {
  const put = vi.spyOn(Cache.prototype, "put");
  const { issuer, app, read } = reader.restart({ JWKS_MAX_STALE_SECONDS: 1_200 });
  await read();
  await app.settle();
  expect(put.mock.calls.map(([, { headers }]) => headers.get("cache-control"))).toEqual(["max-age=1200"]);
  await issuer.proxy.fail({ kind: "drop" });
  clock.advance(1_195);
  expect((await read()).status).toBe(404);
  clock.advance(10);
  expect((await read()).status).toBe(503);
});

test("the age of keys counts from the start of their fetch, in a copy as well", async () => {
  clock.simulate();
  const token = await sign("old");
  expect(await statusOf(token)).toBe(404);
  clock.advance(1_200);
  const simulated = vi.mocked(fetch).getMockImplementation() ?? fetch;
  vi.mocked(fetch).mockImplementationOnce(async (...request) => {
    const response = await simulated(...request);
    await scheduler.wait(900);
    return response;
  });
  expect((await reader.read(FINISHED, { token })).status).toBe(200);
  await reader.app.settle();
  await publish("new");
  clock.advance(599.5);
  for (const isolate of [reader.restart(), reader]) {
    expect((await isolate.read(FINISHED, { token })).status).toBe(401);
  }
});

describe("the data center's copy of the key set", () => {
  beforeEach(async () => {
    await reader.read();
    await reader.app.settle();
  });

  const guessed = new URL(inject("localStack").variables.DATABASE_URL);
  guessed.password = "guessed";

  test.each<[string, object, KeyName, number, number]>([
    ["serves the next deployment", { CF_VERSION_METADATA: { id: "next" } }, "old", 422, 0],
    ["isn't found without the database's password", { DATABASE_URL: guessed.href }, "old", 422, 1],
    ["isn't used if it has no key for these settings", { JWT_ALGORITHMS: "ES384" }, "es384", 422, 1],
    ["isn't used for another key endpoint", { JWKS_URL: "http://127.0.0.1:1/" }, "old", 503, 0],
  ])("%s", async (_, settings, key, status, fetches) => {
    await publish("old es384");
    const result = await reader.restart(settings).read("no-uuid", { token: await sign(key) });
    expect([result.status, result.fetches]).toEqual([status, fetches]);
  });

  test("serves an isolate whose own keys are too old, if another isolate has renewed it", async () => {
    clock.advance(14_000);
    const other = reader.restart();
    await other.read();
    await other.app.settle();
    await reader.issuer.proxy.fail({ kind: "drop" });
    clock.advance(400);
    const { status, fetches } = await reader.read();
    expect([status, fetches]).toEqual([404, 0]);
  });

  test("that comes late does not replace a set that was fetched meanwhile", async () => {
    await publish("old new");
    const isolate = reader.restart();
    clock.advance(10);
    clock.simulate();
    const find = vi.mocked(Cache.prototype.match).getMockImplementation() as Cache["match"];
    vi.mocked(Cache.prototype.match).mockImplementationOnce(async function (this: Cache, key) {
      const copy = await find.call(this, key);
      await scheduler.wait(300);
      return copy;
    });
    const tokens = [await sign("old"), await sign("new")];
    expect(await Promise.all(tokens.map((token) => statusOf(token, isolate)))).toEqual([404, 404]);
    const { status, fetches } = await isolate.read(undefined, { token: await sign("new") });
    expect([status, fetches]).toEqual([404, 0]);
  });
});
