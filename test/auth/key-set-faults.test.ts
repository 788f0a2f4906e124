// Each way in which the key endpoint can fail, for a burst in a cold isolate and for a warm one. The cases run side by side, on
// one clock. That no fault lasts longer than the time-out of a fetch, the time-out of each test shows.
import { expect, test } from "vitest";
import type { FaultName } from "../../docs/faults.ts";
import { controlClock } from "../support/clock.ts";
import { insertRun } from "../support/database.ts";
import { expectFault, listFaults } from "../support/documented-fault.ts";
import type { Fault } from "../support/fault-proxy-protocol.ts";
import { type Reader, createReader } from "../support/reader.ts";
import { makeKey } from "../support/signing.ts";

const clock = controlClock();
const [key, nextKey] = [await makeKey("ES256"), await makeKey("ES256")];

const reply = (status: number, text: string): Fault => ({
  kind: "status",
  status,
  text,
  contentType: "application/json",
});

/** With the fault as it is documented if no key is known. */
const CASES: readonly (readonly [what: string, name: FaultName, fault: Fault])[] = [
  ["a connection that is dropped", "key_set_connection_lost", { kind: "drop" }],
  ["a connection that is dropped in the body", "key_set_connection_lost", { kind: "drop-in-body" }],
  ["no answer", "key_set_timeout", { kind: "hang" }],
  ["a body that stops", "key_set_timeout", { kind: "hang-in-body" }],
  ["a body that trickles", "key_set_timeout", { kind: "trickle", bytes: 2, intervalMs: 200 }],
  ["a 500 with a key set", "key_set_status", reply(500, `{"keys":[]}`)],
  ["a 204", "key_set_status", reply(204, "")],
  ["a 404", "key_set_wrong_address", reply(404, "")],
  ["a redirect", "key_set_redirect", { kind: "redirect", location: "http://127.0.0.1:9/" }],
  ["HTML", "key_set_not_json", reply(200, "<h1>Sign in</h1>")],
  ["an empty 200", "key_set_not_json", reply(200, "")],
  ["half of the JSON", "key_set_not_json", { kind: "truncated" }],
  ["JSON without keys", "key_set_invalid", reply(200, `{"error":"later"}`)],
  ["a set without a usable key", "key_set_unusable", reply(200, `{"keys":[{"kty":"oct","k":"AA"},null,7]}`)],
  ["a reply of 1 MB", "key_set_too_large", { kind: "huge-body", megabytes: 1 }],
];

interface OpenCase extends Reader {
  name: FaultName;
  fault: Fault;
}

/** Takes a reader for every case through a step. Its issuer publishes `key`. */
async function each(cases: readonly (readonly [what: string, OpenCase])[], step: (each: OpenCase) => Promise<void>) {
  const named = ([what, one]: (typeof cases)[number]) =>
    step(one).catch((cause: unknown) => {
      throw new Error(`${what}: ${String(cause)}`, { cause });
    });
  await Promise.all(cases.map(named));
}

const openAll = () =>
  Promise.all(
    CASES.map(
      async ([what, name, fault]) => [what, { name, fault, ...(await createReader({ keys: [key] })) }] as const,
    ),
  );

const expectAllReadable = (cases: Awaited<ReturnType<typeof openAll>>) =>
  each(cases, async ({ read }) => expect((await read()).status).toBe(404));

test("in a cold isolate each fault costs one fetch, has the documented response, and ends within seconds of its cause", async () => {
  const cases = await openAll();
  await each(cases, async ({ name, fault, issuer, read }) => {
    await issuer.proxy.fail(fault);
    const burst = await Promise.all(Array.from({ length: 12 }, () => read()));
    for (const result of [...burst, await read()]) {
      expectFault(name, result);
      expect(result.headers.get("www-authenticate")).toBeNull();
    }
    expect(await issuer.proxy.received()).toBe(1);
    await issuer.proxy.heal();
  });
  clock.advance(3);
  await expectAllReadable(cases);
}, 20_000);

test("in a warm isolate each fault delays no request with a known key and refuses none", async () => {
  const cases = await openAll();
  await expectAllReadable(cases);
  // It stands still, so that a pause after a failure doesn't end meanwhile.
  clock.stopAt(Date.now() + 500_000);
  const sign = (issuer: Reader["issuer"]) =>
    issuer.sign({ exp: Math.floor(Date.now() / 1_000) + 36_000 }, { key: nextKey });
  await each(cases, async ({ fault, issuer, app, read }) => {
    await issuer.proxy.fail(fault);
    expect((await read()).status).toBe(404);
    await app.settle();
    expectFault("key_set_fault_known_key", await read(await insertRun()));
    const unknown = await read(undefined, { token: await sign(issuer) });
    expectFault("key_set_fault_unknown_key", unknown);
    expect(unknown.headers.get("www-authenticate")).toBeNull();
    expect(await issuer.proxy.received()).toBe(2);
    await issuer.publish([key.jwk, nextKey.jwk]);
    await issuer.proxy.heal();
  });
  clock.advance(3);
  await each(cases, async ({ issuer, read }) =>
    expect((await read(undefined, { token: await sign(issuer) })).status).toBe(404),
  );
}, 20_000);

test("each documented fault of the keys is among these", () => {
  const shown = [...CASES.map(([, name]) => name), "key_set_fault_known_key", "key_set_fault_unknown_key"];
  expect([...new Set(shown)].toSorted()).toEqual(listFaults("keys"));
});
