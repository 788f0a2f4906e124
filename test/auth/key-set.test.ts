// Which keys decide about a token, by their age, by what the issuer publishes and whether it responds: one table. Then when the key
// set is fetched, how long a response waits for it, and that no request waits without need.
// Faults of the key endpoint: key-set-faults.test.ts; random orders: test/histories/.
import { beforeEach, describe, expect, test, vi } from "vitest";
import { controlClock, hangFetches } from "../support/clock.ts";
import { insertRun } from "../support/database.ts";
import { expectFault } from "../support/documented-fault.ts";
import { untilHeld, untilReceived } from "../support/fault-proxy-protocol.ts";
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
};
type KeyName = keyof typeof KEYS;

const FINISHED = await insertRun({ status: "completed" });
const REQUESTS = {
  run: [await insertRun(), {}],
  "cached run": [FINISHED, {}],
  "missing run": [crypto.randomUUID(), {}],
  wait: [await insertRun(), { prefer: "wait=1" }],
  "invalid id": ["no-uuid", {}],
} as const;

/** The issuer publishes the old key. */
let reader: Reader;
beforeEach(async () => {
  reader = await createReader({ keys: [old] });
});

const publish = (names: string) => reader.issuer.publish(names.split(" ").map((name) => KEYS[name as KeyName].jwk));
const sign = (key: KeyName, scope = "crew-runs:read", header = {}) =>
  reader.issuer.sign({ exp: Math.floor(Date.now() / 1_000) + 86_400, scope }, { key: KEYS[key], header });
/** A missing run: 404 if the token is accepted. */
const statusOf = async (token: string, from = reader) => (await from.read(undefined, { token })).status;
const statusesOf = async (token: string, count = 20) =>
  new Set(await Promise.all(Array.from({ length: count }, () => statusOf(token))));
/** Also those that hang. While time is simulated. */
const countFetches = () => vi.mocked(fetch).mock.calls.filter(([url]) => url === reader.issuer.proxy.url).length;

type Issuer = "up" | "down" | "hanging" | "failing for 4 s";

/** Lets the keys become so old, the issuer being in this state at the end. */
async function age(seconds: number, issuer: Issuer): Promise<void> {
  if (issuer !== "failing for 4 s") clock.advance(seconds);
  if (issuer === "hanging") hangFetches(reader.issuer.proxy.url, "silent");
  else if (issuer !== "up") await reader.issuer.proxy.fail({ kind: "drop" });
  if (issuer !== "failing for 4 s") return;
  clock.advance(seconds - 4);
  await statusOf(await sign("old"));
  await reader.app.settle();
  clock.advance(4);
}

describe("by the age of the keys at hand, with the issuer in this state and these keys published", () => {
  beforeEach(() => clock.simulate());

  test.each<[number, Issuer, string, KeyName, keyof typeof REQUESTS, number, number, number]>([
    // A known key serves, and what it costs the issuer.
    [0, "up", "old", "old", "run", 200, 0, 1],
    [479, "up", "old", "old", "run", 200, 0, 1],
    [480, "up", "old", "old", "run", 200, 1, 1],
    [480, "down", "old", "old", "run", 200, 1, 1],
    [480, "hanging", "old", "old", "run", 200, 1, 1],
    [1_200, "up", "old", "old", "cached run", 200, 1, 0],
    [1_200, "down", "old", "old", "run", 200, 1, 1],
    [1_200, "hanging", "old", "old", "run", 200, 1, 1],
    [14_399, "down", "old", "old", "run", 200, 1, 1],
    [14_400, "down", "old", "old", "run", 503, 1, 0],
    [14_400, "down", "old", "old", "cached run", 503, 1, 0],
    [14_400, "hanging", "old", "old", "run", 503, 1, 0],
    [14_400, "up", "old", "old", "run", 200, 1, 1],
    // A new key, one that is replaced under its id, and a forged one: the issuer is asked once in ten seconds.
    ...(["new", "replacement"] as const).flatMap(
      (key): [number, Issuer, string, KeyName, "run", number, number, number][] => [
        [9, "up", `old ${key}`, key, "run", 401, 0, 0],
        [10, "up", `old ${key}`, key, "run", 200, 1, 1],
        [10, "down", `old ${key}`, key, "run", 503, 1, 0],
        [10, "hanging", `old ${key}`, key, "run", 503, 1, 0],
        [1_200, "up", key, key, "run", 200, 1, 1],
        [1_200, "down", key, key, "run", 503, 1, 0],
        [1_200, "failing for 4 s", key, key, "run", 503, 1, 0],
      ],
    ),
    [9, "up", "old", "forged", "run", 401, 0, 0],
    [10, "up", "old", "forged", "run", 401, 1, 0],
    [10, "down", "old", "forged", "run", 503, 1, 0],
    [1_200, "up", "old", "forged", "wait", 401, 1, 0],
    // A withdrawn key: a response waits for a second at most.
    [479, "up", "new", "old", "run", 200, 0, 1],
    [480, "hanging", "new", "old", "run", 200, 1, 1],
    [600, "up", "new", "old", "run", 401, 1, 1],
    [600, "up", "new", "old", "cached run", 401, 1, 0],
    [600, "up", "new", "old", "missing run", 401, 1, 1],
    [600, "up", "new", "old", "wait", 401, 1, 0],
    [600, "up", "new", "old", "invalid id", 401, 1, 0],
    [600, "hanging", "new", "old", "cached run", 200, 1, 0],
    [600, "failing for 4 s", "new", "old", "cached run", 200, 1, 0],
  ])(
    "%i s, the issuer %s, published %s: a token by the %s key for a %s is a %i after %i fetches and %i queries",
    async (seconds, issuer, published, key, request, status, fetches, queries) => {
      const [id, headers] = REQUESTS[request];
      await reader.read(FINISHED);
      await publish(published);
      await age(seconds, issuer);
      const before = countFetches();
      const token = await sign(key);
      const result = await reader.read(id, { token, headers });
      expect([result.status, countFetches() - before, result.queries]).toEqual([status, fetches, queries]);
      if (status === 503) expect(JSON.parse(result.body).code).toBe("key_set_unavailable");
      if (status === 401) expectNothingOfRun(result);
    },
  );

  test.each<[number, Issuer, string, KeyName, number, number]>([
    [0, "down", "old", "old", 404, 0],
    [479, "up", "old", "old", 404, 0],
    [480, "up", "old", "old", 404, 1],
    [1_200, "up", "replacement", "replacement", 404, 1],
    [1_200, "up", "new", "old", 401, 1],
    [14_399, "down", "old", "old", 404, 1],
    [14_400, "down", "old", "old", 503, 1],
  ])(
    "%i s in the data center's copy, the issuer %s, published %s: a token by the %s key is a %i in a cold isolate, after %i fetches",
    async (seconds, issuer, published, key, status, fetches) => {
      await reader.read();
      await reader.app.settle();
      await publish(published);
      await age(seconds, issuer);
      const before = countFetches();
      expect(await statusOf(await sign(key), reader.restart())).toBe(status);
      expect(countFetches() - before).toBe(fetches);
    },
  );
});

test("one fetch serves for eight minutes; no request waits for the refetch that is then due", async () => {
  const token = await sign("old");
  expect(await statusOf(token)).toBe(404);
  clock.advance(481);
  await reader.issuer.proxy.fail({ kind: "hold" });
  expect(await statusesOf(token)).toEqual(new Set([404]));
  await untilHeld(reader.issuer.proxy);
  // It outlives its request.
  const settled = reader.app.settle().then(() => "settled");
  expect(await Promise.race([settled, scheduler.wait(50).then(() => "under way")])).toBe("under way");
  await reader.issuer.proxy.heal();
  await settled;
  expect(await reader.issuer.proxy.received()).toBe(2);
});

test("a key that has just appeared is refused as documented, until the last fetch is ten seconds old", async () => {
  await reader.read();
  await publish("old new");
  expectFault("new_key_within_cooldown", await reader.read(undefined, { token: await sign("new") }));
});

test.each([
  ["", 10, 401],
  ["in an outage, ", 3, 503],
])("%s200 made-up key ids cost one fetch every %i seconds, and a known key reads on", async (_, seconds, refusal) => {
  await reader.read();
  if (refusal === 503) await reader.issuer.proxy.fail({ kind: "drop" });
  clock.advance(10);
  for (const fetches of [2, 3]) {
    const madeUp = Array.from({ length: 200 }, async (__, index) => sign("new", "", { kid: `made-up-${index}` }));
    const statuses = Promise.all(madeUp.map(async (token) => statusOf(await token)));
    expect((await reader.read()).status).toBe(404);
    expect(new Set(await statuses)).toEqual(new Set([refusal]));
    expect(await reader.issuer.proxy.received()).toBe(fetches);
    clock.advance(seconds);
  }
});

test.each<[Issuer, number]>([
  ["up", 401],
  ["down", 503],
  ["hanging", 503],
])(
  "100 forged tokens with a known id cost one fetch while the issuer is %s, and delay no good token",
  async (issuer, refusal) => {
    clock.simulate();
    const [good, forged] = [await sign("old"), await sign("forged")];
    expect(await statusOf(good)).toBe(404);
    await age(10, issuer);
    const startedMs = Date.now();
    const statuses = statusesOf(forged, 100);
    expect(await statusOf(good)).toBe(404);
    expect(Date.now()).toBe(startedMs);
    expect(await statuses).toEqual(new Set([refusal]));
    expect(countFetches()).toBe(2);
  },
);

test("a request with an unknown key that waits for the issuer delays no other", async () => {
  const [known, unknown] = [await sign("old"), await sign("new")];
  expect(await statusOf(known)).toBe(404);
  clock.advance(10);
  await reader.issuer.proxy.fail({ kind: "hold" });
  const waiting = statusOf(unknown);
  await untilHeld(reader.issuer.proxy);
  expect(await statusesOf(known)).toEqual(new Set([404]));
  expect(await reader.issuer.proxy.held()).toBe(1);
  await reader.issuer.proxy.heal();
  expect(await waiting).toBe(401);
});

test("a key that is removed stops with the next refetch, for a remembered token as well", async () => {
  const token = await sign("old");
  expect(await statusOf(token)).toBe(404);
  await publish("new");
  clock.advance(481);
  // The request that starts the refetch doesn't wait for it.
  await reader.issuer.proxy.fail({ kind: "hold" });
  expect(await statusOf(token)).toBe(404);
  await reader.issuer.proxy.heal();
  await reader.app.settle();
  expect([await statusOf(token), await statusOf(await sign("old")), await statusOf(await sign("new"))]).toEqual([
    401, 401, 404,
  ]);
});

test("a response waits for the refetch of stale keys until a second after its start, and not at all if it is known to fail", async () => {
  clock.simulate();
  const token = await sign("old");
  expect(await statusOf(token)).toBe(404);
  const elapsed = async (delayMs = 0) => {
    await scheduler.wait(delayMs);
    const startedMs = Date.now();
    expect(await statusOf(token)).toBe(404);
    return Date.now() - startedMs;
  };
  await age(601, "hanging");
  expect(await Promise.all([elapsed(), elapsed(400), elapsed(1_500)])).toEqual([1_000, 600, 0]);
  // The fetch fails after three seconds. For a minute, known keys decide at once, though each refetch hangs.
  await scheduler.wait(2_000);
  for (const seconds of [0, 4, 30]) expect(await elapsed(seconds * 1_000)).toBe(0);
  await scheduler.wait(64_000);
  expect(await elapsed()).toBe(1_000);
});

test("an outage of the issuer is forgotten after a minute: then a withdrawn key waits for the refetch again", async () => {
  const token = await sign("old");
  expect((await reader.read(FINISHED, { token })).status).toBe(200);
  await reader.issuer.proxy.fail({ kind: "drop" });
  clock.advance(1_200);
  expect((await reader.read(FINISHED, { token })).status).toBe(200);
  await publish("new");
  // Slower than a cached run, so that only a response that waits for the keys knows of them.
  await reader.issuer.proxy.fail({ kind: "delay", milliseconds: 100 });
  clock.advance(61);
  expectNothingOfRun(await reader.read(FINISHED, { token }));
});

test.each([
  ["stale keys", 1_200],
  ["keys of a minute", 60],
])("a refetch that was cut off is a 503 for a token with a new key, not a 401, under %s", async (_, seconds) => {
  await reader.read();
  const token = await sign("new");
  clock.simulate();
  clock.advance(seconds);
  await publish("new");
  hangFetches(reader.issuer.proxy.url, "silent");
  void statusOf(token);
  await scheduler.wait(10);
  const { status, body } = await reader.read(undefined, { token });
  expect([status, JSON.parse(body).code]).toEqual([503, "key_set_unavailable"]);
});

test("a refetch that brings the same keys leaves remembered tokens remembered; one that fails is in the log", async () => {
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
  // The keys come after the response that asked for them.
  await reader.issuer.proxy.fail({ kind: "hold" });
  clock.advance(3);
  await reader.read();
  await untilHeld(reader.issuer.proxy);
  await reader.issuer.proxy.heal();
  await reader.app.settle();
  const healed = await logOf();
  expect(healed["auth"]).toBe("remembered");
  expect(healed).not.toHaveProperty("key_set");
});

test("in an outage keys serve for JWKS_MAX_STALE_SECONDS, and a recovered issuer is noticed after three seconds", async () => {
  const { issuer, app, read } = reader.restart({ JWKS_MAX_STALE_SECONDS: 1_200 });
  await read();
  await app.settle();
  await issuer.proxy.fail({ kind: "drop" });
  clock.advance(1_195);
  expect((await read()).status).toBe(404);
  clock.advance(10);
  expect((await read()).status).toBe(503);
  await issuer.proxy.heal();
  clock.advance(2);
  expect((await read()).status).toBe(503);
  clock.advance(1);
  expect((await read()).status).toBe(404);
});

test.each([
  ["the isolate", false],
  ["its data center", true],
])("stale keys that %s has and an unfinished run are fetched together: one round trip", async (_, isCold) => {
  await reader.read();
  await reader.app.settle();
  const id = await insertRun();
  const { issuer, database, read } = isCold ? reader.restart() : reader;
  const before = await Promise.all([issuer.proxy.received(), database.received()]);
  clock.advance(1_200);
  for (const proxy of [issuer.proxy, database]) await proxy.fail({ kind: "hold" });
  const reading = read(id);
  // Neither has a response yet.
  await untilReceived(issuer.proxy, before[0] + 1);
  await untilReceived(database, before[1] + 1);
  for (const proxy of [issuer.proxy, database]) await proxy.heal();
  const { status, fetches } = await reading;
  expect([status, fetches]).toEqual([200, 1]);
});

test("no response leaves before the new keys are there", async () => {
  clock.simulate();
  await reader.read(FINISHED);
  const id = await insertRun();
  clock.advance(1_200);
  await reader.issuer.proxy.fail({ kind: "hold" });
  const order: string[] = [];
  const reading = Promise.all([id, FINISHED].map((each) => reader.read(each).then(() => order.push("response"))));
  await untilReceived(reader.issuer.proxy, 2);
  await untilReceived(reader.database, 2);
  order.push("keys");
  await reader.issuer.proxy.heal();
  await reading;
  expect(order).toEqual(["keys", "response", "response"]);
});

test("the age of keys counts from the start of their fetch", async () => {
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
  await publish("new");
  clock.advance(599.5);
  expect((await reader.read(FINISHED, { token })).status).toBe(401);
});

test("a clock that jumps back lengthens no bound: keys and cached runs of the future have expired", async () => {
  expect((await reader.read(FINISHED)).status).toBe(200);
  await publish("new");
  clock.advance(-3_600);
  expect((await reader.read(FINISHED, { token: await sign("old") })).status).toBe(401);
  const { status, queries } = await reader.read(FINISHED, { token: await sign("new") });
  expect([status, queries]).toEqual([200, 1]);
});

describe("the data center's copy", () => {
  beforeEach(async () => {
    await reader.read();
    await reader.app.settle();
  });

  test("lives for JWKS_MAX_STALE_SECONDS, so that an outage finds it", async () => {
    const put = vi.spyOn(Cache.prototype, "put");
    const { app, read } = await createReader({ settings: { JWKS_MAX_STALE_SECONDS: 7_200 } });
    await read();
    await app.settle();
    expect(put.mock.calls.map(([, { headers }]) => headers.get("cache-control"))).toEqual(["max-age=7200"]);
  });

  test("isn't used for another key endpoint, or if it has no key for these settings", async () => {
    const elsewhere = await createReader({ keys: [KEYS.new] });
    const moved = reader.restart({ JWKS_URL: elsewhere.issuer.proxy.url });
    expect([await statusOf(await sign("old"), moved), await statusOf(await sign("new"), moved)]).toEqual([401, 404]);

    const other = await makeKey("ES384");
    await reader.issuer.publish([other.jwk]);
    const token = await reader.issuer.sign({}, { key: other });
    expect(await statusOf(token, reader.restart({ JWT_ALGORITHMS: "ES384" }))).toBe(404);
  });

  test("that comes late does not replace a set that was fetched meanwhile", async () => {
    await publish("old new");
    const isolate = reader.restart();
    const { match } = Cache.prototype;
    const [found, late] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    vi.spyOn(Cache.prototype, "match").mockImplementationOnce(async function (this: Cache, key) {
      const copy = await match.call(this, key);
      found.resolve();
      await late.promise;
      return copy;
    });
    clock.advance(10);
    const waiting = statusOf(await sign("old"), isolate);
    await found.promise;
    expect(await statusOf(await sign("new"), isolate)).toBe(404);
    late.resolve();
    expect(await waiting).toBe(404);
    const { status, fetches } = await isolate.read(undefined, { token: await sign("new") });
    expect([status, fetches]).toEqual([404, 0]);
  });
});
