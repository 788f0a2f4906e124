// When the key set is fetched, what its fetches cost the issuer, how long it serves, and that no request waits for it without
// need. Faults of the key endpoint: key-set-faults.test.ts; stale keys: stale-keys.test.ts; random orders: test/histories/.
import { beforeEach, expect, test, vi } from "vitest";
import { controlClock, hangFetches } from "../support/clock.ts";
import { expectFault } from "../support/documented-fault.ts";
import { untilHeld } from "../support/fault-proxy-protocol.ts";
import { openIssuer } from "../support/issuer.ts";
import { catchLines } from "../support/log-lines.ts";
import { type ReadRun, readRun } from "../support/read-run.ts";
import { type SigningKey, makeKey } from "../support/signing.ts";
import { type TestApp, bearer, createTestApp } from "../support/test-app.ts";
import type { TestIssuer } from "../support/test-issuer.ts";

const lines = catchLines();
const clock = controlClock();
const [old, young] = await Promise.all([makeKey("ES256"), makeKey("ES256")]);
/** A run that doesn't exist: a reader who gets this 404 was let in. */
const RUN_ID = crypto.randomUUID();
const LET_IN = 404;

/** It publishes `old`. */
let issuer: TestIssuer;
let app: TestApp;

beforeEach(async () => {
  issuer = await openIssuer([old]);
  app = createTestApp(issuer.variables);
});

const sign = (key: SigningKey, header = {}): Promise<string> =>
  issuer.sign({ exp: Math.floor(Date.now() / 1_000) + 86_400 }, { key, header });

const read = (token: string, by = app): Promise<ReadRun> => readRun(by, RUN_ID, token, lines);

/** The status that a token gets, or a fresh one of a key. */
async function statusOf(credential: string | SigningKey, by = app, header = {}): Promise<number> {
  const token = typeof credential === "string" ? credential : await sign(credential, header);
  return (await by.fetch(`/api/crew-runs/${RUN_ID}`, { headers: bearer(token) })).status;
}

const manyOf = async (key: SigningKey): Promise<Set<number>> =>
  new Set(await Promise.all(Array.from({ length: 20 }, () => statusOf(key))));

test("one fetch serves for eight minutes; no request waits for the refetch that is then due", async () => {
  expect(await statusOf(old)).toBe(LET_IN);
  clock.advance(479);
  expect(await statusOf(old)).toBe(LET_IN);
  expect(await issuer.proxy.received()).toBe(1);

  clock.advance(2);
  await issuer.proxy.fail({ kind: "hold" });
  expect(await manyOf(old)).toEqual(new Set([LET_IN]));
  await untilHeld(issuer.proxy);
  await issuer.proxy.heal();
  await app.settle();
  expect(await issuer.proxy.received()).toBe(2);
});

test("a key that has just appeared is fetched at once, if the last fetch is ten seconds old", async () => {
  expect(await statusOf(old)).toBe(LET_IN);
  await issuer.publish([old.jwk, young.jwk]);
  clock.advance(9);
  const token = await sign(young);
  expectFault("new_key_within_cooldown", await read(token));
  expect(await issuer.proxy.received()).toBe(1);
  clock.advance(1);
  expect(await statusOf(token)).toBe(LET_IN);
  expect(await issuer.proxy.received()).toBe(2);
});

test.each([
  ["", 10, 401],
  ["in an outage, ", 3, 503],
])("%s200 made-up key ids cost one fetch every %i seconds, and a known key reads on", async (_, seconds, refusal) => {
  expect(await statusOf(old)).toBe(LET_IN);
  if (refusal === 503) await issuer.proxy.fail({ kind: "drop" });
  clock.advance(10);
  for (const expected of [2, 3]) {
    const madeUp = Array.from({ length: 200 }, (__, index) => statusOf(young, app, { kid: `made-up-${index}` }));
    expect(await statusOf(old)).toBe(LET_IN);
    expect(new Set(await Promise.all(madeUp))).toEqual(new Set([refusal]));
    expect(await issuer.proxy.received()).toBe(expected);
    clock.advance(seconds);
  }
});

test("a key that is replaced under its id is accepted within ten seconds, like a new one", async () => {
  const replacement = await makeKey("ES256", { kid: old.jwk.kid });
  expect(await statusOf(old)).toBe(LET_IN);
  await issuer.publish([replacement.jwk]);
  const token = await sign(replacement);
  clock.advance(9);
  expect(await statusOf(token)).toBe(401);
  clock.advance(1);
  expect(await statusOf(token)).toBe(LET_IN);
  expect(await statusOf(old)).toBe(401);
  expect(await issuer.proxy.received()).toBe(2);
});

test.each([
  ["up", { kind: "none" }, 401],
  ["down", { kind: "drop" }, 503],
  ["hanging", { kind: "hang" }, 503],
] as const)(
  "100 forged tokens with a known id cost one fetch while the issuer is %s, and delay no good token",
  async (_, fault, refusal) => {
    const forger = await makeKey("ES256", { kid: old.jwk.kid });
    clock.simulate();
    expect(await statusOf(old)).toBe(LET_IN);
    // While the keys are young enough, there is none.
    expect(await statusOf(forger)).toBe(401);
    expect(await issuer.proxy.received()).toBe(1);
    const endHang = fault.kind === "hang" ? hangFetches(issuer.variables.JWKS_URL, "silent") : undefined;
    if (endHang === undefined) await issuer.proxy.fail(fault);
    clock.advance(10);
    const startedMs = Date.now();
    const forged = Array.from({ length: 100 }, () => statusOf(forger));
    expect(await statusOf(old)).toBe(LET_IN);
    expect(Date.now()).toBe(startedMs);
    expect(new Set(await Promise.all(forged))).toEqual(new Set([refusal]));
    const fetches = vi.mocked(fetch).mock.calls.filter(([url]) => url === issuer.variables.JWKS_URL);
    expect(fetches).toHaveLength(2);
  },
);

test("a request with an unknown key that waits for the issuer delays no other", async () => {
  expect(await statusOf(old)).toBe(LET_IN);
  clock.advance(10);
  await issuer.proxy.fail({ kind: "hold" });
  const waiting = statusOf(young);
  await untilHeld(issuer.proxy);
  expect(await manyOf(old)).toEqual(new Set([LET_IN]));
  expect(await issuer.proxy.held()).toBe(1);
  await issuer.proxy.heal();
  expect(await waiting).toBe(401);
});

test("a key that is removed stops with the next refetch, for a remembered token as well", async () => {
  const token = await sign(old);
  expect(await statusOf(token)).toBe(LET_IN);
  await issuer.publish([young.jwk]);
  clock.advance(481);
  // The request that starts the refetch doesn't wait for it.
  await issuer.proxy.fail({ kind: "hold" });
  expect(await statusOf(token)).toBe(LET_IN);
  await issuer.proxy.heal();
  await app.settle();
  expect(await statusOf(token)).toBe(401);
  expect(await statusOf(old)).toBe(401);
  expect(await statusOf(young)).toBe(LET_IN);
});

test("stale keys serve after a second if the issuer hangs, and at once if it is known to fail", async () => {
  expect(await statusOf(old)).toBe(LET_IN);
  clock.advance(601);
  await issuer.proxy.fail({ kind: "hold" });
  expect(await manyOf(old)).toEqual(new Set([LET_IN]));
  expect(await issuer.proxy.held()).toBe(1);
  await issuer.proxy.fail({ kind: "drop" });
  await app.settle();

  clock.advance(601);
  expect(await statusOf(old)).toBe(LET_IN);
  await app.settle();
  // Now it is known. A request that waited would wait for this fetch.
  clock.advance(4);
  await issuer.proxy.fail({ kind: "hang" });
  expect(await manyOf(old)).toEqual(new Set([LET_IN]));
  expect(await issuer.proxy.received()).toBe(4);
});

test("a response waits for the refetch of stale keys until a second after its start, and not at all if it is known to fail", async () => {
  clock.simulate();
  expect(await statusOf(old)).toBe(LET_IN);
  clock.advance(601);
  const elapsed = async (delayMs = 0) => {
    await scheduler.wait(delayMs);
    const startedMs = Date.now();
    expect(await statusOf(old)).toBe(LET_IN);
    return Date.now() - startedMs;
  };
  const endHang = hangFetches(issuer.variables.JWKS_URL, "silent");
  expect(await Promise.all([elapsed(), elapsed(400), elapsed(1_500)])).toEqual([1_000, 600, 0]);
  // The fetch fails after three seconds. For a minute, known keys decide at once, though each refetch hangs.
  await scheduler.wait(2_000);
  for (const seconds of [0, 4, 30]) expect(await elapsed(seconds * 1_000)).toBe(0);
  await scheduler.wait(64_000);
  expect(await elapsed()).toBe(1_000);
  endHang();
});

test("a refetch that brings the same keys leaves remembered tokens remembered; one that fails is in the log", async () => {
  const token = await sign(old);
  expect((await read(token)).log["auth"]).toBe("verified");
  await issuer.proxy.fail({ kind: "status", status: 500 });
  clock.advance(481);
  await read(token);
  await app.settle();
  const failing = { status: LET_IN, auth: "remembered", key_set: "Error: the key endpoint returned 500" };
  expect((await read(token)).log).toMatchObject(failing);
  await issuer.proxy.heal();
  clock.advance(3);
  await read(token);
  await app.settle();
  const { log } = await read(token);
  expect(log["auth"]).toBe("remembered");
  expect(log).not.toHaveProperty("key_set");
});

test("in an outage known keys serve for JWKS_MAX_STALE_SECONDS, in a cold isolate as well; then 503, never 401", async () => {
  const start = () => createTestApp({ ...issuer.variables, JWKS_MAX_STALE_SECONDS: 1_200 });
  app = start();
  const token = await sign(old);
  expect(await statusOf(token)).toBe(LET_IN);
  await app.settle();
  await issuer.proxy.fail({ kind: "drop" });
  clock.advance(1_195);
  const cold = start();
  expect([await statusOf(token, cold), await statusOf(token, cold)]).toEqual([LET_IN, LET_IN]);
  expect(await issuer.proxy.received()).toBe(2);
  expect([await statusOf(token), await statusOf(old)]).toEqual([LET_IN, LET_IN]);
  clock.advance(10);
  expect([await statusOf(token), await statusOf(old)]).toEqual([503, 503]);
  expect([await statusOf(token, cold), await statusOf(token, start())]).toEqual([503, 503]);

  await issuer.proxy.heal();
  clock.advance(3);
  expect(await statusOf(token)).toBe(LET_IN);
});

test("a cold isolate takes a fresh set from the data-center cache, and an old one from the issuer", async () => {
  const start = () => createTestApp(issuer.variables);
  const token = await sign(old);
  expect(await statusOf(token)).toBe(LET_IN);
  await app.settle();
  expect(await statusOf(token, start())).toBe(LET_IN);
  expect(await issuer.proxy.received()).toBe(1);
  clock.advance(481);
  expect(await statusOf(token, start())).toBe(LET_IN);
  expect(await issuer.proxy.received()).toBe(2);
});

test("the data center's copy lives for JWKS_MAX_STALE_SECONDS, so that an outage finds it", async () => {
  const put = vi.spyOn(Cache.prototype, "put");
  app = createTestApp({ ...issuer.variables, JWKS_MAX_STALE_SECONDS: 7_200 });
  expect(await statusOf(old)).toBe(LET_IN);
  await app.settle();
  expect(put.mock.calls.map(([, { headers }]) => headers.get("cache-control"))).toEqual(["max-age=7200"]);
  put.mockRestore();
});

test("a copy of another key endpoint, or one without a key for these settings, isn't used", async () => {
  expect(await statusOf(old)).toBe(LET_IN);
  await app.settle();
  const elsewhere = await openIssuer([young]);
  const moved = createTestApp({ ...issuer.variables, JWKS_URL: elsewhere.proxy.url });
  expect(await statusOf(old, moved)).toBe(401);
  expect(await statusOf(young, moved)).toBe(LET_IN);

  const other = await makeKey("ES384");
  await issuer.publish([other.jwk]);
  const strict = createTestApp({ ...issuer.variables, JWT_ALGORITHMS: "ES384" });
  expect(await statusOf(other, strict)).toBe(LET_IN);
  expect(await issuer.proxy.received()).toBe(2);
});

test("a copy from the data center that comes late does not replace a set that was fetched meanwhile", async () => {
  expect(await statusOf(old)).toBe(LET_IN);
  await app.settle();
  await issuer.publish([old.jwk, young.jwk]);
  app = createTestApp(issuer.variables);
  const { match } = Cache.prototype;
  const [found, late] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const spy = vi.spyOn(Cache.prototype, "match").mockImplementationOnce(async function (this: Cache, key) {
    const copy = await match.call(this, key);
    found.resolve();
    await late.promise;
    return copy;
  });
  clock.advance(10);
  const waiting = statusOf(old);
  await found.promise;
  expect(await statusOf(young)).toBe(LET_IN);
  late.resolve();
  expect(await waiting).toBe(LET_IN);
  expect(await statusOf(young)).toBe(LET_IN);
  spy.mockRestore();
});
