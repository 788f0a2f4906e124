// Keys older than ten minutes: they are refetched in parallel with the read of the run, and no response leaves before the new
// keys confirm the token. What then becomes of the response: gate.test.ts.
import { beforeEach, expect, test, vi } from "vitest";
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
  app = createTestApp(variables);
  expect((await read(cachedRun)).status).toBe(200);
  await app.settle();
});

const sign = (key: SigningKey) => issuer.sign({ exp: Math.floor(Date.now() / 1_000) + 86_400 }, { key });

const read = async (id: string, token = oldToken): Promise<Response> =>
  app.fetch(`/api/crew-runs/${id}`, { headers: bearer(token) });

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

test("a withdrawn key reads nothing hours after a failure of the issuer", async () => {
  await issuer.proxy.fail({ kind: "drop" });
  clock.advance(TWENTY_MINUTES);
  expect((await read(cachedRun)).status).toBe(200);
  await issuer.proxy.heal();
  await withdraw();
  clock.advance(2 * 3_600);
  expect((await read(await insertRun())).status).toBe(401);
});

test("the age of keys counts from the start of their fetch", async () => {
  clock.advance(TWENTY_MINUTES);
  const simulated = vi.mocked(fetch).getMockImplementation() ?? fetch;
  vi.mocked(fetch).mockImplementationOnce(async (...request) => {
    const response = await simulated(...request);
    await scheduler.wait(900);
    return response;
  });
  expect((await read(cachedRun)).status).toBe(200);
  await withdraw();
  clock.advance(599.5);
  expect((await read(cachedRun)).status).toBe(401);
});

test("a clock that jumps back lengthens no bound: keys and cached runs of the future have expired", async () => {
  const queries = await database.received();
  await withdraw();
  clock.advance(-3_600);
  expect((await read(cachedRun, await sign(old))).status).toBe(401);
  expect((await read(cachedRun, await sign(young))).status).toBe(200);
  expect((await database.received()) - queries).toBe(1);
});
