// Which keys of a set are usable, where no token could show it: keys of these sizes are not made in a test's time.
import { describe, expect, test } from "vitest";
import { readSignatureKeys } from "../../src/auth/signature-key.ts";
import { toBase64url } from "./forge.ts";

/** An odd number of so many bits, in base64url, after so many zero bytes. */
function numberOf(bits: number, zeros = 0): string {
  const bytes = new Uint8Array(Math.ceil(bits / 8) + zeros);
  bytes[zeros] = 1 << ((bits - 1) % 8);
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) | 1;
  return toBase64url(bytes);
}

const isUsable = (n: string, e: string) => readSignatureKeys([{ kty: "RSA", n, e }], ["RS256"]).length === 1;

describe("an RSA key", () => {
  test.for([
    [1_024, false],
    [2_047, false],
    [2_048, true],
    [2_049, true],
    [4_096, true],
    [8_192, true],
    [8_193, false],
    [16_384, false],
  ] as const)("of %i bits is usable: %s", ([bits, usable]) => {
    expect(isUsable(numberOf(bits), "AQAB")).toBe(usable);
    expect(isUsable(numberOf(bits, 3), "AQAB")).toBe(usable);
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

  test.for(["", "AA", "!", "AQAB AQAB\u0000"])("with the modulus %j is not usable", (n) => {
    expect(isUsable(n, "AQAB")).toBe(false);
  });

  test("gives nothing but what the check needs", () => {
    const key = {
      kty: "RSA",
      n: numberOf(2_048),
      e: "AQAB",
      kid: "k",
      alg: "RS256",
      use: "sig",
      x5c: ["MIIB"],
      ext: 1,
    };
    expect(readSignatureKeys([key], ["PS256", "RS256"])).toEqual([
      { keyId: "k", algorithms: ["RS256"], jwk: { kty: "RSA", n: key.n, e: "AQAB" } },
    ]);
  });
});

test("a key has one algorithm, under each of its names", () => {
  const n = numberOf(2_048);
  const algorithms = ["PS256", "RS256", "EdDSA", "Ed25519"];
  const of = (key: object) => readSignatureKeys([key], algorithms).map((read) => read.algorithms);
  expect(of({ kty: "RSA", n, e: "AQAB" })).toEqual([["PS256"]]);
  expect(of({ kty: "RSA", n, e: "AQAB", alg: "RS256" })).toEqual([["RS256"]]);
  expect(of({ kty: "RSA", n, e: "AQAB", alg: "RS512" })).toEqual([]);
  expect(of({ kty: "OKP", crv: "Ed25519", x: "AAAA" })).toEqual([["EdDSA", "Ed25519"]]);
  expect(of({ kty: "OKP", crv: "Ed25519", x: "AAAA", alg: "ES256" })).toEqual([]);
  expect(of({ kty: "EC", crv: "P-256", x: "AAAA", y: "AAAA", alg: "ES384" })).toEqual([]);
});
