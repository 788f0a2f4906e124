// Which keys of a set are usable, as far as tokens can't show it: keys of these sizes take too long to generate in a test.
import { expect, test } from "vitest";
import { readKeySet } from "../../src/auth/json-web-key-set.ts";
import { toBase64url } from "../support/forged-token.ts";

/** An odd number of so many bits, in base64url. */
function numberOf(bits: number): string {
  const bytes = new Uint8Array(Math.ceil(bits / 8));
  bytes[0] = 1 << ((bits - 1) % 8);
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) | 1;
  return toBase64url(bytes);
}

/** The usable keys of a set with this one and a good one. */
function readAmong(key: unknown, algorithms: string[]) {
  const good = { kty: "RSA", n: numberOf(2_048), e: "AQAB", kid: "good", alg: algorithms[0] };
  return readKeySet(JSON.stringify({ keys: [key, good] }), algorithms).keys.filter(({ kid }) => kid !== "good");
}

const isUsable = (n: string, e: string) => readAmong({ kty: "RSA", n, e }, ["RS256"]).length === 1;

test("an RSA key is usable from 2,048 to 8,192 bits", () => {
  const usable = [1_024, 2_040, 2_048, 2_049, 4_096, 8_192, 8_200, 16_384].filter((bits) =>
    isUsable(numberOf(bits), "AQAB"),
  );
  expect(usable).toEqual([2_048, 2_049, 4_096, 8_192]);
  for (const n of ["!", "AQAB AQAB\u0000"]) expect(isUsable(n, "AQAB")).toBe(false);
});

test("an RSA key is usable with an odd exponent from 3 to 2^32", () => {
  const even = [[], [0], [2], [1, 0, 0]];
  const odd = [[1], [0, 0, 1], [3], [1, 0, 1], [0, 1, 0, 1], [255, 255, 255, 255], [1, 0, 0, 0, 1]];
  const isGood = (exponent: number[]) => isUsable(numberOf(2_048), toBase64url(Uint8Array.from(exponent)));
  expect([...even, ...odd].filter(isGood)).toEqual([[3], [1, 0, 1], [0, 1, 0, 1], [255, 255, 255, 255]]);
});

const coordinate = (bytes: number) => toBase64url(new Uint8Array(bytes));
/** Usable unless a member says otherwise. */
const EC = { kty: "EC", crv: "P-256", x: coordinate(32), y: coordinate(32) };
const ED = { kty: "OKP", crv: "Ed25519", x: coordinate(32) };

test("a key has one algorithm; an Ed25519 key under each of its names", () => {
  const n = numberOf(2_048);
  const of = (key: object) => readAmong(key, ["PS256", "RS256", "EdDSA", "ES256"]).map(({ alg }) => alg);
  expect(of({ kty: "RSA", n, e: "AQAB" })).toEqual(["PS256"]);
  expect(of({ kty: "RSA", n, e: "AQAB", alg: "RS256" })).toEqual(["RS256"]);
  expect(of({ kty: "RSA", n, e: "AQAB", alg: "RS512" })).toEqual([]);
  expect(of({ ...ED, alg: "EdDSA" })).toEqual([undefined]);
  expect(of({ ...ED, alg: "ES256" })).toEqual([]);
  expect(of({ ...ED, crv: "X25519" })).toEqual([]);
  expect(of({ ...EC, alg: "ES256" })).toEqual(["ES256"]);
  expect(of({ kty: "EC", crv: "P-384", x: coordinate(48), y: coordinate(48) })).toEqual([]);
  expect(of({ kty: "EC", crv: "P-384", x: coordinate(48), y: coordinate(48), alg: "ES384" })).toEqual([]);
});

const NO_KEYS = [null, 1, "x", [], {}, { kty: "RSA" }, { ...ED, kty: "oct", k: "AAAA" }, { ...ED, x: coordinate(24) }];
const UNFIT = [{ key_ops: ["sign"] }, { x: undefined }, { y: coordinate(24) }, { d: "AAAA" }, { d: null }, { kid: 1 }];
const CURVES = ["secp256k1", "P-521"].map((crv) => ({ crv }));
const ALGORITHMS = [256, "ES384", "RS256"].map((alg) => ({ alg }));
const USES = ["enc", "tls", "SIG", "", ["sig"], 1].map((use) => ({ use }));

test.each([...NO_KEYS, ...[...UNFIT, ...CURVES, ...ALGORITHMS, ...USES].map((members) => ({ ...EC, ...members }))])(
  "%j is skipped and spoils no other key",
  (key) => {
    expect(readAmong(key, ["RS256", "ES256"])).toEqual([]);
  },
);

/** As some issuers write them: without or with a leading zero byte, or padded. */
const SPELLINGS = [coordinate(31), coordinate(33), `${coordinate(32)}=`];

test.each([
  EC,
  ...SPELLINGS.map((x) => ({ ...EC, x })),
  { ...EC, use: "sig" },
  { ...EC, use: null },
  { ...EC, key_ops: null },
  { ...EC, key_ops: ["verify"], kid: "k" },
])("%j is usable, and what jose chooses by is kept", (key: object) => {
  const { use: _, key_ops: __, ...kept } = { use: "", key_ops: [""], ...key };
  expect(readAmong(key, ["RS256", "ES256"])).toEqual([kept]);
});

test.each(["null", "[]", `{"keys":{}}`, `{"keys":[]}`, `{"keys":[{"kty":"oct"}]}`, "x"])(
  "%s is not a usable key set",
  (text) => {
    expect(() => readKeySet(text, ["RS256"])).toThrow();
  },
);
