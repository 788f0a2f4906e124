// Tokens that must get in: strictness that locks out who belongs would be a fault too.
import { afterAll, beforeAll, describe, expect, inject, test, vi } from "vitest";
import { SIGNATURE_ALGORITHMS } from "../../src/settings.ts";
import { type SigningKey, type TestIssuer, fetchToken, makeKey, openIssuer } from "../issuer.ts";
import { type Lane, openLane } from "../lane.ts";
import { insertRun } from "../rows.ts";
import { bearer, startWorker } from "../worker.ts";
import { forge, replaceSignature } from "./forge.ts";
import { expectInvalidToken, observe } from "./refusal.ts";

const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const NOW = Math.floor(Date.now() / 1_000);

let rsa: SigningKey;
let ec: SigningKey;
let ed: SigningKey;
let issuer: TestIssuer;
let lure: Lane;
let id: string;

beforeAll(async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: NOW * 1_000 });
  [rsa, ec, ed] = await Promise.all([makeKey("RS256"), makeKey("ES256"), makeKey("EdDSA")]);
  issuer = await openIssuer([ec, rsa, ed]);
  lure = await openLane({ text: `{"keys":[]}` });
  id = await insertRun({ owner_id: "owner" });
});

afterAll(() => {
  vi.useRealTimers();
});

async function expectIn(
  authorization: string,
  variables: Record<string, string> = issuer.variables,
  run: string = id,
): Promise<void> {
  const response = await startWorker(variables).fetch(`/api/crew-runs/${run}`, {
    headers: { authorization },
  });
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ id: run });
  expect(response.headers.get("server-timing")).toContain("auth;desc=verified");
}

describe("a real token gets in", () => {
  test.for(["owner", "admin"] as const)("%s's", async (user) => {
    vi.useRealTimers();
    await expectIn(`Bearer ${await fetchToken(user)}`, {});
    vi.useFakeTimers({ toFake: ["Date"], now: NOW * 1_000 });
  });
});

describe("a token signed by", () => {
  async function make(algorithm: string): Promise<SigningKey> {
    if (algorithm.startsWith("RS") || algorithm.startsWith("PS")) {
      return { ...republish(rsa, { alg: algorithm }), algorithm };
    }
    return makeKey(algorithm);
  }

  test.for(SIGNATURE_ALGORITHMS)("%s gets in", async (algorithm) => {
    const key = await make(algorithm);
    const other = await openIssuer([key]);
    const header = { alg: algorithm, typ: "at+jwt", kid: key.jwk.kid };
    const token = await forge(header, claimsOf(other), key, algorithm);
    await expectIn(`Bearer ${token}`, other.variables);
    await expectIn(`Bearer ${token}`, { ...other.variables, JWT_ALGORITHMS: algorithm });
  });

  test.for(["RS256", "ES256", "ES384", "ES512", "EdDSA"])(
    "%s gets in where the key does not say its algorithm",
    async (algorithm) => {
      const made = algorithm === "RS256" ? rsa : await makeKey(algorithm);
      const key = republish(made, { alg: undefined, use: undefined });
      const other = await openIssuer([key]);
      await expectIn(`Bearer ${await other.sign()}`, other.variables);
    },
  );

  test("PS256 gets in by a key that does not say, where PS256 is the first allowed", async () => {
    const key = republish(rsa, { alg: undefined });
    const other = await openIssuer([key]);
    const header = { alg: "PS256", typ: "at+jwt", kid: key.jwk.kid };
    const token = await forge(header, claimsOf(other), key, "PS256");
    await expectIn(`Bearer ${token}`, { ...other.variables, JWT_ALGORITHMS: "PS256 RS256" });
  });

  test.for([
    ["EdDSA", "Ed25519"],
    ["Ed25519", "EdDSA"],
    ["Ed25519", "Ed25519"],
  ] as const)("Ed25519 gets in, called %s by the key and %s by the token", async ([ofKey, ofToken]) => {
    const key = republish(ed, { alg: ofKey });
    const other = await openIssuer([key]);
    const header = { alg: ofToken, typ: "at+jwt", kid: key.jwk.kid };
    await expectIn(`Bearer ${await forge(header, claimsOf(other), key)}`, other.variables);
  });

  test("ECDSA gets in with either of its two signatures: both are of this message by this key", async () => {
    const token = await issuer.sign();
    const twin = replaceSignature(token, (signature) => {
      const s = P256_ORDER - BigInt(`0x${signature.subarray(32).toHex()}`);
      const low = Uint8Array.fromHex(s.toString(16).padStart(64, "0"));
      return [...signature.subarray(0, 32), ...low];
    });
    expect(twin).not.toBe(token);
    await expectIn(`Bearer ${token}`);
    await expectIn(`Bearer ${twin}`);
  });
});

/** The same key, published with other members; undefined removes one. */
const republish = (key: SigningKey, members: Record<string, unknown>): SigningKey => ({
  ...key,
  jwk: JSON.parse(JSON.stringify({ ...key.jwk, ...members })),
});

function claimsOf(other: TestIssuer): Record<string, unknown> {
  const aud = inject("stack").variables.JWT_AUDIENCE;
  return { iss: other.variables.JWT_ISSUER, aud, sub: "owner", iat: NOW, exp: NOW + 300 };
}

describe("the header gets in", () => {
  test.for(["bearer", "BEARER", "bEaReR", "Bearer ", "Bearer    "])("with the scheme %j", async (scheme) => {
    await expectIn(`${scheme} ${await issuer.sign()}`);
  });

  test("with white space around", async () => {
    await expectIn(`  Bearer ${await issuer.sign()} `);
  });
});

describe("the claims get in", () => {
  const aud = inject("stack").variables.JWT_AUDIENCE;
  test.for<[string, Record<string, unknown>]>([
    ["aud is a list of ours alone", { aud: [aud] }],
    ["aud is a list with ours last", { aud: ["https://other.test", "account", aud] }],
    ["aud is a list with ours and what is no text", { aud: [null, 1, { a: aud }, aud] }],
    ["exp passed less than the leeway ago", { exp: NOW - 9 }],
    ["exp passed a fraction less than the leeway ago", { exp: NOW - 9.999 }],
    ["exp is a fraction", { exp: NOW + 0.5 }],
    ["exp is far", { exp: 1e15 }],
    ["nbf is as far ahead as the leeway", { nbf: NOW + 10 }],
    ["iat is as far ahead as the leeway", { iat: NOW + 10 }],
    ["iat and nbf are a fraction", { iat: NOW - 0.5, nbf: NOW - 0.25 }],
    ["there is neither iat nor nbf", { iat: undefined, nbf: undefined }],
    ["there is no jti, client_id or scope", { jti: undefined, client_id: undefined, scope: undefined }],
    ["the client's nonce is in an at+jwt", { nonce: "x" }],
    ["there are claims that nobody knows", { "https://x.test/y": { z: [1] }, __proto__x: 1 }],
  ])("where %s", async ([, changes]) => {
    await expectIn(`Bearer ${await issuer.sign(changes)}`);
  });

  test.for<[string, Record<string, unknown>]>([
    ["typ is Bearer", { typ: "Bearer" }],
    ["typ is bearer, with a nonce", { typ: "bearer", nonce: "x" }],
    ["typ is at+jwt", { typ: "at+jwt" }],
    ["token_use is access", { token_use: "access" }],
  ])("of a plain JWT, where the claim %s", async ([, changes]) => {
    await expectIn(`Bearer ${await issuer.sign(changes, { header: { typ: "JWT" } })}`);
  });

  test("where one comes twice: the last counts (RFC 7519 §4)", async () => {
    const header = { alg: "ES256", typ: "at+jwt", kid: ec.jwk.kid };
    const text = JSON.stringify({ ...claimsOf(issuer), sub: "stranger" });
    await expectIn(`Bearer ${await forge(header, text.replace(/}$/, `,"sub":"owner"}`), ec)}`);
  });

  test.for([
    "s".repeat(255),
    "auth0|5f7c8ec7c33c6c004bbafe82",
    "o'brien\" -- ;",
    "üñí 用户 😀",
    " x ",
    "../admins",
    "..",
    "%2e%2e",
    "__proto__",
    "constructor",
  ])("where the subject is %j, who reads the own runs and no others", async (sub) => {
    const subject = `${sub}`;
    const [own, foreign] = await Promise.all([insertRun({ owner_id: subject }), insertRun()]);
    const token = await issuer.sign({ sub: subject });
    await expectIn(`Bearer ${token}`, issuer.variables, own);
    const worker = startWorker(issuer.variables);
    const response = await worker.fetch(`/api/crew-runs/${foreign}`, { headers: bearer(token) });
    expect(response.status).toBe(404);
  });
});

describe("the header's members get in", () => {
  test.for([
    "at+jwt",
    "AT+JWT",
    "application/at+jwt",
    "Application/AT+JWT",
    "JWT",
    "jwt",
    "application/jwt",
    undefined,
  ])("typ %s", async (typ) => {
    await expectIn(`Bearer ${await issuer.sign({}, { header: { typ } })}`);
  });

  test("that point to other keys, which are not looked at", async () => {
    const header = { jku: lure.url, x5u: lure.url, jwk: rsa.jwk, x5c: ["MIIB"], x5t: "x", iss: lure.url };
    await expectIn(`Bearer ${await issuer.sign({}, { header })}`);
    expect((await lure.counters()).received).toBe(0);
  });

  test("at+jwt where it is insisted on", async () => {
    await expectIn(`Bearer ${await issuer.sign()}`, { ...issuer.variables, JWT_REQUIRE_AT_JWT: "true" });
  });
});

describe("a token without a key id", () => {
  const header = { kid: undefined };

  test("gets in by the only key that fits", async () => {
    await expectIn(`Bearer ${await issuer.sign({}, { header })}`);
    await expectIn(`Bearer ${await issuer.sign({}, { header, key: ed })}`);
  });

  test("gets in by the key without an id", async () => {
    const key = republish(ec, { kid: undefined });
    const other = await openIssuer([key]);
    await expectIn(`Bearer ${await other.sign({}, { header })}`, other.variables);
  });

  test("gets in by any of the first four keys that fit, and no further one", async () => {
    const keys = await Promise.all(Array.from({ length: 5 }, () => makeKey("ES256")));
    const other = await openIssuer(keys);
    for (const [at, key] of keys.entries()) {
      const token = await other.sign({}, { header, key });
      if (at < 4) await expectIn(`Bearer ${token}`, other.variables);
      else {
        const fetchRun = () => startWorker(other.variables).fetch(`/api/crew-runs/${id}`, { headers: bearer(token) });
        expectInvalidToken(await observe(fetchRun), "bad_signature: unknown_key");
      }
    }
  });

  test("gets in by a new key as soon as the set may be fetched again", async () => {
    const [old, next] = await Promise.all([makeKey("ES256"), makeKey("ES256")]);
    const other = await openIssuer([old]);
    const worker = startWorker(other.variables);
    const read = async (key: SigningKey) => {
      const headers = bearer(await other.sign({}, { header, key }));
      return (await worker.fetch(`/api/crew-runs/${id}`, { headers })).status;
    };
    expect(await read(old)).toBe(200);
    await other.publish([next.jwk]);
    vi.setSystemTime(NOW * 1_000 + 11_000);
    expect(await read(next)).toBe(200);
    expect(await read(old)).toBe(401);
    vi.setSystemTime(NOW * 1_000);
  });
});

describe("a key gets its tokens in", () => {
  test("next to keys that are strange, broken or nothing at all", async () => {
    const { kid, ...anonymous } = ec.jwk;
    const neighbours = [
      null,
      1,
      "key",
      true,
      [],
      {},
      { kty: "RSA" },
      { kty: "EC", crv: "P-256" },
      { kty: "oct", k: "AAAA", kid, alg: "ES256" },
      { kty: "OKP", crv: "X25519", x: ed.jwk.x, kid },
      { kty: "OKP", crv: "Ed448", x: ed.jwk.x, kid },
      { kty: "AKP", alg: "ML-DSA-44", pub: "AAAA", kid },
      { kty: "EC", crv: "secp256k1", x: ec.jwk.x, y: ec.jwk.y, kid },
      { kty: "EC", crv: "__proto__", x: ec.jwk.x, y: ec.jwk.y, kid },
      { kty: "EC", crv: "P-256", x: ec.jwk.x, y: ec.jwk.x, kid, alg: "ES256" },
      { kty: "EC", crv: "P-256", x: "", y: "", kid },
      { kty: "EC", crv: "P-384", x: ec.jwk.x, y: ec.jwk.y, kid },
      { kty: "RSA", n: "AQAB", e: "AQAB", kid },
      { kty: "RSA", n: rsa.jwk.n, e: "AQ", kid },
      { kty: "RSA", n: rsa.jwk.n, e: "AA", kid },
      { kty: "RSA", n: rsa.jwk.n, e: "Ag", kid },
      { kty: "RSA", n: "!", e: "AQAB", kid },
      { kty: "RSA", n: "A".repeat(2_000), e: "AQAB", kid },
      { ...rsa.jwk, kid, use: "enc" },
      { ...rsa.jwk, kid, use: ["sig"] },
      { ...ec.jwk, key_ops: "verify" },
      { ...ec.jwk, key_ops: ["sign"] },
      { ...ec.jwk, alg: "ECDH-ES" },
      { ...ec.jwk, alg: 256 },
      { ...ec.jwk, kid: 7 },
      { ...anonymous, d: "AAAA" },
    ];
    const other = await openIssuer([ec, ed, rsa]);
    await other.publish([...neighbours, ec.jwk, ed.jwk, rsa.jwk, ...neighbours]);
    for (const key of [ec, ed, rsa]) {
      await expectIn(`Bearer ${await other.sign({}, { key })}`, other.variables);
    }
  });

  test("with certificates and members of others in it", async () => {
    const other = await openIssuer([ec]);
    await other.publish([{ ...ec.jwk, x5c: ["MIIB"], x5t: "x", x5u: lure.url, issuer: lure.url, ext: "?" }]);
    await expectIn(`Bearer ${await other.sign()}`, other.variables);
    expect((await lure.counters()).received).toBe(0);
  });

  test("with key_ops that say verify, and without use", async () => {
    const other = await openIssuer([ec]);
    await other.publish([{ ...ec.jwk, use: undefined, key_ops: ["verify"] }]);
    await expectIn(`Bearer ${await other.sign()}`, other.variables);
  });

  test("under an id that it shares with another key", async () => {
    const twin = await makeKey("ES256", { kid: ec.jwk.kid });
    const other = await openIssuer([twin, ec]);
    await expectIn(`Bearer ${await other.sign({}, { key: twin })}`, other.variables);
    await expectIn(`Bearer ${await other.sign({}, { key: ec })}`, other.variables);
  });
});
