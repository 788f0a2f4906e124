// Tokens that must be accepted: a policy that refuses valid users would be wrong too.
import { beforeEach, describe, expect, test } from "vitest";
import { SIGNATURE_ALGORITHMS } from "../../src/settings.ts";
import { controlClock } from "../support/clock.ts";
import { insertRun } from "../support/database.ts";
import { openFaultProxy } from "../support/fault-proxy.ts";
import { forge } from "../support/forged-token.ts";
import { type Reader, createReader } from "../support/reader.ts";
import { expectInvalidToken } from "../support/refusal.ts";
import { type SigningKey, makeKey } from "../support/signing.ts";

type Members = Record<string, unknown>;

const NOW = Math.floor(Date.now() / 1_000);
const clock = controlClock();
beforeEach(() => clock.stopAt(NOW * 1_000));

const [rsa, ec, ed] = await Promise.all([makeKey("RS256"), makeKey("ES256"), makeKey("EdDSA")]);
const reader = await createReader({ keys: [ec, rsa, ed] });
const { issuer } = reader;
const AUDIENCE = issuer.variables.JWT_AUDIENCE;
/** Where headers point to. */
const otherKeys = await openFaultProxy({ text: `{"keys":[]}` });
const id = await insertRun();

/** That the token reads the run in a new isolate. */
async function expectAccepted(token: string, from: Reader = reader, run = id): Promise<void> {
  const { status, body, log } = await from.restart().read(run, { token });
  expect(status).toBe(200);
  expect(JSON.parse(body)).toMatchObject({ id: run });
  expect(log["auth"]).toBe("verified");
}

/** That a token which `key` signed is accepted, at an issuer that publishes the key with these members. */
async function expectKeyAccepted(key: SigningKey, members: Members, algorithm = key.algorithm): Promise<void> {
  const other = await createReader({ keys: [republish(key, members)] });
  const header = { alg: algorithm, typ: "at+jwt", kid: key.jwk.kid };
  const claims = { iss: other.issuer.variables.JWT_ISSUER, aud: AUDIENCE, sub: "owner", iat: NOW, exp: NOW + 300 };
  await expectAccepted(await forge(header, claims, key, algorithm), other);
}

/** The same key, published with other members; undefined removes one. */
const republish = (key: SigningKey, members: Members): SigningKey => ({
  ...key,
  jwk: JSON.parse(JSON.stringify({ ...key.jwk, ...members })),
});

describe("a token is accepted", () => {
  test.for(SIGNATURE_ALGORITHMS)("signed by %s", async (algorithm) => {
    const key = /^[RP]S/.test(algorithm) ? rsa : await makeKey(algorithm);
    await expectKeyAccepted(key, { alg: algorithm }, algorithm);
  });

  test("if its key has no use, or only key_ops to verify, or says the algorithm by its other name", async () => {
    for (const key of [rsa, ec, ed, await makeKey("ES384")])
      await expectKeyAccepted(key, { alg: undefined, use: undefined });
    await expectKeyAccepted(ec, { use: undefined, key_ops: ["verify"] });
    await expectKeyAccepted(ed, { alg: "Ed25519" }, "EdDSA");
    await expectKeyAccepted(ed, { alg: "EdDSA" }, "Ed25519");
  });

  const types = ["at+jwt", "Application/AT+JWT", "JWT", "application/jwt", "Jwt", undefined];
  test.for(types)("with the typ %s", async (typ) => {
    await expectAccepted(await issuer.sign({}, { header: { typ } }));
  });

  test.for(types.slice(0, 2))("with the typ %s if JWT_REQUIRE_AT_JWT is on", async (typ) => {
    await expectAccepted(await issuer.sign({}, { header: { typ } }), reader.restart({ JWT_REQUIRE_AT_JWT: "true" }));
  });

  test.for(["web, mobile", "web mobile"])("for either of two audiences, JWT_AUDIENCE being %j", async (both) => {
    for (const aud of ["web", "mobile", ["other", "mobile"]]) {
      await expectAccepted(await issuer.sign({ aud }), reader.restart({ JWT_AUDIENCE: both }));
    }
  });

  test("at the edges of the longest JWT_LEEWAY_SECONDS", async () => {
    const token = await issuer.sign({ exp: NOW - 59.999, nbf: NOW + 60, iat: NOW + 60 });
    await expectAccepted(token, reader.restart({ JWT_LEEWAY_SECONDS: 60 }));
  });

  test("with a header that points to other keys, which are not fetched", async () => {
    const { url } = otherKeys;
    const header = { jku: url, x5u: url, jwk: rsa.jwk, x5c: ["MIIB"], x5t: "x", iss: url };
    await expectAccepted(await issuer.sign({}, { header }));
    await expectKeyAccepted(ec, { x5c: ["MIIB"], x5t: "x", x5u: url, issuer: url, ext: "?" });
    expect(await otherKeys.received()).toBe(0);
  });

  test.for<[string, Members]>([
    ["aud is a list of ours alone", { aud: [AUDIENCE] }],
    ["aud is a list with ours last", { aud: ["https://other.test", null, 1, { a: AUDIENCE }, AUDIENCE] }],
    ["exp passed a fraction less than the leeway ago", { exp: NOW - 9.999 }],
    ["exp is far", { exp: 1e15 }],
    ["nbf and iat are as far ahead as the leeway", { nbf: NOW + 10, iat: NOW + 10 }],
    ["iat and nbf are a fraction", { iat: NOW - 0.5, nbf: NOW - 0.25 }],
    ["nothing that could be left out", { iat: undefined, jti: undefined, client_id: undefined, scope: undefined }],
    ["the client's nonce is in an at+jwt", { nonce: "x" }],
    ["there are unknown claims", { "https://x.test/y": { z: [1] }, __proto__x: 1 }],
    ["there are groups that make it 8 KB long", { groups: "g".repeat(5_700) }],
  ])("whose claims say: %s", async ([, changes]) => {
    await expectAccepted(await issuer.sign(changes));
  });

  test.for<Members>([
    { typ: "Bearer" },
    { typ: "bearer", nonce: "x" },
    { typ: "at+jwt" },
    { typ: "JWT" },
    { token_use: "access" },
  ])("that is a plain JWT with the claims %j", async (changes) => {
    await expectAccepted(await issuer.sign(changes, { header: { typ: "JWT" } }));
  });

  const subjects = "../admins|..|%2e%2e|of/owner|Owner| owner |own%65r|_wner|%|own|owner#|__proto__".split("|");
  test.for(["s".repeat(255), "o'brien\" -- ;", "üñí 用户 👩‍💻", ...subjects])(
    "whose subject is %j, who reads the own runs and no others, cached or not",
    async (sub) => {
      const own = await insertRun({ owner_id: sub });
      const foreign = await insertRun({ status: "completed" });
      expect((await reader.read(foreign)).status).toBe(200);
      await reader.app.settle();
      const token = await issuer.sign({ sub });
      await expectAccepted(token, reader, own);
      for (const isolate of [reader, reader.restart()]) {
        expect((await isolate.read(foreign, { token })).status).toBe(404);
      }
    },
  );
});

describe("a token without a key id", () => {
  const header = { kid: undefined };

  test("is accepted by the only key that fits, with an id or without", async () => {
    await expectAccepted(await issuer.sign({}, { header }));
    await expectAccepted(await issuer.sign({}, { header, key: ed }));
    const other = await createReader({ keys: [republish(ec, { kid: undefined })] });
    await expectAccepted(await other.issuer.sign({}, { header }), other);
  });

  test("is accepted by any of the first four keys that fit, and by no other", async () => {
    const keys = await Promise.all(Array.from({ length: 5 }, () => makeKey("ES256")));
    const other = await createReader({ keys });
    for (const key of keys.slice(0, 4)) await expectAccepted(await other.issuer.sign({}, { header, key }), other);
    const token = await other.issuer.sign({}, { header, ...(keys[4] && { key: keys[4] }) });
    expectInvalidToken(await other.read(id, { token }), "bad_signature: unknown_key");
  });
});

test("a key serves next to keys that jose can't import, and to another under its id", async () => {
  const { kid } = ec.jwk;
  const twin = await makeKey("ES256", { kid });
  const neighbours = [
    { ...ec.jwk, crv: "secp256k1", alg: undefined },
    { ...ec.jwk, y: ec.jwk.x },
    { ...ec.jwk, crv: "P-384", alg: undefined },
    { ...ec.jwk, key_ops: "verify" },
  ];
  const other = await createReader();
  await other.issuer.publish([...neighbours, twin.jwk, ec.jwk, ed.jwk, rsa.jwk, ...neighbours]);
  for (const key of [ec, twin, ed, rsa]) await expectAccepted(await other.issuer.sign({}, { key }), other);
});
