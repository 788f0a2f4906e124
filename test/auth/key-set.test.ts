// How long a key set is used, when it is fetched, and what its fetches cost the issuer; the faults of the key endpoint are in
// test/reliability/key-set-faults.test.ts.
import { expect, test, vi } from "vitest";
import { SingleFlight } from "../../src/single-flight.ts";
import { type SigningKey, type TestIssuer, makeKey, openIssuer } from "../issuer.ts";
import { adjustClock } from "../reliability/clock.ts";
import { expectAsDocumented } from "../reliability/fault-table.ts";
import { catchLines } from "../reliability/log-lines.ts";
import { readRun } from "../reliability/reader.ts";
import { type Worker, bearer, startWorker } from "../worker.ts";

const lines = catchLines();
const clock = adjustClock();

const keys = Promise.all([makeKey("ES256"), makeKey("ES256")]);
/** A run that is not there: who gets this 404 was let in. */
const path = `/api/crew-runs/${crypto.randomUUID()}`;
const letIn = 404;

interface Scene {
  issuer: TestIssuer;
  worker: Worker;
  old: SigningKey;
  young: SigningKey;
  sign(key: SigningKey, header?: Record<string, unknown>): Promise<string>;
  /** The status that a fresh token of this key gets. */
  status(key: SigningKey, header?: Record<string, unknown>): Promise<number>;
  fetches(): Promise<number>;
}

/** An issuer that publishes `old`, and an isolate that trusts it. */
async function setScene(variables: Record<string, string | number> = {}): Promise<Scene> {
  const [old, young] = await keys;
  const issuer = await openIssuer([old]);
  const worker = startWorker({ ...issuer.variables, ...variables });
  const sign: Scene["sign"] = (key, header = {}) =>
    issuer.sign({ exp: Math.floor(Date.now() / 1_000) + 86_400 }, { key, header });
  return {
    issuer,
    worker,
    old,
    young,
    sign,
    status: async (key, header) => (await worker.fetch(path, { headers: bearer(await sign(key, header)) })).status,
    fetches: async () => (await issuer.lane.counters()).received,
  };
}

test("one fetch serves for eight minutes; the refresh that is then due delays no request", async () => {
  const { issuer, worker, old, status, fetches } = await setScene();
  expect(await status(old)).toBe(letIn);
  clock.advance(479);
  expect(await status(old)).toBe(letIn);
  expect(await fetches()).toBe(1);

  clock.advance(2);
  await issuer.lane.fail({ kind: "delay", milliseconds: 1_000, times: 1 });
  const startedMs = performance.now();
  const statuses = await Promise.all(Array.from({ length: 10 }, () => status(old)));
  expect(performance.now() - startedMs).toBeLessThan(800);
  expect(new Set(statuses)).toEqual(new Set([letIn]));
  await worker.settle();
  expect(await status(old)).toBe(letIn);
  expect(await fetches()).toBe(2);
});

test("a key that has just appeared is fetched at once, if the last fetch is ten seconds old", async () => {
  const { issuer, worker, old, young, sign, status, fetches } = await setScene();
  expect(await status(old)).toBe(letIn);
  await issuer.publish([old.jwk, young.jwk]);
  clock.advance(9);
  const early = await readRun(worker, path.slice("/api/crew-runs/".length), await sign(young), lines);
  expectAsDocumented("the issuer signs with a new key within ten seconds of a fetch", early);
  expect(await fetches()).toBe(1);
  clock.advance(1);
  expect(await status(young)).toBe(letIn);
  expect(await status(old)).toBe(letIn);
  expect(await fetches()).toBe(2);
});

test("a token without kid, signed by a key that has just appeared, is fetched for as well", async () => {
  const { issuer, old, young, status } = await setScene();
  expect(await status(old)).toBe(letIn);
  await issuer.publish([young.jwk]);
  clock.advance(10);
  expect(await status(young, { kid: undefined })).toBe(letIn);
});

test("200 made-up key ids cost the issuer one fetch every ten seconds, and a known key reads on", async () => {
  const { old, young, status, fetches } = await setScene();
  expect(await status(old)).toBe(letIn);
  for (const expected of [1, 2, 3]) {
    const statuses = await Promise.all([
      status(old),
      ...Array.from({ length: 200 }, (_, index) => status(young, { kid: `made-up-${index}` })),
    ]);
    expect(statuses).toEqual([letIn, ...Array.from({ length: 200 }, () => 401)]);
    expect(await fetches()).toBe(expected);
    clock.advance(10);
  }
});

test("in an outage, 200 made-up key ids cost the issuer one fetch every three seconds", async () => {
  const { issuer, old, young, status, fetches } = await setScene();
  expect(await status(old)).toBe(letIn);
  await issuer.lane.fail({ kind: "drop" });
  clock.advance(10);
  for (const expected of [2, 3]) {
    const statuses = await Promise.all([
      status(old),
      ...Array.from({ length: 200 }, (_, index) => status(young, { kid: `made-up-${index}` })),
    ]);
    expect(statuses).toEqual([letIn, ...Array.from({ length: 200 }, () => 503)]);
    expect(await fetches()).toBe(expected);
    clock.advance(3);
  }
});

test("an unknown key that waits for a hanging issuer holds up nobody else", async () => {
  const { issuer, old, young, status } = await setScene();
  expect(await status(old)).toBe(letIn);
  await issuer.lane.fail({ kind: "hang" });
  clock.advance(10);
  const startedMs = performance.now();
  const waiting = status(young);
  expect(await Promise.all(Array.from({ length: 20 }, () => status(old)))).not.toContain(503);
  expect(performance.now() - startedMs).toBeLessThan(1_500);
  expect(await waiting).toBe(503);
  expect(performance.now() - startedMs).toBeLessThan(5_000);
});

test("a key that is removed stops with the next refresh, for a remembered token as well", async () => {
  const { issuer, worker, old, young, sign, status } = await setScene();
  const token = await sign(old);
  const readAgain = async () => (await worker.fetch(path, { headers: bearer(token) })).status;
  expect(await readAgain()).toBe(letIn);
  await issuer.publish([young.jwk]);
  clock.advance(479);
  expect(await readAgain()).toBe(letIn);
  clock.advance(2);
  // The request that starts the refresh does not wait for it.
  expect(await readAgain()).toBe(letIn);
  await worker.settle();
  expect(await readAgain()).toBe(401);
  expect(await status(old)).toBe(401);
  expect(await status(young)).toBe(letIn);
});

test("a key that is removed stops with the first request, where nobody had asked for ten minutes", async () => {
  const { issuer, worker, old, young, sign, status } = await setScene();
  const token = await sign(old);
  const readAgain = async () => (await worker.fetch(path, { headers: bearer(token) })).status;
  expect(await readAgain()).toBe(letIn);
  await issuer.publish([young.jwk]);
  clock.advance(601);
  expect(await Promise.all([readAgain(), readAgain(), status(old)])).toEqual([401, 401, 401]);
});

test("keys that are overdue serve after a second, if the issuer hangs, and at once when that is known", async () => {
  const { issuer, worker, old, status } = await setScene();
  const time = async () => {
    const startedMs = performance.now();
    const statuses = await Promise.all(Array.from({ length: 20 }, () => status(old)));
    expect(new Set(statuses)).toEqual(new Set([letIn]));
    return performance.now() - startedMs;
  };
  await time();
  await issuer.lane.fail({ kind: "hang" });
  clock.advance(601);
  expect(await time()).toBeLessThan(2_500);
  await worker.settle();
  expect(await time()).toBeLessThan(900);
});

test("requests that come while a refresh is under way do not watch it", async () => {
  const { issuer, old, status, fetches } = await setScene();
  expect(await status(old)).toBe(letIn);
  await issuer.lane.fail({ kind: "delay", milliseconds: 500 });
  clock.advance(481);
  const wait = vi.spyOn(scheduler, "wait");
  await Promise.all(Array.from({ length: 20 }, () => status(old)));
  expect(wait.mock.calls.filter(([milliseconds]) => Number(milliseconds) < 100)).toEqual([]);
  wait.mockRestore();
  expect(await fetches()).toBe(2);
});

test("a refresh that brings the same keys leaves remembered tokens remembered", async () => {
  const { worker, old, sign } = await setScene();
  const token = await sign(old);
  const read = () => readRun(worker, path.slice("/api/crew-runs/".length), token, lines);
  expect((await read()).log["auth"]).toBe("verified");
  clock.advance(481);
  await read();
  await worker.settle();
  expect((await read()).log["auth"]).toBe("remembered");
});

test("known keys serve through an outage for JWKS_MAX_STALE_SECONDS, and then no longer: 503, never 401", async () => {
  const { issuer, worker, old, sign, status } = await setScene({ JWKS_MAX_STALE_SECONDS: 1_200 });
  const token = await sign(old);
  const readAgain = async () => (await worker.fetch(path, { headers: bearer(token) })).status;
  expect(await readAgain()).toBe(letIn);
  await worker.settle();
  await issuer.lane.fail({ kind: "drop" });
  clock.advance(1_195);
  expect(await readAgain()).toBe(letIn);
  expect(await status(old)).toBe(letIn);
  clock.advance(10);
  expect(await readAgain()).toBe(503);
  expect(await status(old)).toBe(503);

  await issuer.lane.heal();
  clock.advance(3);
  expect(await readAgain()).toBe(letIn);
});

test("a failing refresh is in the log of the requests that the known keys serve meanwhile", async () => {
  const { issuer, worker, old, sign } = await setScene();
  const read = async () => readRun(worker, path.slice("/api/crew-runs/".length), await sign(old), lines);
  await read();
  await issuer.lane.fail({ kind: "status", status: 500 });
  clock.advance(481);
  await read();
  await worker.settle();
  expect((await read()).log).toMatchObject({ status: letIn, key_set: "Error: the key endpoint answered 500" });
  await issuer.lane.heal();
  clock.advance(3);
  await read();
  await worker.settle();
  expect((await read()).log).not.toHaveProperty("key_set");
});

test("50 requests that meet a cold isolate at once make one fetch", async () => {
  const { issuer, old, status, fetches } = await setScene();
  await issuer.lane.fail({ kind: "delay", milliseconds: 300 });
  const statuses = await Promise.all(Array.from({ length: 50 }, () => status(old)));
  expect(new Set(statuses)).toEqual(new Set([letIn]));
  expect(await fetches()).toBe(1);
});

test("a cold isolate takes a fresh set from the data centre's cache, and an old one from the issuer", async () => {
  const { issuer, worker, old, sign, status, fetches } = await setScene();
  const coldStatus = async () =>
    (await startWorker(issuer.variables).fetch(path, { headers: bearer(await sign(old)) })).status;
  expect(await status(old)).toBe(letIn);
  await worker.settle();
  expect(await coldStatus()).toBe(letIn);
  expect(await fetches()).toBe(1);
  clock.advance(481);
  expect(await coldStatus()).toBe(letIn);
  expect(await fetches()).toBe(2);
});

test("in an outage a cold isolate takes an old set from the data centre's cache, within the same bound", async () => {
  const { issuer, worker, old, sign, status, fetches } = await setScene({ JWKS_MAX_STALE_SECONDS: 1_200 });
  const variables = { ...issuer.variables, JWKS_MAX_STALE_SECONDS: 1_200 };
  expect(await status(old)).toBe(letIn);
  await worker.settle();
  await issuer.lane.fail({ kind: "drop" });
  clock.advance(1_195);
  const cold = startWorker(variables);
  const token = await sign(old);
  const read = async (isolate: Worker) => (await isolate.fetch(path, { headers: bearer(token) })).status;
  expect(await read(cold)).toBe(letIn);
  expect(await read(cold)).toBe(letIn);
  expect(await fetches()).toBe(2);
  clock.advance(10);
  expect(await read(cold)).toBe(503);
  expect(await read(startWorker(variables))).toBe(503);
});

test("a copy in the data centre's cache that these settings cannot use is as good as none", async () => {
  const { issuer, worker, old, status, fetches } = await setScene();
  expect(await status(old)).toBe(letIn);
  await worker.settle();
  const other = await makeKey("ES384");
  await issuer.publish([other.jwk]);
  const strict = startWorker({ ...issuer.variables, JWT_ALGORITHMS: "ES384" });
  const token = await issuer.sign({}, { key: other });
  expect((await strict.fetch(path, { headers: bearer(token) })).status).toBe(letIn);
  expect(await fetches()).toBe(2);
});

test("a copy from the data centre that comes late does not replace a set that was fetched meanwhile", async () => {
  const { issuer, worker, old, young, sign, status } = await setScene();
  expect(await status(old)).toBe(letIn);
  await worker.settle();
  await issuer.publish([old.jwk, young.jwk]);
  const cold = startWorker(issuer.variables);
  const coldStatus = async (key: SigningKey) => (await cold.fetch(path, { headers: bearer(await sign(key)) })).status;
  const { match } = Cache.prototype;
  const late = Promise.withResolvers<void>();
  const spy = vi.spyOn(Cache.prototype, "match").mockImplementationOnce(async function (this: Cache, key) {
    const copy = await match.call(this, key);
    await late.promise;
    return copy;
  });
  const waiting = coldStatus(old);
  await scheduler.wait(100);
  expect(await coldStatus(young)).toBe(letIn);
  late.resolve();
  expect(await waiting).toBe(letIn);
  expect(await coldStatus(young)).toBe(letIn);
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
