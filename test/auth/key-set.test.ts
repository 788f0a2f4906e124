// When the key set is fetched, what its fetches cost the issuer, how long it serves, and that nobody waits for it without need.
// The faults of the key endpoint are in test/reliability/key-set-faults.test.ts, random orders of events in test/histories/.
import { expect, test, vi } from "vitest";
import { SingleFlight } from "../../src/isolate/single-flight.ts";
import { expectFault } from "../support/documented-fault.ts";
import { catchLines } from "../support/log-lines.ts";
import { readRun } from "../support/read-run.ts";
import { bearer, createTestApp } from "../support/test-app.ts";
import { controlClock } from "../support/clock.ts";
import { openIssuer } from "../support/issuer.ts";
import { type SigningKey, makeKey } from "../support/signing.ts";

const lines = catchLines();
const clock = controlClock();

const keys = Promise.all([makeKey("ES256"), makeKey("ES256")]);
/** A run that is not there: who gets this 404 was let in. */
const RUN_ID = crypto.randomUUID();
const LET_IN = 404;

/** An issuer that publishes `old`, and an isolate that trusts it. */
async function setScene(variables: Record<string, string | number> = {}) {
  const [old, young] = await keys;
  const issuer = await openIssuer([old]);
  const start = (others = variables) => createTestApp({ ...issuer.variables, ...others });
  const app = start();
  const sign = (key: SigningKey, header = {}) =>
    issuer.sign({ exp: Math.floor(Date.now() / 1_000) + 86_400 }, { key, header });
  const statusOf = async (token: string, isolate = app) =>
    (await isolate.fetch(`/api/crew-runs/${RUN_ID}`, { headers: bearer(token) })).status;
  return {
    issuer,
    app,
    start,
    old,
    young,
    sign,
    statusOf,
    /** The status that a fresh token of this key gets. */
    status: async (key: SigningKey, header = {}) => statusOf(await sign(key, header)),
    read: (token: string) => readRun(app, RUN_ID, token, lines),
    fetches: async () => await issuer.proxy.received(),
  };
}

test("one fetch serves for eight minutes; the refresh that is then due delays no request, and none watches it", async () => {
  const { issuer, app, old, status, fetches } = await setScene();
  expect(await status(old)).toBe(LET_IN);
  clock.advance(479);
  expect(await status(old)).toBe(LET_IN);
  expect(await fetches()).toBe(1);

  clock.advance(2);
  await issuer.proxy.fail({ kind: "delay", milliseconds: 1_000, times: 1 });
  const wait = vi.spyOn(scheduler, "wait");
  const startedMs = performance.now();
  const statuses = await Promise.all(Array.from({ length: 10 }, () => status(old)));
  expect(performance.now() - startedMs).toBeLessThan(800);
  expect(new Set(statuses)).toEqual(new Set([LET_IN]));
  expect(wait.mock.calls.filter(([milliseconds]) => Number(milliseconds) < 100)).toEqual([]);
  wait.mockRestore();
  await app.settle();
  expect(await fetches()).toBe(2);
});

test("a key that has just appeared is fetched at once, if the last fetch is ten seconds old", async () => {
  const { issuer, old, young, sign, status, statusOf, read, fetches } = await setScene();
  expect(await status(old)).toBe(LET_IN);
  await issuer.publish([old.jwk, young.jwk]);
  clock.advance(9);
  const token = await sign(young);
  const early = await read(token);
  expectFault("new_key_within_cooldown", early);
  expect(await fetches()).toBe(1);
  clock.advance(1);
  expect(await statusOf(token)).toBe(LET_IN);
  expect(await fetches()).toBe(2);
});

test.each([
  ["", 10, 401],
  ["in an outage, ", 3, 503],
])("%s200 made-up key ids cost one fetch every %i seconds, and a known key reads on", async (_, seconds, refusal) => {
  const { issuer, old, young, status, fetches } = await setScene();
  expect(await status(old)).toBe(LET_IN);
  if (refusal === 503) await issuer.proxy.fail({ kind: "drop" });
  clock.advance(10);
  for (const expected of [2, 3]) {
    const madeUp = Array.from({ length: 200 }, (__, index) => status(young, { kid: `made-up-${index}` }));
    expect(await status(old)).toBe(LET_IN);
    expect(new Set(await Promise.all(madeUp))).toEqual(new Set([refusal]));
    expect(await fetches()).toBe(expected);
    clock.advance(seconds);
  }
});

test("an unknown key that waits for a hanging issuer holds up nobody else", async () => {
  const { issuer, old, young, status } = await setScene();
  expect(await status(old)).toBe(LET_IN);
  await issuer.proxy.fail({ kind: "hang" });
  clock.advance(10);
  const startedMs = performance.now();
  const waiting = status(young);
  expect(await Promise.all(Array.from({ length: 20 }, () => status(old)))).not.toContain(503);
  expect(performance.now() - startedMs).toBeLessThan(1_500);
  expect(await waiting).toBe(503);
  expect(performance.now() - startedMs).toBeLessThan(5_000);
});

test("a key that is removed stops with the next refresh, for a remembered token as well", async () => {
  const { issuer, app, old, young, sign, statusOf, status } = await setScene();
  const token = await sign(old);
  expect(await statusOf(token)).toBe(LET_IN);
  await issuer.publish([young.jwk]);
  clock.advance(481);
  // The request that starts the refresh does not wait for it.
  expect(await statusOf(token)).toBe(LET_IN);
  await app.settle();
  expect(await statusOf(token)).toBe(401);
  expect(await status(old)).toBe(401);
  expect(await status(young)).toBe(LET_IN);
});

test("keys that are overdue serve after a second, if the issuer hangs, and at once when that is known", async () => {
  const { issuer, app, old, status } = await setScene();
  const time = async () => {
    const startedMs = performance.now();
    const statuses = await Promise.all(Array.from({ length: 20 }, () => status(old)));
    expect(new Set(statuses)).toEqual(new Set([LET_IN]));
    return performance.now() - startedMs;
  };
  await time();
  await issuer.proxy.fail({ kind: "hang" });
  clock.advance(601);
  expect(await time()).toBeLessThan(2_500);
  await app.settle();
  expect(await time()).toBeLessThan(900);
});

test("a refresh that brings the same keys leaves remembered tokens remembered; one that fails is in the log", async () => {
  const { issuer, app, old, sign, read } = await setScene();
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
  const { issuer, app, start, old, sign, statusOf, status, fetches } = await setScene({
    JWKS_MAX_STALE_SECONDS: 1_200,
  });
  const token = await sign(old);
  expect(await statusOf(token)).toBe(LET_IN);
  await app.settle();
  await issuer.proxy.fail({ kind: "drop" });
  clock.advance(1_195);
  const cold = start();
  expect([await statusOf(token, cold), await statusOf(token, cold)]).toEqual([LET_IN, LET_IN]);
  expect(await fetches()).toBe(2);
  expect([await statusOf(token), await status(old)]).toEqual([LET_IN, LET_IN]);
  clock.advance(10);
  expect([await statusOf(token), await status(old)]).toEqual([503, 503]);
  expect([await statusOf(token, cold), await statusOf(token, start())]).toEqual([503, 503]);

  await issuer.proxy.heal();
  clock.advance(3);
  expect(await statusOf(token)).toBe(LET_IN);
});

test("a cold isolate takes a fresh set from the data centre's cache, and an old one from the issuer", async () => {
  const { app, start, old, sign, statusOf, fetches } = await setScene();
  const token = await sign(old);
  expect(await statusOf(token)).toBe(LET_IN);
  await app.settle();
  expect(await statusOf(token, start())).toBe(LET_IN);
  expect(await fetches()).toBe(1);
  clock.advance(481);
  expect(await statusOf(token, start())).toBe(LET_IN);
  expect(await fetches()).toBe(2);
});

test("a copy in the data centre's cache that these settings cannot use is as good as none", async () => {
  const { issuer, app, start, old, status, statusOf, fetches } = await setScene();
  expect(await status(old)).toBe(LET_IN);
  await app.settle();
  const other = await makeKey("ES384");
  await issuer.publish([other.jwk]);
  const token = await issuer.sign({}, { key: other });
  expect(await statusOf(token, start({ JWT_ALGORITHMS: "ES384" }))).toBe(LET_IN);
  expect(await fetches()).toBe(2);
});

test("a copy from the data centre that comes late does not replace a set that was fetched meanwhile", async () => {
  const { issuer, app, start, old, young, sign, status, statusOf } = await setScene();
  expect(await status(old)).toBe(LET_IN);
  await app.settle();
  await issuer.publish([old.jwk, young.jwk]);
  const cold = start();
  const { match } = Cache.prototype;
  const late = Promise.withResolvers<void>();
  const spy = vi.spyOn(Cache.prototype, "match").mockImplementationOnce(async function (this: Cache, key) {
    const copy = await match.call(this, key);
    await late.promise;
    return copy;
  });
  const waiting = statusOf(await sign(old), cold);
  await scheduler.wait(100);
  expect(await statusOf(await sign(young), cold)).toBe(LET_IN);
  late.resolve();
  expect(await waiting).toBe(LET_IN);
  expect(await statusOf(await sign(young), cold)).toBe(LET_IN);
  spy.mockRestore();
});

test("a fetch whose request was cut off holds the others for its time-out at most", async () => {
  const flight = new SingleFlight();
  void flight.run(() => new Promise(() => {}), 200);
  let ran = 0;
  const run = async () => {
    ran += 1;
  };
  await flight.run(run, 200);
  expect(ran).toBe(0);
  await flight.run(run, 200);
  expect(ran).toBe(1);
  expect(flight.isBusy).toBe(false);
});
