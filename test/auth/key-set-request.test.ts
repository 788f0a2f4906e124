// How the key set is fetched: what the issuer sees of the request, how large the reply may be, what the log quotes of it, and whose
// copy is believed. When it is fetched: key-set.test.ts. A run that doesn't exist is a 404 to those whose token is accepted.
import { beforeEach, describe, expect, inject, test } from "vitest";
import { controlClock } from "../support/clock.ts";
import type { Fault } from "../support/fault-proxy-protocol.ts";
import { type Reader, createReader } from "../support/reader.ts";
import { keepSecret } from "../support/secrets.ts";
import { formatKeySet, makeKey } from "../support/signing.ts";

const clock = controlClock();
const key = await makeKey("ES256");
let reader: Reader;

beforeEach(async () => {
  reader = await createReader({ keys: [key] });
});

test("the request names its program, which web application firewalls demand, and the kind of reply", async () => {
  await reader.read();
  const [request] = await reader.issuer.proxy.requests();
  expect(request?.headers).toMatchObject({
    "user-agent": expect.stringMatching(/^crew-run-reader\b/),
    accept: "application/jwk-set+json, application/json",
  });
});

test("the request bypasses the caches in between, whose age would add to the keys'", async () => {
  await reader.read();
  const [request] = await reader.issuer.proxy.requests();
  expect(request?.headers["cache-control"]).toBe("no-cache");
});

const DECLARED = {};
/** No length is believed of an encoded reply: its bytes are counted as they arrive. */
const UNDECLARED = { "content-encoding": "identity" };

test.each([
  [262_144, DECLARED, 404],
  [262_145, DECLARED, 503],
  [262_144, UNDECLARED, 404],
  [262_145, UNDECLARED, 503],
])("a key set may have 256 KB: one of %i bytes with the headers %j is a %i", async (bytes, headers, status) => {
  await reader.issuer.proxy.serve({ text: formatKeySet([key.jwk]).padEnd(bytes), headers });
  const result = await reader.read();
  expect(result.status).toBe(status);
  if (status === 503) expect(result.log["key_set"]).toBe("Error: the reply is larger than 262144 bytes");
});

describe("the log quotes nothing of a reply", () => {
  const secret = keepSecret("SECRET-OF-THE-REPLY");
  const reply = (status: number, text: string): Fault => ({
    kind: "status",
    status,
    text,
    contentType: "application/json",
  });

  test.each<[string, Fault]>([
    ["isn't JSON", reply(200, secret)],
    ["is JSON with something behind it", reply(200, `{"keys":[]}${secret}`)],
    ["is a short text", reply(200, `"${secret}`)],
    ["isn't a key set", reply(200, `{"error":"${secret}"}`)],
    ["has no usable key", reply(200, `{"keys":[{"kty":"oct","k":"${secret}"}]}`)],
    ["is an error", reply(500, secret)],
    ["is a redirect", { kind: "redirect", location: `http://127.0.0.1:9/${secret}` }],
  ])("that %s", async (_, fault) => {
    await reader.issuer.proxy.fail(fault);
    const { status, body, log } = await reader.read();
    expect(status).toBe(503);
    expect(log["key_set"]).toMatch(/^Error: the (reply|key)/);
    // JSON.parse quotes the first characters.
    expect(JSON.stringify(log) + body).not.toContain(secret.slice(0, 6));
  });
});

describe("the data center's copy of the key set", () => {
  const readAfterRestart = async (settings: object) => {
    const restarted = reader.restart(settings);
    const result = await restarted.read();
    await restarted.app.settle();
    return result;
  };

  test("serves the next deployment while the issuer is down", async () => {
    await readAfterRestart({ CF_VERSION_METADATA: { id: "one" } });
    await reader.issuer.proxy.fail({ kind: "drop" });
    clock.advance(900);
    expect((await readAfterRestart({ CF_VERSION_METADATA: { id: "two" } })).status).toBe(404);
  });

  test("lies at an address that only a holder of the database's password can compute", async () => {
    const url = new URL(inject("localStack").variables.DATABASE_URL);
    expect((await readAfterRestart({})).fetches).toBe(1);
    expect((await readAfterRestart({ DATABASE_URL: url.href })).fetches).toBe(0);
    url.password = "guessed";
    expect((await readAfterRestart({ DATABASE_URL: url.href })).fetches).toBe(1);
  });
});
