// Keys that are known but overdue: they are refreshed beside the read of the run, and nothing leaves before the refreshed keys
// vouch for the token. A withdrawn key gets nobody in, whatever the clock and the issuer have done meanwhile.
import { expect, test } from "vitest";
import { bearer, createTestApp } from "../support/test-app.ts";
import { controlClock } from "../support/clock.ts";
import { insertRun } from "../support/database.ts";
import { openDatabaseProxy } from "../support/fault-proxy.ts";
import { openIssuer } from "../support/issuer.ts";
import { type SigningKey, makeKey } from "../support/signing.ts";

const clock = controlClock();
const keys = Promise.all([makeKey("ES256"), makeKey("ES256")]);
const TWENTY_MINUTES = 1_200;
const DELAY_MS = 400;

/** An issuer that publishes `old`, a database, and an isolate that has read a finished run with them. */
async function setScene(variables: Record<string, unknown> = {}) {
  const [old, young] = await keys;
  const issuer = await openIssuer([old]);
  const database = await openDatabaseProxy();
  const start = () => createTestApp({ ...issuer.variables, NEON_FETCH_ENDPOINT: database.url, ...variables });
  const app = start();
  const sign = (key: SigningKey) => issuer.sign({ exp: Math.floor(Date.now() / 1_000) + 86_400 }, { key });
  const oldToken = await sign(old);
  const read = async (id: string, token = oldToken, isolate = app) =>
    isolate.fetch(`/api/crew-runs/${id}`, { headers: { ...bearer(token), prefer: "wait=20" } });
  const kept = await insertRun({ status: "completed", result: "done" });
  expect((await read(kept)).status).toBe(200);
  await app.settle();
  const queries = async () => await database.received();
  const fetches = async () => await issuer.proxy.received();
  const withdraw = () => issuer.publish([young.jwk]);
  return { old, young, issuer, database, start, app, sign, oldToken, read, kept, queries, fetches, withdraw };
}

test.each([
  ["the isolate", false],
  ["its data centre", true],
])("keys that %s holds and an unfinished run are asked for together: one round trip", async (_, isCold) => {
  const { issuer, database, start, app, oldToken, fetches } = await setScene();
  const [id, before] = [await insertRun(), await fetches()];
  clock.advance(TWENTY_MINUTES);
  const isolate = isCold ? start() : app;
  for (const proxy of [issuer.proxy, database]) await proxy.fail({ kind: "delay", milliseconds: DELAY_MS });
  const startedMs = performance.now();
  const { status } = await isolate.fetch(`/api/crew-runs/${id}`, { headers: bearer(oldToken) });
  expect(Math.floor((performance.now() - startedMs) / DELAY_MS)).toBe(1);
  expect(status).toBe(200);
  expect((await fetches()) - before).toBe(1);
});

test("a token whose kid is unknown waits for the keys first, and one of nobody's costs no query", async () => {
  const { issuer, old, young, sign, read, kept, queries } = await setScene();
  const [id, before] = [await insertRun(), await queries()];
  await issuer.publish([old.jwk, young.jwk]);
  clock.advance(TWENTY_MINUTES);
  expect((await read(id, await sign(await makeKey("ES256")))).status).toBe(401);
  expect(await queries()).toBe(before);
  clock.advance(TWENTY_MINUTES);
  expect((await read(kept, await sign(young))).status).toBe(200);
});

test.each([
  ["an unfinished run, does not wait and does not count against the rate limit", () => insertRun(), 1],
  ["a run that is not there", () => crypto.randomUUID(), 1],
  ["a kept run", undefined, 0],
  ["an id that is none", () => "no-uuid", 0],
])("a key that was withdrawn reads nothing of %s", async (_, choose, cost) => {
  let counted = 0;
  const RATE_LIMITER = {
    async limit() {
      counted += 1;
      return { success: true };
    },
  };
  const { withdraw, read, kept, queries } = await setScene({ RATE_LIMITER });
  const id = (await choose?.()) ?? kept;
  const before = [counted, await queries()] as const;
  await withdraw();
  clock.advance(TWENTY_MINUTES);
  const startedMs = performance.now();
  const response = await read(id);
  expect(performance.now() - startedMs).toBeLessThan(3_000);
  expect(response.status).toBe(401);
  expect(await response.json()).toMatchObject({ code: "invalid_token" });
  expect(response.headers.get("etag")).toBeNull();
  expect(counted).toBe(before[0]);
  expect((await queries()) - before[1]).toBeLessThanOrEqual(cost);
});

test("a failure of the issuer is forgotten: hours later a withdrawn key gets nobody in", async () => {
  const { issuer, withdraw, read, kept } = await setScene();
  await issuer.proxy.fail({ kind: "drop" });
  clock.advance(TWENTY_MINUTES);
  expect((await read(kept)).status).toBe(200);
  await issuer.proxy.heal();
  await withdraw();
  clock.advance(2 * 3_600);
  expect((await read(await insertRun())).status).toBe(401);
});

test("a clock that jumps back lengthens no bound: keys and kept runs of the future are expired", async () => {
  const { old, young, withdraw, sign, read, kept, queries } = await setScene();
  const before = await queries();
  await withdraw();
  clock.advance(-3_600);
  expect((await read(kept, await sign(old))).status).toBe(401);
  expect((await read(kept, await sign(young))).status).toBe(200);
  expect((await queries()) - before).toBe(1);
});
