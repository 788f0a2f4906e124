// A response leaves only if the keys at hand then confirm the token and it hasn't expired meanwhile. Which keys decide, by their age:
// key-set.test.ts.
import { expect, test, vi } from "vitest";
import { controlClock, hangFetches } from "../support/clock.ts";
import { insertRun } from "../support/database.ts";
import { untilReceived } from "../support/fault-proxy-protocol.ts";
import { createReader } from "../support/reader.ts";
import { expectNothingOfRun } from "../support/refusal.ts";
import { makeKey } from "../support/signing.ts";

const TWENTY_MINUTES = 1_200;
const clock = controlClock();
const [old, other] = [await makeKey("ES256"), await makeKey("ES256")];

/** A reader that has fetched the old key, and a token by it. The issuer may publish another key from then on. */
async function start(settings = {}, lifeSeconds = 86_400) {
  const reader = await createReader({ keys: [old], settings });
  await reader.read();
  await reader.app.settle();
  const sign = (seconds = lifeSeconds) => reader.issuer.sign({ exp: Math.floor(Date.now() / 1_000) + seconds });
  return { ...reader, sign, token: await sign(), withdraw: () => reader.issuer.publish([other.jwk]) };
}

test.each([
  ["a wait", { prefer: "wait=20" }],
  ["a slow read", {}],
])("%s that outlasts its token is a 401", async (_, headers) => {
  const { database, read, token } = await start({}, 300);
  const ids = [await insertRun({ status: "completed", result: "done" }), await insertRun()];
  await database.fail({ kind: "delay", milliseconds: 300 });
  const before = await database.received();
  const reads = ids.map((id) => read(id, { token, headers }));
  await untilReceived(database, before + 1);
  clock.advance(320);
  for (const result of await Promise.all(reads)) {
    expectNothingOfRun(result);
    expect(result.log["why"]).toContain("expired");
  }
});

test("a token that expires while the response waits for new keys is a 401", async () => {
  const { database, issuer, read, sign } = await start({ JWKS_MAX_STALE_SECONDS: "600", JWT_LEEWAY_SECONDS: "0" });
  const before = await database.received();
  await Promise.all([database, issuer.proxy].map((proxy) => proxy.fail({ kind: "hold" })));
  clock.advance(595);
  const reading = read(await insertRun(), { token: await sign(7) });
  await untilReceived(database, before + 1);
  // During the read the keys become too old to be used, and the refetch counts as cut off.
  clock.advance(6);
  await database.heal();
  await untilReceived(issuer.proxy, 3);
  clock.advance(2);
  await issuer.proxy.heal();
  const refused = await reading;
  expectNothingOfRun(refused);
  expect(refused.log["why"]).toContain("expired");
});

test("a read beside the refetch of stale keys is counted before it goes out", async () => {
  let isFull = false;
  const { read, token } = await start({ RATE_LIMITER: { limit: async () => ({ success: !isFull }) } });
  clock.advance(TWENTY_MINUTES);
  isFull = true;
  const { status, queries } = await read(await insertRun(), { token });
  expect([status, queries]).toEqual([429, 0]);
});

test("a withdrawn key without the required scope is a 401, not a 403", async () => {
  const { read, issuer, withdraw } = await start({ REQUIRED_SCOPE: "crew-runs:read" });
  const token = await issuer.sign({ scope: "", exp: Math.floor(Date.now() / 1_000) + 86_400 });
  expect((await read(undefined, { token })).status).toBe(403);
  await withdraw();
  clock.advance(TWENTY_MINUTES);
  expectNothingOfRun(await read(undefined, { token }));
});

test("a withdrawn key is refused while the database hangs, whose query isn't repeated when it has timed out", async () => {
  const { read, token, withdraw } = await start();
  const id = await insertRun();
  await withdraw();
  clock.advance(TWENTY_MINUTES);
  clock.simulate();
  hangFetches("/sql", "silent");
  const startedMs = Date.now();
  expectNothingOfRun(await read(id, { token }));
  expect(Date.now()).toBe(startedMs);
  await scheduler.wait(30_000);
  expect(vi.mocked(fetch).mock.calls.filter(([url]) => String(url).endsWith("/sql"))).toHaveLength(1);
});

test("if a read fails and then a refetch brings keys that refuse the token, the log has both causes", async () => {
  const { read, token, withdraw } = await start();
  await withdraw();
  clock.advance(TWENTY_MINUTES);
  clock.simulate();
  const simulated = vi.mocked(fetch).getMockImplementation() ?? fetch;
  vi.mocked(fetch).mockImplementation(async (input, init) => {
    if (String(input).endsWith("/sql")) return Response.json({ message: "no", code: "42P01" }, { status: 400 });
    await scheduler.wait(300);
    return simulated(input, init);
  });
  const refused = await read(undefined, { token });
  expectNothingOfRun(refused);
  expect(refused.log["why"]).toMatch(/^bad_signature: unknown_key; sql_error: 42P01/);
});

test("an error that no step foresaw is in the log with its place, though the token was refused after it", async () => {
  const { read, token } = await start({ JWT_LEEWAY_SECONDS: 0 }, 5);
  const { digest } = crypto.subtle;
  const id = await insertRun({ result: "the record" });
  vi.spyOn(crypto.subtle, "digest").mockImplementation(async (algorithm, data) => {
    if (!new TextDecoder().decode(data as Uint8Array).includes("the record"))
      return digest.call(crypto.subtle, algorithm, data);
    clock.advance(6);
    throw new RangeError("a value");
  });
  const refused = await read(id, { token });
  expectNothingOfRun(refused);
  expect(refused.log["why"]).toBe("expired: exp; RangeError");
  expect(refused.log["stack"]).toMatch(/^at /);
});

test.each([
  ["withdrawn", [other.jwk], 401],
  ["still there", [old.jwk, other.jwk], 200],
])("during a wait, another request refetches the keys: its own key is %s", async (_, keys, status) => {
  const { issuer, read, token } = await start({ MAX_WAIT_SECONDS: 60 });
  const id = await insertRun();
  clock.simulate();
  await issuer.publish(keys);
  clock.advance(475);
  const waiting = read(id, { token, headers: { prefer: "wait=60" } });
  await scheduler.wait(20_000);
  await read(id, { token });
  await scheduler.wait(1_000);
  expect((await read(id, { token })).status).toBe(status);
  const result = await waiting;
  // Whoever has verified it by the new keys, this request has verified it, too.
  expect([result.status, result.log["auth"]]).toEqual([status, "verified"]);
});
