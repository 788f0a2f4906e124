// How the key set is fetched: what the issuer sees of the request, what the log quotes of the reply, and whose copy is believed.
// When it is fetched: key-set.test.ts.
import { beforeEach, describe, expect, inject, test } from "vitest";
import { controlClock } from "../support/clock.ts";
import type { Fault } from "../support/fault-proxy-protocol.ts";
import { openIssuer } from "../support/issuer.ts";
import { catchLines } from "../support/log-lines.ts";
import { readRun } from "../support/read-run.ts";
import { makeKey } from "../support/signing.ts";
import { createTestApp } from "../support/test-app.ts";
import type { TestIssuer } from "../support/test-issuer.ts";

const lines = catchLines();
const clock = controlClock();
/** A run that doesn't exist: a token that is accepted gets a 404. */
const RUN_ID = crypto.randomUUID();

let issuer: TestIssuer;

beforeEach(async () => {
  issuer = await openIssuer([await makeKey("ES256")]);
});

const read = async (variables: object = {}) => {
  const app = createTestApp({ ...issuer.variables, ...variables });
  const result = await readRun(app, RUN_ID, await issuer.sign(), lines);
  await app.settle();
  return result;
};

test("the request names its program, which web application firewalls demand, and the kind of reply", async () => {
  await read();
  const [request] = await issuer.proxy.requests();
  expect(request?.headers).toMatchObject({
    "user-agent": expect.stringMatching(/^crew-run-reader\b/),
    accept: "application/jwk-set+json, application/json",
  });
});

test("the request bypasses the caches in between, whose age would add to the keys'", async () => {
  await read();
  const [request] = await issuer.proxy.requests();
  expect(request?.headers["cache-control"]).toBe("no-cache");
});

describe("the log quotes nothing of a reply", () => {
  const secret = "SECRET-OF-THE-REPLY";
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
    await issuer.proxy.fail(fault);
    const { response, body, log } = await read();
    expect(response.status).toBe(503);
    expect(log["key_set"]).toMatch(/^Error: the (reply|key)/);
    expect(JSON.stringify(log) + body).not.toContain(secret.slice(0, 6));
  });
});

describe("the data center's copy of the key set", () => {
  test("serves the next deployment while the issuer is down", async () => {
    await read({ CF_VERSION_METADATA: { id: "one" } });
    await issuer.proxy.fail({ kind: "drop" });
    clock.advance(900);
    expect((await read({ CF_VERSION_METADATA: { id: "two" } })).response.status).toBe(404);
  });

  test("lies at an address that only a holder of the database's password can compute", async () => {
    const url = new URL(inject("localStack").variables.DATABASE_URL);
    await read();
    await read({ DATABASE_URL: url.href });
    expect(await issuer.proxy.received()).toBe(1);
    url.password = "guessed";
    await read({ DATABASE_URL: url.href });
    expect(await issuer.proxy.received()).toBe(2);
  });
});
