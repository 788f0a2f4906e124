// Which keys of a set are usable, where no token could show it: keys of these sizes are not made in a test's time.
import { describe, expect, test } from "vitest";
import { readKeySet } from "../../src/auth/json-web-key-set.ts";
import { toBase64url } from "./forge.ts";

/** An odd number of so many bits, in base64url, after so many zero bytes. */
function numberOf(bits: number, zeros = 0): string {
  const bytes = new Uint8Array(Math.ceil(bits / 8) + zeros);
  bytes[zeros] = 1 << ((bits - 1) % 8);
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) | 1;
  return toBase64url(bytes);
}

/** The keys of a set that holds this one and a good one. */
function readAmong(key: unknown, algorithms: string[]) {
  const good = { kty: "RSA", n: numberOf(2_048), e: "AQAB", kid: "good", alg: algorithms[0] };
  return readKeySet(JSON.stringify({ keys: [key, good] }), algorithms).keys.filter(({ kid }) => kid !== "good");
}

const isUsable = (n: string, e: string) => readAmong({ kty: "RSA", n, e }, ["RS256"]).length === 1;

describe("an RSA key", () => {
  test.for([
    [2_048, true],
    [2_049, true],
    [4_096, true],
    [8_192, true],
    [8_200, false],
    [16_384, false],
  ] as const)("of %i bits is usable: %s", ([bits, usable]) => {
    expect(isUsable(numberOf(bits), "AQAB")).toBe(usable);
  });

  test.for([
    [[], false],
    [[0], false],
    [[1], false],
    [[0, 0, 1], false],
    [[2], false],
    [[3], true],
    [[1, 0, 0], false],
    [[1, 0, 1], true],
    [[0, 1, 0, 1], true],
    [[1, 0, 0, 0, 1], false],
  ] as const)("with the exponent %j is usable: %s", ([exponent, usable]) => {
    expect(isUsable(numberOf(2_048), toBase64url(Uint8Array.from(exponent)))).toBe(usable);
  });

  test.for(["!", "AQAB AQAB\u0000"])("with the modulus %j is not usable", (n) => {
    expect(isUsable(n, "AQAB")).toBe(false);
  });
});

test("a key has one algorithm; an Ed25519 key under each of its names", () => {
  const n = numberOf(2_048);
  const of = (key: object) => readAmong(key, ["PS256", "RS256", "EdDSA", "ES256"]).map(({ alg }) => alg);
  expect(of({ kty: "RSA", n, e: "AQAB" })).toEqual(["PS256"]);
  expect(of({ kty: "RSA", n, e: "AQAB", alg: "RS256" })).toEqual(["RS256"]);
  expect(of({ kty: "RSA", n, e: "AQAB", alg: "RS512" })).toEqual([]);
  expect(of({ kty: "OKP", crv: "Ed25519", x: "AAAA", alg: "EdDSA" })).toEqual([undefined]);
  expect(of({ kty: "OKP", crv: "Ed25519", x: "AAAA", alg: "ES256" })).toEqual([]);
  expect(of({ kty: "OKP", crv: "X25519", x: "AAAA" })).toEqual([]);
  expect(of({ kty: "EC", crv: "P-384", x: "AAAA", y: "AAAA", alg: "ES384" })).toEqual([]);
});

test.each([null, 1, "x", [], {}, { kty: "oct", k: "AAAA" }, { kty: "EC", d: "AAAA" }, { kty: "EC", use: "enc" }])(
  "%j is passed over and spoils no other key",
  (key) => {
    expect(readAmong(key, ["RS256"])).toEqual([]);
  },
);

test.each(["null", "[]", `{"keys":{}}`, `{"keys":[]}`, `{"keys":[{"kty":"oct"}]}`, "x"])(
  "%s is no usable key set",
  (text) => {
    expect(() => readKeySet(text, ["RS256"])).toThrow();
  },
);
