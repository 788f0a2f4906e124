// Each way in which the key endpoint can fail, for a burst in a cold isolate and for a warm one. The cases run side by side, on
// one clock. That no fault lasts longer than the time-out of a fetch, the time-out of each test shows.
import { afterAll, expect, test } from "vitest";
import { createTestApp } from "../support/test-app.ts";
import { expectFault, listFaults } from "../support/documented-fault.ts";
import { catchLines } from "../support/log-lines.ts";
import { readRun } from "../support/read-run.ts";
import { controlClock } from "../support/clock.ts";
import { insertRun } from "../support/database.ts";
import type { Fault } from "../support/fault-proxy-protocol.ts";
import { openIssuer } from "../support/issuer.ts";
import type { FaultName } from "../../docs/faults.ts";
import { type SigningKey, makeKey } from "../support/signing.ts";

const lines = catchLines();
const clock = controlClock();
const sent: string[] = [];

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

/** Opens an issuer and a test app for each case; the issuer publishes `key` and later `nextKey`. */
async function openAll() {
  const [key, nextKey] = [await makeKey("ES256"), await makeKey("ES256")];
  const id = await insertRun({ status: "running" });
  return Promise.all(
    CASES.map(async ([what, name, fault]) => {
      const issuer = await openIssuer([key]);
      const app = createTestApp(issuer.variables);
      const exp = Math.floor(Date.now() / 1_000) + 36_000;
      const read = async (signer: SigningKey) => {
        const token = await issuer.sign({ exp }, { key: signer });
        sent.push(token);
        return readRun(app, id, token, lines);
      };
      const fetches = async () => await issuer.proxy.received();
      return { what, name, fault, issuer, app, key, nextKey, read, fetches };
    }),
  );
}

type OpenCase = Awaited<ReturnType<typeof openAll>>[number];

/** Takes every case through a step. */
async function each(cases: readonly OpenCase[], step: (each: OpenCase) => Promise<void>): Promise<void> {
  const named = async (one: OpenCase) => {
    await step(one).catch((cause: unknown) => {
      throw new Error(`${one.what}: ${String(cause)}`, { cause });
    });
  };
  await Promise.all(cases.map(named));
}

test("in a cold isolate each fault costs one fetch, has the documented response, and ends within seconds of its cause", async () => {
  const cases = await openAll();
  await each(cases, async ({ name, fault, issuer, read, key, fetches }) => {
    await issuer.proxy.fail(fault);
    const burst = await Promise.all(Array.from({ length: 12 }, () => read(key)));
    const soon = await read(key);
    for (const answer of [...burst, soon]) {
      expectFault(name, answer);
      expect(answer.response.headers.get("www-authenticate")).toBeNull();
    }
    expect(await fetches()).toBe(1);
    await issuer.proxy.heal();
  });
  clock.advance(3);
  await each(cases, async ({ read, key }) => expect((await read(key)).response.status).toBe(200));
}, 20_000);

test("in a warm isolate each fault delays no request with a known key and refuses none", async () => {
  const cases = await openAll();
  await each(cases, async ({ read, key }) => expect((await read(key)).response.status).toBe(200));
  // It stands still, so that a pause after a failure doesn't end meanwhile.
  clock.stopAt(Date.now() + 500_000);
  await each(cases, async ({ fault, issuer, app, read, key, nextKey, fetches }) => {
    await issuer.proxy.fail(fault);
    const due = await read(key);
    expect(due.response.status).toBe(200);
    await app.settle();
    expectFault("key_set_fault_known_key", await read(key));
    const unknown = await read(nextKey);
    expectFault("key_set_fault_unknown_key", unknown);
    expect(unknown.response.headers.get("www-authenticate")).toBeNull();
    expect(await fetches()).toBe(2);
    await issuer.publish([key.jwk, nextKey.jwk]);
    await issuer.proxy.heal();
  });
  clock.advance(3);
  await each(cases, async ({ read, nextKey }) => expect((await read(nextKey)).response.status).toBe(200));
}, 20_000);

test("each documented fault of the keys is among these", () => {
  const shown = [...CASES.map(([, name]) => name), "key_set_fault_known_key", "key_set_fault_unknown_key"];
  expect([...new Set(shown)].toSorted()).toEqual(listFaults("keys"));
});

afterAll(() => {
  for (const text of lines.all()) for (const token of sent) expect(text).not.toContain(token);
});
