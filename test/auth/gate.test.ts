// The gate: a response leaves only if refetched keys confirm the token and it hasn't expired meanwhile.
import { beforeAll, expect, test, vi } from "vitest";
import { controlClock, hangFetches } from "../support/clock.ts";
import { insertRun } from "../support/database.ts";
import { openDatabaseProxy } from "../support/fault-proxy.ts";
import { untilReceived } from "../support/fault-proxy-protocol.ts";
import { openIssuer } from "../support/issuer.ts";
import { catchLines } from "../support/log-lines.ts";
import { type SigningKey, makeKey } from "../support/signing.ts";
import { bearer, createTestApp } from "../support/test-app.ts";

const TWENTY_MINUTES = 1_200;
const DAY = 86_400;

const lines = catchLines();
const clock = controlClock();
let old: SigningKey;
/** Has the old one's `kid`. */
let replacement: SigningKey;
let other: SigningKey;

beforeAll(async () => {
  old = await makeKey("ES256");
  replacement = await makeKey("ES256", { kid: old.jwk.kid });
  other = await makeKey("ES256");
});

/** An issuer that publishes `old`, and an app that has fetched it. */
async function start(variables: Record<string, unknown> = {}) {
  const issuer = await openIssuer([old]);
  const database = await openDatabaseProxy();
  const createApp = () => createTestApp({ ...issuer.variables, NEON_FETCH_ENDPOINT: database.url, ...variables });
  const app = createApp();
  const sign = (key: SigningKey, lifeSeconds = DAY, scope = "") =>
    issuer.sign({ exp: Math.floor(Date.now() / 1_000) + lifeSeconds, scope }, { key });
  const read = async (id: string, token: string, headers = {}, through = app) => {
    const response = await through.fetch(`/api/crew-runs/${id}`, { headers: { ...bearer(token), ...headers } });
    const [log = {}] = lines.of(response.headers.get("x-request-id"));
    return { response, status: response.status, body: await response.text(), log };
  };
  // A missing run: the keys are fetched, and nothing is cached.
  expect(
    (await read(crypto.randomUUID(), await sign(old, DAY, String(variables["REQUIRED_SCOPE"] ?? "")))).status,
  ).toBe(404);
  await app.settle();
  return { issuer, database, createApp, sign, read };
}

/** A refusal without anything of the run: no tag, no age, no cache lifetime. */
function expectRefusal({ status, body, response }: { status: number; body: string; response: Response }): void {
  expect(status).toBe(401);
  expect(JSON.parse(body)).toMatchObject({ detail: "Could not validate credentials", code: "invalid_token" });
  expect(response.headers.get("cache-control")).toBe("no-store");
  for (const name of ["etag", "age", "cache-status", "retry-after", "preference-applied"]) {
    expect(response.headers.get(name), name).toBeNull();
  }
}

test.each([
  ["this isolate's", false],
  ["the data center's", true],
])("a key replaced under its kid is accepted at once if %s keys are stale", async (_, isCold) => {
  const { issuer, createApp, sign, read } = await start();
  const id = await insertRun();
  await issuer.publish([replacement.jwk]);
  clock.advance(TWENTY_MINUTES);
  const { status } = await read(id, await sign(replacement), {}, isCold ? createApp() : undefined);
  expect(status).toBe(200);
  expect(await issuer.proxy.received()).toBe(2);
});

test("a signature that stale keys don't verify is a 503 while the issuer is down, never a 401, and a 401 of fresh keys", async () => {
  const { issuer, sign, read } = await start();
  const id = await insertRun();
  expect((await read(id, await sign(replacement))).status).toBe(401);
  await issuer.proxy.fail({ kind: "drop" });
  clock.advance(TWENTY_MINUTES);
  for (const seconds of [0, 4, 30]) {
    clock.advance(seconds);
    const { status, body } = await read(id, await sign(replacement));
    expect([status, JSON.parse(body).code]).toEqual([503, "key_set_unavailable"]);
    expect((await read(id, await sign(old))).status).toBe(200);
  }
  await issuer.publish([replacement.jwk]);
  await issuer.proxy.heal();
  clock.advance(4);
  expect((await read(id, await sign(replacement))).status).toBe(200);
});

test.each([
  ["a wait", { prefer: "wait=20" }],
  ["a slow read", {}],
])("%s that outlasts its token is a 401", async (_, headers) => {
  const { database, sign, read } = await start();
  const id = await insertRun({ status: "completed", result: "done" });
  const unfinished = await insertRun();
  const token = await sign(old, 300);
  await database.fail({ kind: "delay", milliseconds: 300 });
  const reads = [id, unfinished].map((each) => read(each, token, headers));
  const before = await database.received();
  while ((await database.received()) < before + 1) await scheduler.wait(10);
  clock.advance(320);
  for (const each of await Promise.all(reads)) {
    expectRefusal(each);
    expect(each.log["why"]).toContain("expired");
  }
});

test("a token that expires while the response waits for new keys is a 401", async () => {
  const { issuer, database, sign, read } = await start({ JWKS_MAX_STALE_SECONDS: "600", JWT_LEEWAY_SECONDS: "0" });
  const before = await database.received();
  await Promise.all([database, issuer.proxy].map((proxy) => proxy.fail({ kind: "hold" })));
  clock.advance(595);
  const reading = read(await insertRun(), await sign(old, 7));
  await untilReceived(database, before + 1);
  // During the read the keys become too old to be used, and the refetch counts as cut off.
  clock.advance(6);
  await database.heal();
  await untilReceived(issuer.proxy, 3);
  clock.advance(2);
  await issuer.proxy.heal();
  const refused = await reading;
  expectRefusal(refused);
  expect(refused.log["why"]).toContain("expired");
});

test("a read beside the refetch of stale keys is counted before it goes out", async () => {
  let isFull = false;
  const RATE_LIMITER = { limit: async () => ({ success: !isFull }) };
  const { database, sign, read } = await start({ RATE_LIMITER });
  const [id, before] = [await insertRun(), await database.received()];
  clock.advance(TWENTY_MINUTES);
  isFull = true;
  expect((await read(id, await sign(old))).status).toBe(429);
  expect(await database.received()).toBe(before);
});

test("a withdrawn key without the required scope is a 401, not a 403", async () => {
  const { issuer, sign, read } = await start({ REQUIRED_SCOPE: "crew-runs:read" });
  const token = await sign(old);
  expect((await read(await insertRun(), token)).status).toBe(403);
  await issuer.publish([other.jwk]);
  clock.advance(TWENTY_MINUTES);
  expectRefusal(await read(await insertRun(), token));
});

test(
  "a withdrawn key is refused while the database hangs, and its query isn't repeated",
  { timeout: 8_000 },
  async () => {
    const patience = { DATABASE_ATTEMPT_TIMEOUT_MS: 9_000, REQUEST_TIMEOUT_MS: 9_500 };
    const { issuer, database, sign, read } = await start(patience);
    const [id, before, token] = [await insertRun(), await database.received(), await sign(old)];
    await issuer.publish([other.jwk]);
    clock.advance(TWENTY_MINUTES);
    await database.fail({ kind: "hang" });
    expectRefusal(await read(id, token));
    expect((await database.received()) - before).toBe(1);
  },
);

test("the read of a refused token makes no further attempt when its first one has timed out", async () => {
  const { issuer, sign, read } = await start();
  const [id, token] = [await insertRun(), await sign(old)];
  await issuer.publish([other.jwk]);
  clock.advance(TWENTY_MINUTES);
  clock.simulate();
  hangFetches("/sql", "silent");
  expectRefusal(await read(id, token));
  await scheduler.wait(30_000);
  expect(vi.mocked(fetch).mock.calls.filter(([url]) => String(url).endsWith("/sql"))).toHaveLength(1);
});

test("if a read and then its confirmation fail, the confirmation's failure is sent, and the log has both causes", async () => {
  const { sign, read } = await start({ JWT_LEEWAY_SECONDS: 0 });
  const [id, token] = [await insertRun(), await sign(old, 5)];
  const { fetch: realFetch } = globalThis;
  vi.spyOn(globalThis, "fetch").mockImplementation(async (input, init) => {
    if (!String(input).endsWith("/sql")) return realFetch(input, init);
    clock.advance(6);
    return Response.json({ message: "no", code: "42P01" }, { status: 400 });
  });
  const refused = await read(id, token);
  vi.mocked(fetch).mockRestore();
  expectRefusal(refused);
  expect(refused.log["why"]).toMatch(/^expired: exp; sql_error: 42P01/);
});

test("so it is if the read fails before a refetch brings keys that refuse the token", async () => {
  const { issuer, sign, read } = await start();
  const [id, token] = [await insertRun(), await sign(old)];
  await issuer.publish([other.jwk]);
  clock.advance(TWENTY_MINUTES);
  clock.simulate();
  const simulated = vi.mocked(fetch).getMockImplementation() ?? fetch;
  vi.mocked(fetch).mockImplementation(async (input, init) => {
    if (String(input).endsWith("/sql")) return Response.json({ message: "no", code: "42P01" }, { status: 400 });
    await scheduler.wait(300);
    return simulated(input, init);
  });
  const refused = await read(id, token);
  expectRefusal(refused);
  expect(refused.log["why"]).toMatch(/^bad_signature: unknown_key; sql_error: 42P01/);
});

test("an error that no step foresaw is in the log with its place, though the token was refused after it", async () => {
  const { sign, read } = await start({ JWT_LEEWAY_SECONDS: 0 });
  const token = await sign(old, 5);
  const { digest } = crypto.subtle;
  const id = await insertRun({ result: "the record" });
  vi.spyOn(crypto.subtle, "digest").mockImplementation(async (algorithm, data) => {
    if (!new TextDecoder().decode(data as Uint8Array).includes("the record"))
      return digest.call(crypto.subtle, algorithm, data);
    clock.advance(6);
    throw new RangeError("a value");
  });
  const refused = await read(id, token);
  vi.mocked(crypto.subtle.digest).mockRestore();
  expectRefusal(refused);
  expect(refused.log["why"]).toBe("expired: exp; RangeError");
  expect(refused.log["stack"]).toMatch(/^at /);
});

test("a long poll is confirmed before its first read: a withdrawn key costs no query", async () => {
  const { issuer, database, sign, read } = await start();
  const [id, before, token] = [await insertRun(), await database.received(), await sign(old)];
  await issuer.publish([other.jwk]);
  clock.advance(TWENTY_MINUTES);
  expectRefusal(await read(id, token, { prefer: "wait=20" }));
  expect(await database.received()).toBe(before);
});

test("a cached run, a missing run and an invalid id are all a 401 for a withdrawn key", async () => {
  const { issuer, sign, read } = await start();
  const cached = await insertRun({ status: "completed" });
  const token = await sign(old);
  expect((await read(cached, token)).status).toBe(200);
  await issuer.publish([other.jwk]);
  clock.advance(TWENTY_MINUTES);
  for (const id of [cached, crypto.randomUUID(), "no-uuid"]) expectRefusal(await read(id, token));
});

test("a wait whose key is withdrawn meanwhile is a 401, as soon as another request has refetched the keys", async () => {
  const { issuer, sign, read } = await start({ MAX_WAIT_SECONDS: 60 });
  const [id, token] = [await insertRun(), await sign(old)];
  clock.simulate();
  await issuer.publish([other.jwk]);
  clock.advance(475);
  const waiting = read(id, token, { prefer: "wait=60" });
  await scheduler.wait(20_000);
  await read(id, token);
  await scheduler.wait(1_000);
  expectRefusal(await read(id, token));
  expectRefusal(await waiting);
});

test("a wait during which the keys become stale is confirmed when it ends", async () => {
  const { issuer, sign, read } = await start({ MAX_WAIT_SECONDS: 60 });
  const [id, token] = [await insertRun(), await sign(old)];
  clock.simulate();
  await issuer.publish([other.jwk]);
  clock.advance(595);
  expectRefusal(await read(id, token, { prefer: "wait=60" }));
});

test.each([
  ["stale keys", TWENTY_MINUTES],
  ["keys of a minute", 60],
])("a refetch that was cut off is a 503 for a token with a new key, not a 401, under %s", async (_, seconds) => {
  const { issuer, sign, read } = await start();
  const [id, token] = [await insertRun(), await sign(other)];
  clock.simulate();
  clock.advance(seconds);
  await issuer.publish([other.jwk]);
  const real = globalThis.fetch;
  let isCutOff = false;
  const mock = vi.spyOn(globalThis, "fetch").mockImplementation((input, init) => {
    if (String(input) !== issuer.variables.JWKS_URL || isCutOff) return real(input, init);
    isCutOff = true;
    return new Promise(() => {});
  });
  void read(id, token);
  await scheduler.wait(10);
  const { status, body } = await read(id, token);
  mock.mockRestore();
  expect([status, JSON.parse(body).code]).toEqual([503, "key_set_unavailable"]);
});

test("an outage of the issuer is forgotten after a minute: then a withdrawn key waits for the refetch again", async () => {
  const { issuer, sign, read } = await start();
  const [id, token] = [await insertRun({ status: "completed" }), await sign(old)];
  expect((await read(id, token)).status).toBe(200);
  await issuer.proxy.fail({ kind: "drop" });
  clock.advance(TWENTY_MINUTES);
  expect((await read(id, token)).status).toBe(200);
  await issuer.publish([other.jwk]);
  // Slower than a cached run, so that only a response that waits for the keys knows of them.
  await issuer.proxy.fail({ kind: "delay", milliseconds: 100 });
  clock.advance(120);
  expectRefusal(await read(id, token));
});
