// Keys older than ten minutes: they are refetched in parallel with the read of the run, and no response leaves before the new
// keys confirm the token. A withdrawn key reads nothing, whatever the clock and the issuer have done meanwhile.
import { beforeEach, describe, expect, test } from "vitest";
import { controlClock } from "../support/clock.ts";
import { insertRun } from "../support/database.ts";
import { openDatabaseProxy } from "../support/fault-proxy.ts";
import { type FaultProxy, untilReceived } from "../support/fault-proxy-protocol.ts";
import { openIssuer } from "../support/issuer.ts";
import { type SigningKey, makeKey } from "../support/signing.ts";
import { type TestApp, bearer, createTestApp } from "../support/test-app.ts";
import type { TestIssuer } from "../support/test-issuer.ts";

const clock = controlClock();
const [old, young] = await Promise.all([makeKey("ES256"), makeKey("ES256")]);
const TWENTY_MINUTES = 1_200;

let issuer: TestIssuer;
let database: FaultProxy;
let variables: Record<string, unknown>;
let app: TestApp;
/** Signed by `old`. */
let oldToken: string;
/** A finished run, which `app` has read. */
let cachedRun: string;

beforeEach(async () => {
  clock.simulate();
  issuer = await openIssuer([old]);
  database = await openDatabaseProxy();
  variables = { ...issuer.variables, NEON_FETCH_ENDPOINT: database.url };
  cachedRun = await insertRun({ status: "completed", result: "done" });
  oldToken = await sign(old);
  await start();
});

/** Starts an app that knows the keys. */
async function start(more: Record<string, unknown> = {}): Promise<void> {
  app = createTestApp({ ...variables, ...more });
  expect((await read(cachedRun)).status).toBe(200);
  await app.settle();
}

const sign = (key: SigningKey) => issuer.sign({ exp: Math.floor(Date.now() / 1_000) + 86_400 }, { key });

const read = async (id: string, token = oldToken, headers: Record<string, string> = {}): Promise<Response> =>
  app.fetch(`/api/crew-runs/${id}`, { headers: { ...bearer(token), ...headers } });

const withdraw = () => issuer.publish([young.jwk]);

test.each([
  ["the isolate", false],
  ["its data center", true],
])("keys that %s has and an unfinished run are fetched together: one round trip", async (_, isCold) => {
  const id = await insertRun();
  const [fetches, queries] = [await issuer.proxy.received(), await database.received()];
  clock.advance(TWENTY_MINUTES);
  if (isCold) app = createTestApp(variables);
  for (const proxy of [issuer.proxy, database]) await proxy.fail({ kind: "hold" });
  const reading = read(id);
  // Neither has a response yet.
  await untilReceived(issuer.proxy, fetches + 1);
  await untilReceived(database, queries + 1);
  for (const proxy of [issuer.proxy, database]) await proxy.heal();
  expect((await reading).status).toBe(200);
  expect(await issuer.proxy.received()).toBe(fetches + 1);
});

test("no response leaves before the new keys are there", async () => {
  const id = await insertRun();
  clock.advance(TWENTY_MINUTES);
  await issuer.proxy.fail({ kind: "hold" });
  const order: string[] = [];
  const reading = Promise.all([id, cachedRun].map((each) => read(each).then(() => order.push("response"))));
  await untilReceived(issuer.proxy, 2);
  await untilReceived(database, 2);
  order.push("keys");
  await issuer.proxy.heal();
  await reading;
  expect(order).toEqual(["keys", "response", "response"]);
});

test("a token whose kid is unknown waits for the keys first, and a stranger's costs no query", async () => {
  const [id, queries] = [await insertRun(), await database.received()];
  await issuer.publish([old.jwk, young.jwk]);
  clock.advance(TWENTY_MINUTES);
  expect((await read(id, await sign(await makeKey("ES256")))).status).toBe(401);
  expect(await database.received()).toBe(queries);
  clock.advance(TWENTY_MINUTES);
  expect((await read(cachedRun, await sign(young))).status).toBe(200);
});

describe("a withdrawn key", () => {
  test.each([
    ["an unfinished run", () => insertRun(), {}, 1],
    ["an unfinished run that it would wait for", () => insertRun(), { prefer: "wait=20" }, 0],
    ["a run that doesn't exist", async () => crypto.randomUUID(), {}, 1],
    ["a cached run", async () => cachedRun, {}, 0],
    ["an id that isn't one", async () => "no-uuid", {}, 0],
  ])("reads nothing of %s", async (_, choose, headers, cost) => {
    const [id, queries] = [await choose(), await database.received()];
    await withdraw();
    clock.advance(TWENTY_MINUTES);
    const response = await read(id, oldToken, headers);
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ code: "invalid_token" });
    for (const name of ["etag", "age", "cache-status"]) expect(response.headers.get(name)).toBeNull();
    expect((await database.received()) - queries).toBeLessThanOrEqual(cost);
  });

  test("is refused without waiting for a slow query, which is not repeated", async () => {
    const [id, queries] = [await insertRun(), await database.received()];
    await withdraw();
    clock.advance(TWENTY_MINUTES);
    await database.fail({ kind: "hold" });
    expect((await read(id)).status).toBe(401);
    await app.settle();
    expect((await database.received()) - queries).toBeLessThanOrEqual(1);
  });

  test("is a 401, not a 403, if the token lacks the required scope as well", async () => {
    await start({ REQUIRED_SCOPE: "crew-runs:read" });
    const token = await issuer.sign({ exp: Math.floor(Date.now() / 1_000) + 86_400, scope: "other" });
    expect((await read(cachedRun, token)).status).toBe(403);
    await withdraw();
    clock.advance(TWENTY_MINUTES);
    expect((await read(cachedRun, token)).status).toBe(401);
  });

  test("reads nothing hours after a failure of the issuer", async () => {
    await issuer.proxy.fail({ kind: "drop" });
    clock.advance(TWENTY_MINUTES);
    expect((await read(cachedRun)).status).toBe(200);
    await issuer.proxy.heal();
    await withdraw();
    clock.advance(2 * 3_600);
    expect((await read(await insertRun())).status).toBe(401);
  });
});

test("the rate limit counts reads with stale keys too", async () => {
  let isLimited = false;
  const RATE_LIMITER = { limit: async () => ({ success: !isLimited }) };
  await start({ RATE_LIMITER });
  clock.advance(TWENTY_MINUTES);
  isLimited = true;
  const queries = await database.received();
  expect((await read(await insertRun())).status).toBe(429);
  expect(await database.received()).toBe(queries);
});

test("a clock that jumps back lengthens no bound: keys and cached runs of the future have expired", async () => {
  const queries = await database.received();
  await withdraw();
  clock.advance(-3_600);
  expect((await read(cachedRun, await sign(old))).status).toBe(401);
  expect((await read(cachedRun, await sign(young))).status).toBe(200);
  expect((await database.received()) - queries).toBe(1);
});
