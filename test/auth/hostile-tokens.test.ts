// Tokens that must not get in, by kind of attack. Each is refused with the right challenge, tells nothing, and costs no query;
// where no key is needed to tell, it costs no key fetch either. A run that a good token could read stands behind each.
import { type CryptoKey, exportJWK, exportSPKI, importJWK } from "jose";
import { afterAll, beforeAll, describe, expect, inject, test, vi } from "vitest";
import { type SigningKey, type TestIssuer, makeKey, openIssuer } from "../issuer.ts";
import { type Lane, openLane } from "../lane.ts";
import { insertRun } from "../rows.ts";
import { type Worker, bearer, startWorker } from "../worker.ts";
import {
  encode,
  forge,
  forgeHmac,
  fromBase64url,
  replacePart,
  replaceSignature,
  signText,
  toBase64url,
} from "./forge.ts";
import { expectInvalidToken, expectNoCredentials, expectNoLeak, observe } from "./refusal.ts";

const FORM = "malformed: not three base64url parts";
const NO_OBJECTS = "malformed: not JSON objects";
const ALGORITHM = "bad_signature: algorithm not allowed";
const SIGNATURE = "bad_signature: bad_signature";
const KEY = "bad_signature: unknown_key";
const KEY_ID = "malformed: kid is no short string";
const CRITICAL = "malformed: crit or b64";
const ENCRYPTED = "wrong_kind: encrypted or compressed";
const TYP = "wrong_kind: typ";

/** Order of P-256, and of the base point of edwards25519. */
const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
const ED25519_ORDER = 0x1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3edn;

/** Frozen, so that an edge is an edge. */
const NOW = Math.floor(Date.now() / 1_000);
const LEEWAY = 10;

let rsa: SigningKey;
let ec: SigningKey;
let ec384: SigningKey;
let ed: SigningKey;
/** Published, but not to be used for signatures. */
let strange: Record<"enc" | "wrap" | "small" | "leaked" | "numbered" | "nameless", SigningKey>;
let attacker: SigningKey;
let attackerRsa: SigningKey;
const shared = crypto.getRandomValues(new Uint8Array(32));

let issuer: TestIssuer;
/** Where headers of forged tokens point to. It serves the attacker's keys. */
let lure: Lane;
let database: Lane;
let unasked: Lane;
let worker: Worker;
/** Has no keys and finds none: what it refuses, it refuses without. */
let keyless: Worker;
let path: string;

beforeAll(async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: NOW * 1_000 });
  [rsa, ec, ec384, ed, attacker, attackerRsa] = await Promise.all([
    makeKey("RS256", { kid: "rsa" }),
    makeKey("ES256", { kid: "ec" }),
    makeKey("ES384", { kid: "ec384" }),
    makeKey("EdDSA", { kid: "ed" }),
    makeKey("ES256", { kid: "attacker" }),
    makeKey("RS256", { kid: "attacker" }),
  ]);
  strange = {
    enc: await makeKey("ES256", { kid: "enc", use: "enc" }),
    wrap: await makeKey("ES256", { kid: "wrap", use: undefined, key_ops: ["wrapKey"] }),
    small: await makeSmallKey(),
    leaked: await makeKey("ES256", { kid: "leaked" }),
    numbered: await makeKey("ES256", { kid: 7 }),
    nameless: await makeKey("EdDSA", { kid: undefined }),
  };
  strange.leaked.jwk = { ...strange.leaked.jwk, ...(await exportJWK(strange.leaked.privateKey)) };
  issuer = await openIssuer([]);
  const bare = { ...rsa.jwk, kid: "bare", alg: undefined };
  const oct = { kty: "oct", kid: "oct", alg: "HS256", k: toBase64url(shared) };
  const good = [rsa, ec, ec384, ed].map(({ jwk }) => jwk);
  await issuer.publish([...good, bare, oct, ...Object.values(strange).map(({ jwk }) => jwk)]);
  lure = await openLane({ text: JSON.stringify({ keys: [attacker.jwk, { ...attacker.jwk, kid: "ec" }] }) });
  database = await openLane(inject("stack").variables.NEON_FETCH_ENDPOINT);
  unasked = await openLane({ status: 500, text: "" });
  const variables = { ...issuer.variables, NEON_FETCH_ENDPOINT: database.url };
  worker = startWorker(variables);
  keyless = startWorker({ ...variables, JWKS_URL: unasked.url });
  path = `/api/crew-runs/${await insertRun({ owner_id: "owner" })}`;
});

afterAll(() => {
  vi.useRealTimers();
});

/** RSA of 1024 bits, which jose makes no more. */
async function makeSmallKey(): Promise<SigningKey> {
  const parameters = {
    name: "RSASSA-PKCS1-v1_5",
    hash: "SHA-256",
    modulusLength: 1024,
    publicExponent: new Uint8Array([1, 0, 1]),
  };
  const pair = await crypto.subtle.generateKey(parameters, true, ["sign", "verify"]);
  const { privateKey, publicKey } = pair as { privateKey: CryptoKey; publicKey: CryptoKey };
  const jwk = { ...(await exportJWK(publicKey)), kid: "small", alg: "RS256", use: "sig" };
  return { algorithm: "RS256", privateKey, jwk };
}

function claims(changes: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    iss: issuer.variables.JWT_ISSUER,
    aud: inject("stack").variables.JWT_AUDIENCE,
    sub: "owner",
    client_id: "hostile-client-9d1c7a52",
    iat: NOW,
    exp: NOW + 300,
    jti: "hostile-jti-5f0e8b61-03c4",
    scope: "crew-runs:read",
    ...changes,
  };
}

/** A good token but for the given changes. */
function seal(
  claimChanges: Record<string, unknown> = {},
  headerChanges: Record<string, unknown> = {},
  key: SigningKey = ec,
  algorithm: string = key.algorithm,
): Promise<string> {
  const header = { alg: algorithm, typ: "at+jwt", kid: key.jwk.kid, ...headerChanges };
  return forge(header, claims(claimChanges), key, algorithm);
}

/** As `seal`, signed by a key that the issuer never had. */
const impersonate = (headerChanges: Record<string, unknown>) => seal({}, headerChanges, attacker);

/** A good token whose payload is this text or these bytes. */
const sealPayload = (payload: string | Uint8Array) => forge(goodHeader(), payload, ec);

const goodHeader = () => ({ alg: "ES256", typ: "at+jwt", kid: "ec" });

type Case = readonly [title: string, why: string, make: () => string | Promise<string>];

function refuses(kind: string, cases: readonly Case[]): void {
  describe(kind, () => {
    test.for([...cases])("%s", async ([, why, make]) => {
      await expectRefused(await make(), why);
    });
  });
}

async function expectRefused(token: string, why: string): Promise<void> {
  const isToldByKey = why === SIGNATURE || why === KEY;
  const target = isToldByKey ? worker : keyless;
  const observed = await observe(() => target.fetch(path, { headers: bearer(token) }));
  expectInvalidToken(observed, why);
  expectNoLeak(observed, [token, ...token.split(".", 5).map(decodeLoosely), JSON.stringify(ec.jwk)]);
  expect((await database.counters()).received).toBe(0);
  if (!isToldByKey) expect((await unasked.counters()).received).toBe(0);
}

function decodeLoosely(part: string): string {
  try {
    return new TextDecoder().decode(fromBase64url(part));
  } catch {
    return "";
  }
}

const spki = async (key: SigningKey) => {
  const { alg, kty, crv, x, y, n, e } = key.jwk;
  const members = Object.entries({ kty, crv, x, y, n, e }).filter(([, value]) => value !== undefined);
  const publicKey = await importJWK(Object.fromEntries(members), alg, { extractable: true });
  return exportSPKI(publicKey as CryptoKey);
};
const utf8 = (text: string) => new TextEncoder().encode(text);
const der = async (key: SigningKey) => Uint8Array.fromBase64((await spki(key)).replaceAll(/-----[A-Z ]+-----|\s/g, ""));

/** A token with a right HMAC under a secret that everybody knows. */
const confuse = (secret: Uint8Array, kid: string, alg = "HS256") =>
  forgeHmac({ alg, typ: "at+jwt", kid } as { alg: string }, claims(), secret);

test("behind each of these stands a run that a good token reads", async () => {
  const fresh = startWorker(issuer.variables);
  for (const key of [rsa, ec, ec384, ed]) {
    const token = await seal({}, {}, key);
    expect((await fresh.fetch(path, { headers: bearer(token) })).status).toBe(200);
  }
});

const disallowed = [
  "none",
  "None",
  "NONE",
  "nOnE",
  "none ",
  " none",
  "",
  "rs256",
  "es256",
  "ES256 ",
  "ES256\u0000",
  "\uff25S256",
  "ES256K",
  "ES224",
  "RS1",
  "HS256",
  "Ed448",
  "EdDSA,ES256",
  "ML-DSA-44",
  "RSA-OAEP",
  "dir",
  "ECDH-ES",
  "PBES2-HS256+A128KW",
  "A128GCM",
  "toString",
  "constructor",
  "__proto__",
];

refuses("the algorithm", [
  ...disallowed.map((alg): Case => [
    `${JSON.stringify(alg)} in the header of a token that is signed well`,
    ALGORITHM,
    () => seal({}, { alg }),
  ]),
  ...["none", "None", "NONE"].map((alg): Case => [
    `${alg} and no signature`,
    FORM,
    () => `${encode({ alg, typ: "at+jwt" })}.${encode(claims())}.`,
  ]),
  ...[["ES256"], { ES256: 1 }, null, 256, true, undefined].map((alg): Case => [
    `${JSON.stringify(alg)} in place of a name`,
    ALGORITHM,
    () => seal({}, { alg }),
  ]),
  ["HS256 under the RSA key's PEM", ALGORITHM, async () => confuse(utf8(await spki(rsa)), "rsa")],
  [
    "HS256 under the RSA key's PEM with a line feed",
    ALGORITHM,
    async () => confuse(utf8(`${await spki(rsa)}\n`), "rsa"),
  ],
  ["HS256 under the RSA key's DER", ALGORITHM, async () => confuse(await der(rsa), "rsa")],
  ["HS384 under the RSA key's DER", ALGORITHM, async () => confuse(await der(rsa), "rsa", "HS384")],
  ["HS512 under the RSA key's DER", ALGORITHM, async () => confuse(await der(rsa), "rsa", "HS512")],
  ["HS256 under the RSA key's JWK", ALGORITHM, () => confuse(utf8(JSON.stringify(rsa.jwk)), "rsa")],
  ["HS256 under the RSA key's modulus", ALGORITHM, () => confuse(fromBase64url(rsa.jwk.n ?? ""), "rsa")],
  ["HS256 under the modulus' text", ALGORITHM, () => confuse(utf8(rsa.jwk.n ?? ""), "rsa")],
  ["HS256 under the EC key's PEM", ALGORITHM, async () => confuse(utf8(await spki(ec)), "ec")],
  ["HS256 under the EC key's DER", ALGORITHM, async () => confuse(await der(ec), "ec")],
  ["HS256 under the EC key's JWK", ALGORITHM, () => confuse(utf8(JSON.stringify(ec.jwk)), "ec")],
  [
    "HS256 under the EC key's point",
    ALGORITHM,
    () => confuse(Uint8Array.from([4, ...fromBase64url(ec.jwk.x ?? ""), ...fromBase64url(ec.jwk.y ?? "")]), "ec"),
  ],
  ["HS256 under the Ed25519 key", ALGORITHM, () => confuse(fromBase64url(ed.jwk.x ?? ""), "ed")],
  ["HS256 under no secret", ALGORITHM, () => confuse(new Uint8Array(0), "ec")],
  ["HS256 under a secret in the key set", ALGORITHM, () => confuse(shared, "oct")],
  ["ES256 with that secret's key id", KEY, () => seal({}, { kid: "oct" })],
  ["PS256 by a key that is for RS256", KEY, () => seal({}, {}, rsa, "PS256")],
  ["RS384 by a key that is for RS256", KEY, () => seal({}, {}, rsa, "RS384")],
  ["RS512 by a key that is for RS256", KEY, () => seal({}, {}, rsa, "RS512")],
  ["PS512 by a key that is for RS256", KEY, () => seal({}, {}, rsa, "PS512")],
  ["PS256 by a key that does not say what it is for", KEY, () => seal({}, { kid: "bare" }, rsa, "PS256")],
  ["RS256 said, PS256 done", SIGNATURE, () => seal({}, { alg: "RS256" }, rsa, "PS256")],
  ["RS256 said, RS512 done", SIGNATURE, () => seal({}, { alg: "RS256" }, rsa, "RS512")],
  ["PS256 said, RS256 done", KEY, () => seal({}, { alg: "PS256" }, rsa, "RS256")],
  ["ES384 with a P-256 key", KEY, () => seal({}, { alg: "ES384" }, ec, "ES384")],
  ["ES256 with a P-384 key", KEY, () => seal({}, { alg: "ES256" }, ec384, "ES256")],
  ["ES256 over another hash", SIGNATURE, () => seal({}, { alg: "ES256" }, ec, "ES384")],
  ["RS256 with the EC key's id", KEY, () => seal({}, { alg: "RS256" }, ec)],
  ["EdDSA with the EC key's id", KEY, () => seal({}, { alg: "EdDSA" }, ec)],
  ["ES256 with the Ed25519 key's id", KEY, () => seal({}, { alg: "ES256" }, ed)],
]);

const strangeKeyIds = [
  "../../../../dev/null",
  "/dev/null",
  "file:///etc/passwd",
  "' OR '1'='1",
  "x' UNION SELECT 'key",
  "ec\u0000",
  "ec ",
  "EC",
  "e",
  "ec384/../ec",
  "$(id)",
  "{{7*7}}",
  "",
  "__proto__",
  "constructor",
  "toString",
  "0",
  "k".repeat(512),
];

/** The members of a header that name or hold a key. */
const certificate = "MIIBszCCARwCCQDUMMYKEYMAKEYMAKEYMAKEYMAKEYMAKEYMAKEYMAKEYMAKEYMA";
const smuggled: readonly [string, () => Record<string, unknown>][] = [
  ["jwk", () => ({ jwk: attacker.jwk })],
  ["jwk that claims the issuer's key id", () => ({ jwk: { ...attacker.jwk, kid: "ec" } })],
  ["jku", () => ({ jku: lure.url })],
  ["jku with the issuer's address as its user", () => ({ jku: lure.url.replace("//", "//issuer.test@") })],
  ["x5u", () => ({ x5u: lure.url })],
  ["x5c", () => ({ x5c: [certificate] })],
  ["x5t", () => ({ x5t: "c2lnbmVkLWJ5LW5vYm9keQ", "x5t#S256": "c2lnbmVkLWJ5LW5vYm9keQ" })],
  ["iss and jwks_uri", () => ({ iss: lure.url, jwks_uri: lure.url })],
  ["all of them", () => ({ jwk: attacker.jwk, jku: lure.url, x5u: lure.url, x5c: [certificate] })],
];

refuses("a key that the token brings along", [
  ...smuggled.flatMap(([member, make]): Case[] => [
    [`${member}, under the issuer's key id`, SIGNATURE, () => impersonate({ ...make(), kid: "ec" })],
    [`${member}, under a key id of its own`, KEY, () => impersonate(make())],
    [`${member}, without a key id`, KEY, () => impersonate({ ...make(), kid: undefined })],
  ]),
  ["only the issuer's key id", SIGNATURE, () => impersonate({ kid: "ec" })],
  ["an RSA key and the issuer's key id", SIGNATURE, () => seal({}, { kid: "rsa" }, attackerRsa)],
  ["the key's address as its id", KEY, () => impersonate({ kid: lure.url })],
  ...strangeKeyIds.map((kid): Case => [
    `the key id ${JSON.stringify(kid.slice(0, 24))}`,
    KEY,
    () => impersonate({ kid }),
  ]),
  ...[["ec"], { ec: 1 }, 0, null, true, "k".repeat(513), "k".repeat(5_000)].map((kid): Case => [
    `the key id ${(JSON.stringify(kid) ?? "").slice(0, 24)}, no short string`,
    KEY_ID,
    () => seal({}, { kid }),
  ]),
]);

refuses("a key of the set that is not for this", [
  ["another one of the issuer's", KEY, () => seal({}, { kid: "rsa" })],
  ["another one of the same kind of curve", KEY, () => seal({}, { kid: "ec384" })],
  ["a key for encryption", KEY, () => seal({}, {}, strange.enc)],
  ["a key for wrapping keys", KEY, () => seal({}, {}, strange.wrap)],
  ["an RSA key of 1024 bits", SIGNATURE, () => seal({}, {}, strange.small)],
  ["a key published with its private part", KEY, () => seal({}, {}, strange.leaked)],
  ["the key for encryption, without its id", KEY, () => seal({}, { kid: undefined }, strange.enc)],
  ["a key with a number for an id", KEY, () => seal({}, { kid: undefined }, strange.numbered)],
  ["a key with a number for an id, as a text", KEY, () => seal({}, { kid: "7" }, strange.numbered)],
  ["a key without an id, given one", KEY, () => seal({}, { kid: "nameless" }, strange.nameless)],
  ["the private one, without its id", KEY, () => seal({}, { kid: undefined }, strange.leaked)],
]);

test("no address in a header was ever followed", async () => {
  expect((await lure.counters()).received).toBe(0);
});

const toNumber = (bytes: Uint8Array) => BigInt(`0x${bytes.toHex()}`);
const toBytes = (value: bigint, length: number) => Uint8Array.fromHex(value.toString(16).padStart(length * 2, "0"));
const zeros = (length: number) => new Uint8Array(length);

function toDer(signature: Uint8Array): number[] {
  const integers = [signature.subarray(0, 32), signature.subarray(32)].map((bytes) => {
    const positive = (bytes[0] ?? 0) > 127 ? [0, ...bytes] : [...bytes];
    return [2, positive.length, ...positive];
  });
  const body = integers.flat();
  return [48, body.length, ...body];
}

/** The text with its last character moved to another that decodes to the same bytes. */
function spoilTrailingBits(part: string): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return part.slice(0, -1) + (alphabet[alphabet.indexOf(part.at(-1) ?? "") + 1] ?? "");
}

const changed = async (index: 0 | 1 | 2, change: (part: string) => string, key = ec) =>
  replacePart(await seal({}, {}, key), index, change);
const resigned = async (change: (signature: Uint8Array<ArrayBuffer>) => Uint8Array | readonly number[], key = ec) =>
  replaceSignature(await seal({}, {}, key), change);

refuses("the signature", [
  ["in DER", SIGNATURE, () => resigned(toDer)],
  ["all zero", SIGNATURE, () => resigned(() => zeros(64))],
  ["all ones", SIGNATURE, () => resigned(() => zeros(64).fill(255))],
  ["with r = 0", SIGNATURE, () => resigned((s) => [...zeros(32), ...s.subarray(32)])],
  ["with s = 0", SIGNATURE, () => resigned((s) => [...s.subarray(0, 32), ...zeros(32)])],
  ["with r = s = 1", SIGNATURE, () => resigned(() => [...toBytes(1n, 32), ...toBytes(1n, 32)])],
  ["with r = n", SIGNATURE, () => resigned((s) => [...toBytes(P256_ORDER, 32), ...s.subarray(32)])],
  ["with s = n", SIGNATURE, () => resigned((s) => [...s.subarray(0, 32), ...toBytes(P256_ORDER, 32)])],
  ["with r = s = n", SIGNATURE, () => resigned(() => [...toBytes(P256_ORDER, 32), ...toBytes(P256_ORDER, 32)])],
  ["with r and s swapped", SIGNATURE, () => resigned((s) => [...s.subarray(32), ...s.subarray(0, 32)])],
  ["with zeros before r and s", SIGNATURE, () => resigned((s) => [0, ...s.subarray(0, 32), 0, ...s.subarray(32)])],
  ["a byte short at its end", SIGNATURE, () => resigned((s) => s.subarray(0, -1))],
  ["a byte short at its start", SIGNATURE, () => resigned((s) => s.subarray(1))],
  ["a byte long at its end", SIGNATURE, () => resigned((s) => [...s, 0])],
  ["a byte long at its start", SIGNATURE, () => resigned((s) => [0, ...s])],
  ["half of it", SIGNATURE, () => resigned((s) => s.subarray(0, 32))],
  ["twice", SIGNATURE, () => resigned((s) => [...s, ...s])],
  ["one byte", SIGNATURE, () => resigned(() => [0])],
  ["empty", FORM, () => changed(2, () => "")],
  ["with one bit turned", SIGNATURE, () => resigned((s) => s.map((byte, at) => (at === 40 ? byte ^ 1 : byte)))],
  ["of RSA, all zero", SIGNATURE, () => resigned(() => zeros(256), rsa)],
  ["of RSA, one", SIGNATURE, () => resigned(() => toBytes(1n, 256), rsa)],
  ["of RSA, the modulus", SIGNATURE, () => resigned(() => fromBase64url(rsa.jwk.n ?? ""), rsa)],
  [
    "of RSA, the modulus less one",
    SIGNATURE,
    () => resigned(() => toBytes(toNumber(fromBase64url(rsa.jwk.n ?? "")) - 1n, 256), rsa),
  ],
  ["of RSA, a zero longer", SIGNATURE, () => resigned((s) => [0, ...s], rsa)],
  ["of RSA, a byte short", SIGNATURE, () => resigned((s) => s.subarray(0, -1), rsa)],
  [
    "of RSA, the modulus added",
    SIGNATURE,
    () => resigned((s) => toBytes(toNumber(s) + toNumber(fromBase64url(rsa.jwk.n ?? "")), 257), rsa),
  ],
  ["of Ed25519, all zero", SIGNATURE, () => resigned(() => zeros(64), ed)],
  [
    "of Ed25519, the order added to S",
    SIGNATURE,
    () =>
      resigned((s) => {
        const scalar = toNumber(s.slice(32).toReversed()) + ED25519_ORDER;
        return [...s.subarray(0, 32), ...toBytes(scalar, 32).toReversed()];
      }, ed),
  ],
  [
    "of another token",
    SIGNATURE,
    async () => {
      const other = (await seal({ jti: "another" })).split(".")[2] ?? "";
      return changed(2, () => other);
    },
  ],
  [
    "over the payload alone",
    SIGNATURE,
    async () => {
      const signature = toBase64url(await signText(encode(claims()), ec, "ES256"));
      return changed(2, () => signature);
    },
  ],
  [
    "over the decoded texts",
    SIGNATURE,
    async () => {
      const text = `${JSON.stringify(goodHeader())}.${JSON.stringify(claims())}`;
      const signature = toBase64url(await signText(text, ec, "ES256"));
      return changed(2, () => signature);
    },
  ],
  ["of a payload with another subject", SIGNATURE, () => changed(1, () => encode(claims({ sub: "admin" })))],
  ["of a payload with more rights", SIGNATURE, () => changed(1, () => encode(claims({ scope: "crew-runs:admin" })))],
  ["of a payload with a space more", SIGNATURE, () => changed(1, () => encode(` ${JSON.stringify(claims())}`))],
  ["of a header with another typ", SIGNATURE, () => changed(0, () => encode({ ...goodHeader(), typ: "JWT" }))],
  [
    "of a header in another order",
    SIGNATURE,
    () => changed(0, () => encode({ kid: "ec", typ: "at+jwt", alg: "ES256" })),
  ],
  ["of a header with another key id", KEY, () => changed(0, () => encode({ ...goodHeader(), kid: "ed" }))],
]);

refuses("the encoding", [
  ...([0, 1, 2] as const).flatMap((index): Case[] => {
    const part = ["header", "payload", "signature"][index];
    return [
      [`= after the ${part}`, FORM, () => changed(index, (text) => `${text}=`)],
      [`== after the ${part}`, FORM, () => changed(index, (text) => `${text}==`)],
      [`a space in the ${part}`, FORM, () => changed(index, (text) => `${text.slice(0, 8)} ${text.slice(8)}`)],
      [`a tab in the ${part}`, FORM, () => changed(index, (text) => `${text.slice(0, 8)}\t${text.slice(8)}`)],
      [`% in the ${part}`, FORM, () => changed(index, (text) => `${text.slice(0, 8)}%2D${text.slice(8)}`)],
      [`a foreign letter in the ${part}`, FORM, () => changed(index, (text) => `${text}\u00e9`)],
      [`base64's own letters in the ${part}`, FORM, () => changed(index, (text) => `${text.slice(0, -4)}+/+/`)],
      [
        `a length that no bytes have in the ${part}`,
        FORM,
        () => changed(index, (text) => text.padEnd(Math.ceil(text.length / 4) * 4 + 1, "A")),
      ],
    ];
  }),
  ["trailing bits in the signature", FORM, () => changed(2, spoilTrailingBits)],
  ...[1, 2].map((rest): Case => [
    `trailing bits in a payload of ${rest} bytes more than a multiple of three`,
    FORM,
    async () => {
      const { length } = JSON.stringify(claims({ pad: "" }));
      const pad = "x".repeat((3 + rest - (length % 3)) % 3);
      return replacePart(await seal({ pad }), 1, spoilTrailingBits);
    },
  ]),
  [
    "the standard alphabet, throughout",
    FORM,
    async () => (await seal({}, { pad: "???>>>" })).replaceAll("-", "+").replaceAll("_", "/").replace(".", ".+"),
  ],
]);

const partsOf = async () => (await seal()).split(".") as [string, string, string];

refuses("the structure", [
  ["one part", FORM, async () => (await partsOf())[1]],
  ["two parts", FORM, async () => (await partsOf()).slice(0, 2).join(".")],
  ["four parts", FORM, async () => `${await seal()}.AAAA`],
  ["a dot at the end", FORM, async () => `${await seal()}.`],
  ["a dot at the start", FORM, async () => `.${await seal()}`],
  ["no header", FORM, async () => `.${(await partsOf()).slice(1).join(".")}`],
  ["no payload", FORM, () => changed(1, () => "")],
  ["only dots", FORM, () => ".."],
  ["an empty text", FORM, () => `""`],
  ["a word", FORM, () => "undefined"],
  ["an encrypted token of five parts", FORM, () => `${encode({ alg: "dir", enc: "A256GCM" })}..AAAA.AAAA.AAAA`],
  [
    "the flattened JSON form",
    FORM,
    async () => {
      const [header, payload, signature] = await partsOf();
      return JSON.stringify({ protected: header, payload, signature });
    },
  ],
  [
    "the general JSON form",
    FORM,
    async () => {
      const [header, payload, signature] = await partsOf();
      return JSON.stringify({ payload, signatures: [{ protected: header, signature }] });
    },
  ],
  ["the whole token encoded once more", FORM, async () => encode(await seal())],
  ["in quotes", FORM, async () => `"${await seal()}"`],
  ["two tokens", FORM, async () => `${await seal()} ${await seal()}`],
  ["a token and a comma", FORM, async () => `${await seal()},`],
  ["a token and another parameter", FORM, async () => `${await seal()}, realm="x"`],
  ["a token as a parameter", FORM, async () => `token="${await seal()}"`],
  ["a selective disclosure after it", FORM, async () => `${await seal()}~WyJzYWx0Il0~`],
  ["nested, as cty says", "wrong_kind: nested", () => seal({}, { cty: "JWT" })],
  ["nested, as its payload shows", NO_OBJECTS, async () => forge(goodHeader(), await seal(), ec)],
  ["any cty", "wrong_kind: nested", () => seal({}, { cty: "" })],
  ["unencoded payload, critical", CRITICAL, () => seal({}, { b64: false, crit: ["b64"] })],
  ["unencoded payload, not critical", CRITICAL, () => seal({}, { b64: false })],
  ["encoded payload, said so", CRITICAL, () => seal({}, { b64: true, crit: ["b64"] })],
  ["a critical extension", CRITICAL, () => seal({}, { crit: ["http://example.com/x"], "http://example.com/x": 1 })],
  ["a critical member that everybody knows", CRITICAL, () => seal({}, { crit: ["alg"] })],
  ["a critical extension that is not there", CRITICAL, () => seal({}, { crit: ["exp"] })],
  ["nothing critical", CRITICAL, () => seal({}, { crit: [] })],
  ["crit that is no list", CRITICAL, () => seal({}, { crit: "b64" })],
  ["crit that is null", CRITICAL, () => seal({}, { crit: null })],
  ["compression", ENCRYPTED, () => seal({}, { zip: "DEF" })],
  ["encryption", ENCRYPTED, () => seal({}, { enc: "A128GCM" })],
  ...[
    "[]",
    "null",
    `"text"`,
    "1",
    "true",
    "",
    " ",
    "{",
    "{}x",
    "{'alg':'ES256'}",
    `{"alg":"ES256",}`,
    "undefined",
  ].flatMap((text): Case[] => [
    [`the header ${text || "nothing"}`, text === "" ? FORM : NO_OBJECTS, () => forge(text, claims(), ec)],
    [`the payload ${text || "nothing"}`, text === "" ? FORM : NO_OBJECTS, () => sealPayload(text)],
  ]),
  ["a list of one good header", NO_OBJECTS, () => forge([goodHeader()], claims(), ec)],
  ["a list of one good payload", NO_OBJECTS, () => forge(goodHeader(), [claims()], ec)],
  [
    "a byte order mark before the header",
    NO_OBJECTS,
    () => forge(`\ufeff${JSON.stringify(goodHeader())}`, claims(), ec),
  ],
  ["a byte order mark before the payload", NO_OBJECTS, () => sealPayload(`\ufeff${JSON.stringify(claims())}`)],
  [
    "a header that is no UTF-8",
    NO_OBJECTS,
    () =>
      forge(
        Uint8Array.from([...utf8(JSON.stringify({ ...goodHeader(), x: "_" }).replace("_", "")), 0xff]),
        claims(),
        ec,
      ),
  ],
  [
    "a subject that is no UTF-8",
    NO_OBJECTS,
    () => {
      const [before = "", after = ""] = JSON.stringify(claims({ sub: "owner\u0001" })).split("\\u0001");
      return sealPayload(Uint8Array.from([...utf8(before), 0xc3, 0x28, ...utf8(after)]));
    },
  ],
  [
    "an overlong encoding",
    NO_OBJECTS,
    () => {
      const [before = "", after = ""] = JSON.stringify(claims({ sub: "owner\u0001" })).split("\\u0001");
      return sealPayload(Uint8Array.from([...utf8(before), 0xc0, 0xaf, ...utf8(after)]));
    },
  ],
  [
    "UTF-16",
    NO_OBJECTS,
    () => {
      const text = JSON.stringify(claims());
      return sealPayload(Uint8Array.from([...text].flatMap((letter) => [letter.charCodeAt(0), 0])));
    },
  ],
  ["nested beyond reason", "wrong_issuer: iss", () => sealPayload(`{"a":${"[".repeat(2_500)}${"]".repeat(2_500)}}`)],
  [
    "alg twice, the last is none",
    ALGORITHM,
    () => forge(`{"alg":"ES256","typ":"at+jwt","kid":"ec","alg":"none"}`, claims(), ec),
  ],
  [
    "iss twice, the last is another",
    "wrong_issuer: iss",
    () => sealPayload(JSON.stringify(claims()).replace(/}$/, `,"iss":"https://evil.test"}`)),
  ],
  [
    "aud twice, the last is another",
    "wrong_audience: aud",
    () => sealPayload(JSON.stringify(claims()).replace(/}$/, `,"aud":"https://evil.test"}`)),
  ],
  [
    "exp twice, the last is past",
    "expired: exp",
    () => sealPayload(JSON.stringify(claims()).replace(/}$/, `,"exp":1}`)),
  ],
  ["a header in __proto__", ALGORITHM, () => forge(`{"__proto__":${JSON.stringify(goodHeader())}}`, claims(), ec)],
  ["claims in __proto__", "wrong_issuer: iss", () => sealPayload(`{"__proto__":${JSON.stringify(claims())}}`)],
  [
    "claims in constructor.prototype",
    "wrong_issuer: iss",
    () => sealPayload(`{"constructor":{"prototype":${JSON.stringify(claims())}}}`),
  ],
  ["claims in the header", "wrong_issuer: iss", () => forge({ ...goodHeader(), ...claims() }, {}, ec)],
  ["claims in a claim", "wrong_issuer: iss", () => forge(goodHeader(), { claims: claims(), payload: claims() }, ec)],
]);

const foreignTypes = [
  "logout+jwt",
  "application/logout+jwt",
  "secevent+jwt",
  "dpop+jwt",
  "oauth-authz-req+jwt",
  "token-introspection+jwt",
  "entity-statement+jwt",
  "client-authentication+jwt",
  "dc+sd-jwt",
  "id+jwt",
  "id_token",
  "rt+jwt",
  "JOSE",
  "JOSE+JSON",
  "JWE",
  "JWS",
  "",
  " JWT",
  "JWT ",
  "at+jwt ",
  "at+jwt\n",
  "at+jwt;v=1",
  "text/at+jwt",
  "application/application/at+jwt",
  "at jwt",
  "atjwt",
  "at+jwt,JWT",
  "xat+jwt",
];

const oddTypes = [...foreignTypes, ["at+jwt"], { typ: "JWT" }, null, 1, true];

refuses(
  "the kind in typ",
  oddTypes.map((typ): Case => [JSON.stringify(typ), TYP, () => seal({}, { typ })]),
);

refuses("the marks of another kind of token", [
  ["an ID token's at_hash", "wrong_kind: at_hash", () => seal({ at_hash: "x" }, { typ: "JWT" })],
  ["an ID token's c_hash", "wrong_kind: c_hash", () => seal({ c_hash: "x" }, { typ: undefined })],
  ["an ID token's s_hash", "wrong_kind: s_hash", () => seal({ s_hash: "x" }, { typ: undefined })],
  ["an ID token's nonce", "wrong_kind: nonce", () => seal({ nonce: "x" }, { typ: "JWT" })],
  ["an ID token's typ claim", "wrong_kind: typ claim", () => seal({ typ: "ID" }, { typ: "JWT" })],
  ["a refresh token's typ claim", "wrong_kind: typ claim", () => seal({ typ: "Refresh" }, { typ: "JWT" })],
  ["an offline token's typ claim", "wrong_kind: typ claim", () => seal({ typ: "Offline" }, { typ: "JWT" })],
  ["a logout token's typ claim", "wrong_kind: typ claim", () => seal({ typ: "Logout" }, { typ: "JWT" })],
  ["a proof-bound token's typ claim", "wrong_kind: typ claim", () => seal({ typ: "DPoP" }, { typ: "JWT" })],
  ["a typ claim that is no text", "wrong_kind: typ claim", () => seal({ typ: ["Bearer"] }, { typ: "JWT" })],
  ["an ID token's token_use", "wrong_kind: token_use", () => seal({ token_use: "id" }, { typ: undefined })],
  ["a token_use that is no text", "wrong_kind: token_use", () => seal({ token_use: ["access"] }, { typ: undefined })],
  [
    "a logout token's events",
    "wrong_kind: events",
    () => seal({ events: { "http://schemas.openid.net/event/backchannel-logout": {} } }, { typ: "JWT" }),
  ],
  ["bound to a key by thumbprint", "wrong_kind: sender-constrained", () => seal({ cnf: { jkt: "x" } })],
  ["bound to a certificate", "wrong_kind: sender-constrained", () => seal({ cnf: { "x5t#S256": "x" } })],
  ["bound to nothing yet", "wrong_kind: sender-constrained", () => seal({ cnf: null })],
  ["bound, in a plain JWT", "wrong_kind: sender-constrained", () => seal({ cnf: { jkt: "x" } }, { typ: "JWT" })],
]);

const ISS = "wrong_issuer: iss";
const AUD = "wrong_audience: aud";
const SUB = "no_subject: sub";
const iss = () => issuer.variables.JWT_ISSUER;
const aud = () => inject("stack").variables.JWT_AUDIENCE;

refuses("the issuer", [
  ["missing", ISS, () => seal({ iss: undefined })],
  ["another", ISS, () => seal({ iss: "https://evil.test" })],
  ["with a slash more", ISS, () => seal({ iss: `${iss()}/` })],
  ["with a letter less", ISS, () => seal({ iss: iss().slice(0, -1) })],
  ["with a path more", ISS, () => seal({ iss: `${iss()}/x` })],
  ["in upper case", ISS, () => seal({ iss: iss().toUpperCase() })],
  ["by another scheme", ISS, () => seal({ iss: iss().replace("https:", "http:") })],
  ["with the port spelled out", ISS, () => seal({ iss: iss().replace("issuer.test", "issuer.test:443") })],
  ["with a space around", ISS, () => seal({ iss: ` ${iss()}` })],
  ["on a host that starts alike", ISS, () => seal({ iss: iss().replace("issuer.test", "issuer.test.evil.test") })],
  ["in a list", ISS, () => seal({ iss: [iss()] })],
  ["as an object", ISS, () => seal({ iss: { url: iss() } })],
  ["null", ISS, () => seal({ iss: null })],
  ["empty", ISS, () => seal({ iss: "" })],
]);

refuses("the audience", [
  ["missing", AUD, () => seal({ aud: undefined })],
  ["another", AUD, () => seal({ aud: "https://evil.test" })],
  ["that starts with ours", AUD, () => seal({ aud: `${aud()}.evil.test` })],
  ["that ours starts with", AUD, () => seal({ aud: aud().slice(0, -1) })],
  ["with a slash more", AUD, () => seal({ aud: `${aud()}/` })],
  ["in upper case", AUD, () => seal({ aud: aud().toUpperCase() })],
  ["ours among the words of a text", AUD, () => seal({ aud: `https://evil.test ${aud()}` })],
  ["a list without ours", AUD, () => seal({ aud: ["https://evil.test", "account"] })],
  ["an empty list", AUD, () => seal({ aud: [] })],
  ["ours in a list in a list", AUD, () => seal({ aud: [[aud()]] })],
  ["ours as a name in an object", AUD, () => seal({ aud: { [aud()]: true } })],
  ["ours as a list-like object", AUD, () => seal({ aud: { "0": aud(), length: 1 } })],
  ["empty", AUD, () => seal({ aud: "" })],
  ["null", AUD, () => seal({ aud: null })],
  ["a number", AUD, () => seal({ aud: 0 })],
  ["true", AUD, () => seal({ aud: true })],
  ["ours in another claim", AUD, () => seal({ aud: undefined, azp: aud(), client_id: aud(), resource: aud() })],
]);

const EXP_TYPE = "malformed: exp is no number";
const notNumbers: readonly [string, string][] = [
  ["a text", `"${NOW + 300}"`],
  ["a date", `"2099-01-01T00:00:00Z"`],
  ["a list", `[${NOW + 300}]`],
  ["an object", `{"value":${NOW + 300}}`],
  ["true", "true"],
  ["null", "null"],
  ["more than a number holds", "1e400"],
];
const withTime = (claim: string, text: string) =>
  sealPayload(JSON.stringify(claims({ [claim]: "TIME" })).replace(`"TIME"`, text));

refuses("the times", [
  ["no exp", EXP_TYPE, () => seal({ exp: undefined })],
  ...notNumbers.map(([what, text]): Case => [`exp is ${what}`, EXP_TYPE, () => withTime("exp", text)]),
  ...(["nbf", "iat"] as const).flatMap((claim) =>
    notNumbers.map(([what, text]): Case => [
      `${claim} is ${what}`,
      `malformed: ${claim} is no number`,
      () => withTime(claim, text),
    ]),
  ),
  ["exp is the edge of the leeway", "expired: exp", () => seal({ exp: NOW - LEEWAY })],
  ["exp is the edge of the leeway, in a fraction", "expired: exp", () => seal({ exp: NOW - LEEWAY - 0.001 })],
  ["exp is long past", "expired: exp", () => seal({ exp: 1 })],
  ["exp is zero", "expired: exp", () => seal({ exp: 0 })],
  ["exp is before the epoch", "expired: exp", () => seal({ exp: -NOW })],
  ["exp is less than a number holds", EXP_TYPE, () => withTime("exp", "-1e400")],
  ["nbf is beyond the leeway", "not_yet_valid: nbf", () => seal({ nbf: NOW + LEEWAY + 1 })],
  ["nbf is beyond the leeway by a fraction", "not_yet_valid: nbf", () => seal({ nbf: NOW + LEEWAY + 0.001 })],
  ["nbf is in milliseconds", "not_yet_valid: nbf", () => seal({ nbf: NOW * 1_000 })],
  ["iat is beyond the leeway", "not_yet_valid: iat", () => seal({ iat: NOW + LEEWAY + 1 })],
  ["iat is after exp", "not_yet_valid: iat", () => seal({ iat: NOW + 400 })],
]);

refuses("the subject", [
  ["missing", SUB, () => seal({ sub: undefined })],
  ["empty", SUB, () => seal({ sub: "" })],
  ["null", SUB, () => seal({ sub: null })],
  ["a number", SUB, () => seal({ sub: 42 })],
  ["true", SUB, () => seal({ sub: true })],
  ["a list", SUB, () => seal({ sub: ["owner"] })],
  ["an object", SUB, () => seal({ sub: { id: "owner" } })],
  ["of 256 characters", SUB, () => seal({ sub: "o".repeat(256) })],
  ["with a NUL", SUB, () => seal({ sub: "owner\u0000" })],
  ["with a line feed", SUB, () => seal({ sub: "owner\n" })],
  ["with an escape", SUB, () => seal({ sub: "\u001b[2Jowner" })],
  ["with a delete", SUB, () => seal({ sub: "owner\u007f" })],
  ["with a C1 control", SUB, () => seal({ sub: "owner\u0085" })],
  ["with half of a pair", SUB, () => sealPayload(JSON.stringify(claims({ sub: "OWNER" })).replace("OWNER", "\\ud800"))],
  [
    "with the other half",
    SUB,
    () => sealPayload(JSON.stringify(claims({ sub: "OWNER" })).replace("OWNER", "\\udc00x")),
  ],
  ["in another claim", SUB, () => seal({ sub: undefined, uid: "owner", oid: "owner", client_id: "owner" })],
]);

/** A good token of exactly this length. */
async function sealOfLength(length: number): Promise<string> {
  for (const inHeader of ["", "x", "xx"]) {
    const header = { ...goodHeader(), pad: inHeader };
    const overhead = encode(header).length + 2 + 86;
    for (let size = 0; size < length; size += 1) {
      const payload = JSON.stringify(claims({ pad: "" })).length + size;
      if (overhead + Math.ceil((payload * 4) / 3) === length) {
        return forge(header, claims({ pad: "p".repeat(size) }), ec);
      }
    }
  }
  throw new Error(`no token is ${length} long`);
}

const LENGTH = "malformed: longer than 8192";

refuses("the size", [
  ["one character too long, and good otherwise", LENGTH, () => sealOfLength(8_193)],
  ["64 KB", LENGTH, () => seal({ groups: Array.from({ length: 4_000 }, (_, at) => `group-${at}`) })],
  ["1 MB of one letter", LENGTH, () => "A".repeat(1_048_576)],
  ["1 MB of dots", LENGTH, () => ".".repeat(1_048_576)],
  ["8 KB without an end", FORM, () => `${"A".repeat(8_190)}!`],
  ["8 KB of dots", FORM, () => ".".repeat(8_192)],
]);

test("a token of 8,192 characters is not too long", async () => {
  const token = await sealOfLength(8_192);
  expect(token).toHaveLength(8_192);
  const response = await startWorker(issuer.variables).fetch(path, { headers: bearer(token) });
  expect(response.status).toBe(200);
});

describe("where at+jwt is insisted on", () => {
  test.for(["JWT", "application/jwt", undefined])("typ %s is refused", async (typ) => {
    const strict = startWorker({ ...issuer.variables, JWT_REQUIRE_AT_JWT: "true" });
    const token = await seal({}, { typ });
    expectInvalidToken(await observe(() => strict.fetch(path, { headers: bearer(token) })), TYP);
  });
});

describe("where few algorithms are allowed", () => {
  test.for([
    ["ES256", () => seal()],
    ["EdDSA", () => seal({}, {}, ed)],
    ["Ed25519", () => seal({}, { alg: "Ed25519" }, ed)],
    ["RS384", () => seal({}, {}, rsa, "RS384")],
  ] as const)("%s is refused where only RS256 is", async ([, make]) => {
    const narrow = startWorker({ ...issuer.variables, JWT_ALGORITHMS: "RS256" });
    const token = await make();
    expectInvalidToken(await observe(() => narrow.fetch(path, { headers: bearer(token) })), ALGORITHM);
  });
});

describe("where the leeway is set", () => {
  test.for([
    [0, { exp: NOW }, "expired: exp"],
    [0, { nbf: NOW + 1 }, "not_yet_valid: nbf"],
    [0, { iat: NOW + 0.5 }, "not_yet_valid: iat"],
    [60, { exp: NOW - 60 }, "expired: exp"],
    [60, { nbf: NOW + 61 }, "not_yet_valid: nbf"],
  ] as const)("to %i s, %j is beyond it", async ([leeway, changes, why]) => {
    const other = startWorker({ ...issuer.variables, JWT_LEEWAY_SECONDS: leeway });
    const token = await seal(changes);
    expectInvalidToken(await observe(() => other.fetch(path, { headers: bearer(token) })), why);
  });
});

/** How a request carries the token; what it is then taken for. */
const places: readonly [string, "none" | "malformed", (token: string) => [string, RequestInit]][] = [
  ["nowhere", "none", () => ["", {}]],
  ["in the query", "none", (token) => [`?access_token=${token}`, {}]],
  ["in the query by another name", "none", (token) => [`?token=${token}&authorization=Bearer%20${token}`, {}]],
  ["in a cookie", "none", (token) => ["", { headers: { cookie: `access_token=${token}; __session=${token}` } }]],
  ["in X-Access-Token", "none", (token) => ["", { headers: { "x-access-token": token } }]],
  [
    "in X-Forwarded-Authorization",
    "none",
    (token) => ["", { headers: { "x-forwarded-authorization": `Bearer ${token}` } }],
  ],
  ["in Proxy-Authorization", "none", (token) => ["", { headers: { "proxy-authorization": `Bearer ${token}` } }]],
  ["without a scheme", "none", (token) => ["", { headers: { authorization: token } }]],
  ["as Basic", "none", (token) => ["", { headers: { authorization: `Basic ${token}` } }]],
  ["as Basic, as a password", "none", (token) => ["", { headers: { authorization: `Basic ${btoa(`x:${token}`)}` } }]],
  ["as Token", "none", (token) => ["", { headers: { authorization: `Token ${token}` } }]],
  ["as JWT", "none", (token) => ["", { headers: { authorization: `JWT ${token}` } }]],
  ["as DPoP", "none", (token) => ["", { headers: { authorization: `DPoP ${token}` } }]],
  ["as Bearer that is glued on", "none", (token) => ["", { headers: { authorization: `Bearer${token}` } }]],
  ["as Bearer with a colon", "none", (token) => ["", { headers: { authorization: `Bearer: ${token}` } }]],
  ["as Bearer with =", "none", (token) => ["", { headers: { authorization: `Bearer=${token}` } }]],
  ["as Bearer with a tab", "none", (token) => ["", { headers: { authorization: `Bearer\t${token}` } }]],
  ["as xBearer", "none", (token) => ["", { headers: { authorization: `xBearer ${token}` } }]],
  ["as Bearer, with nothing after it", "none", () => ["", { headers: { authorization: "Bearer" } }]],
  ["as Bearer, with spaces after it", "none", () => ["", { headers: { authorization: "Bearer   " } }]],
  ["as an empty header", "none", () => ["", { headers: { authorization: "" } }]],
  ["as Bearer twice", "malformed", (token) => ["", { headers: { authorization: `Bearer Bearer ${token}` } }]],
  ["after a tab and a space", "malformed", (token) => ["", { headers: { authorization: `Bearer \t${token}` } }]],
  ["in two headers", "malformed", (token) => ["", { headers: both(`Bearer ${token}`, `Bearer ${token}`) }]],
  ["in the first of two headers", "malformed", (token) => ["", { headers: both(`Bearer ${token}`, "Basic eDp5") }]],
  ["in the second of two headers", "none", (token) => ["", { headers: both("Basic eDp5", `Bearer ${token}`) }]],
  ["in the second of two, the first empty", "none", (token) => ["", { headers: both("", `Bearer ${token}`) }]],
  ["in the first of two, the second empty", "malformed", (token) => ["", { headers: both(`Bearer ${token}`, "") }]],
];

function both(first: string, second: string): Headers {
  const headers = new Headers();
  headers.append("authorization", first);
  headers.append("authorization", second);
  return headers;
}

describe("a good token in the wrong place", () => {
  test.for(places)("%s", async ([, taken, carry]) => {
    const token = await seal();
    const [query, init] = carry(token);
    const observed = await observe(() => keyless.fetch(path + query, init));
    if (taken === "none") expectNoCredentials(observed);
    else expectInvalidToken(observed, FORM);
    expectNoLeak(observed, [token]);
    expect((await database.counters()).received).toBe(0);
    expect((await unasked.counters()).received).toBe(0);
  });

  test("in a form, or in JSON", async () => {
    const token = await seal();
    for (const body of [new URLSearchParams({ access_token: token }), JSON.stringify({ access_token: token })]) {
      const observed = await observe(() => keyless.fetch(path, { method: "POST", body }));
      expect(observed.response.status).toBe(405);
      expectNoLeak(observed, [token]);
    }
    expect((await database.counters()).received).toBe(0);
  });
});
