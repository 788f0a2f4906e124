// How the key set is fetched: what the issuer sees of the request, how large the reply may be, and each way in which the key
// endpoint can fail. When it is fetched: key-set.test.ts.
import { expect, test, vi } from "vitest";
import type { FaultName } from "../../docs/faults.ts";
import { type Hang, controlClock, hangFetches } from "../support/clock.ts";
import { insertRun } from "../support/database.ts";
import { expectFault, listFaults } from "../support/documented-fault.ts";
import type { Fault } from "../support/fault-proxy-protocol.ts";
import { createReader } from "../support/reader.ts";
import { keepSecret } from "../support/secrets.ts";
import { formatKeySet, makeKey } from "../support/signing.ts";

const clock = controlClock();
const [key, nextKey] = [await makeKey("ES256"), await makeKey("ES256")];

test("the request names its program, which web application firewalls demand, and bypasses the caches in between", async () => {
  const { issuer, read } = await createReader();
  await read();
  const [request] = await issuer.proxy.requests();
  expect(request?.headers).toMatchObject({
    "user-agent": expect.stringMatching(/^crew-run-reader\b/),
    accept: "application/jwk-set+json, application/json",
    "cache-control": "no-cache",
  });
});

/** No length is believed of an encoded reply: its bytes are counted as they arrive. */
const UNDECLARED = { "content-encoding": "identity" };

test.each([
  [262_144, {}, 404],
  [262_145, {}, 503],
  [262_144, UNDECLARED, 404],
  [262_145, UNDECLARED, 503],
])("a key set may have 256 KB: one of %i bytes with the headers %j is a %i", async (bytes, headers, status) => {
  const { issuer, read } = await createReader({ keys: [key] });
  await issuer.proxy.serve({ text: formatKeySet([key.jwk]).padEnd(bytes), headers });
  const result = await read();
  expect(result.status).toBe(status);
  if (status === 503) expect(result.log["key_set"]).toBe("Error: the reply is larger than 262144 bytes");
});

/** In replies. So short because JSON.parse quotes the first characters of what it can't read. */
const SECRET = keepSecret("S3CR3T");
const reply = (status: number, text: string): Fault => ({ kind: "status", status, text });

/** With the fault as it is documented if no key is known. */
const CASES: readonly (readonly [what: string, name: FaultName, fault: Fault | Hang])[] = [
  ["a connection that is dropped", "key_set_connection_lost", { kind: "drop" }],
  ["a connection that is dropped in the body", "key_set_connection_lost", { kind: "drop-in-body" }],
  ["no answer", "key_set_timeout", "silent"],
  ["a body that stops", "key_set_timeout", "stuck in the body"],
  ["a body that trickles", "key_set_timeout", "trickling"],
  ["a 500 with a key set", "key_set_status", reply(500, `{"keys":[],"x":"${SECRET}"}`)],
  ["a 204", "key_set_status", reply(204, "")],
  ["a 404", "key_set_wrong_address", reply(404, SECRET)],
  ["a redirect", "key_set_redirect", { kind: "redirect", location: `http://127.0.0.1:9/${SECRET}` }],
  ["HTML", "key_set_not_json", reply(200, `<h1>${SECRET}</h1>`)],
  ["a short text", "key_set_not_json", reply(200, SECRET)],
  ["a key set with something behind it", "key_set_not_json", reply(200, `{"keys":[]}${SECRET}`)],
  ["an empty 200", "key_set_not_json", reply(200, "")],
  ["half of the JSON", "key_set_not_json", { kind: "truncated" }],
  ["JSON without keys", "key_set_invalid", reply(200, `{"error":"${SECRET}"}`)],
  ["null", "key_set_invalid", reply(200, "null")],
  ["a set without a usable key", "key_set_unusable", reply(200, `{"keys":[{"kty":"oct","k":"${SECRET}"},null,7]}`)],
  ["a reply of 1 MB", "key_set_too_large", { kind: "huge-body", megabytes: 1 }],
];

test.each(CASES)(
  "%s: a cold isolate fetches once and responds as documented, a warm one goes on with its keys",
  async (_, name, fault) => {
    const { issuer, app, read } = await createReader({ keys: [key] });
    // So that the pause after a failure doesn't end meanwhile.
    clock.simulate();
    const countFetches = () => vi.mocked(fetch).mock.calls.filter(([url]) => url === issuer.proxy.url).length;
    /** Returns a function that ends the fault. */
    const begin = async () => {
      if (typeof fault === "string") return hangFetches(issuer.proxy.url, fault);
      await issuer.proxy.fail(fault);
      return issuer.proxy.heal;
    };

    const endFault = await begin();
    const burst = await Promise.all(Array.from({ length: 12 }, () => read()));
    for (const result of [...burst, await read()]) {
      expectFault(name, result);
      expect(result.headers.get("www-authenticate")).toBeNull();
      expect(result.body).not.toContain(SECRET);
    }
    expect(countFetches()).toBe(1);
    await endFault();
    clock.advance(3);
    expect((await read()).status).toBe(404);

    clock.advance(500);
    const endSecondFault = await begin();
    expect((await read()).status).toBe(404);
    await app.settle();
    expectFault("key_set_fault_known_key", await read(await insertRun()));
    const token = await issuer.sign({ exp: Math.floor(Date.now() / 1_000) + 60 }, { key: nextKey });
    const unknown = await read(undefined, { token });
    expectFault("key_set_fault_unknown_key", unknown);
    expect(unknown.headers.get("www-authenticate")).toBeNull();
    expect(countFetches()).toBe(3);
    await issuer.publish([key.jwk, nextKey.jwk]);
    await endSecondFault();
    clock.advance(3);
    expect((await read(undefined, { token })).status).toBe(404);
  },
);

test("each documented fault of the keys is among these", () => {
  const shown = [...CASES.map(([, name]) => name), "key_set_fault_known_key", "key_set_fault_unknown_key"];
  expect([...new Set(shown)].toSorted()).toEqual(listFaults("keys"));
});
