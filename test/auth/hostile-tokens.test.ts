// Tokens that must be refused, by kind of attack. Each gets the right challenge, reveals nothing, and costs no query; if no key is
// needed to refuse it, it costs no key fetch either. A good token could read the run that each of them requests.
import { type CryptoKey, exportJWK } from "jose";
import { beforeEach, describe, expect, test } from "vitest";
import { readBearerToken } from "../../src/auth/access-token.ts";
import { controlClock } from "../support/clock.ts";
import { countFetches } from "../support/counted-fetches.ts";
import { insertRun } from "../support/database.ts";
import { openFaultProxy } from "../support/fault-proxy.ts";
import { encode, forge, forgeHmac, fromBase64url, replacePart, toBase64url } from "../support/forged-token.ts";
import { createReader } from "../support/reader.ts";
import { expectInvalidToken, expectNoCredentials, expectNoLeak } from "../support/refusal.ts";
import { type SigningKey, makeKey } from "../support/signing.ts";

const FORM = "malformed: not three base64url parts";
const NO_OBJECTS = "malformed: not JSON objects";
const ALGORITHM = "bad_signature: algorithm not allowed";
const SIGNATURE = "bad_signature: bad_signature";
const KEY = "bad_signature: unknown_key";
const TYP = "wrong_kind: typ";
const BOUND = "wrong_kind: sender-constrained";
const ISS = "wrong_issuer: iss";
const AUD = "wrong_audience: aud";
const EXPIRED = "expired: exp";

/** The clock stands here, so that an edge is an edge. */
const NOW = Math.floor(Date.now() / 1_000);
const LEEWAY_SECONDS = 10;
const clock = controlClock();
beforeEach(() => clock.stopAt(NOW * 1_000));

const [rsa, ec, ec384, ed, attacker] = await Promise.all([
  makeKey("RS256", { kid: "rsa" }),
  makeKey("ES256", { kid: "ec" }),
  makeKey("ES384", { kid: "ec384" }),
  makeKey("EdDSA", { kid: "ed" }),
  makeKey("ES256", { kid: "attacker" }),
]);
/** Published, but not to be used for signatures. */
const strange = {
  enc: await makeKey("ES256", { kid: "enc", use: "enc" }),
  wrap: await makeKey("ES256", { kid: "wrap", use: undefined, key_ops: ["wrapKey"] }),
  small: await makeSmallKey(),
  nameless: await makeKey("EdDSA", { kid: undefined }),
};
const SHARED_SECRET = crypto.getRandomValues(new Uint8Array(32));

const reader = await createReader({ keys: [rsa, ec, ec384, ed] });
const { JWT_ISSUER: ISSUER, JWT_AUDIENCE: AUDIENCE } = reader.issuer.variables;
const published = [rsa, ec, ec384, ed, ...Object.values(strange)].map(({ jwk }) => jwk);
const bare = { ...rsa.jwk, kid: "bare", alg: undefined };
const oct = { kty: "oct", kid: "oct", alg: "HS256", k: toBase64url(SHARED_SECRET) };
await reader.issuer.publish([...published, bare, oct]);
/** Finds no keys: what it refuses, it refuses without. */
const readerWithoutKeys = await createReader({ settings: { JWT_ISSUER: ISSUER } });
await readerWithoutKeys.issuer.proxy.fail({ kind: "status", status: 500 });
/** Where headers of forged tokens point to. */
const attackerKeys = await openFaultProxy({
  text: JSON.stringify({ keys: [attacker.jwk, { ...attacker.jwk, kid: "ec" }] }),
});
const id = await insertRun();

const GOOD_HEADER = { alg: "ES256", typ: "at+jwt", kid: "ec" };
const GOOD_CLAIMS = {
  iss: ISSUER,
  aud: AUDIENCE,
  sub: "owner",
  client_id: "hostile-client-9d1c7a52",
  iat: NOW,
  exp: NOW + 300,
  jti: "hostile-jti-5f0e8b61-03c4",
  scope: "crew-runs:read",
};
const GOOD_TEXT = JSON.stringify(GOOD_CLAIMS);

test("behind each of these stands a run that a good token reads", async () => {
  for (const key of [rsa, ec, ec384, ed]) {
    expect((await reader.read(id, { token: await signGood({}, {}, key) })).status).toBe(200);
  }
});

/** RSA of 1024 bits, which jose makes no more. */
async function makeSmallKey(): Promise<SigningKey> {
  const publicExponent = new Uint8Array([1, 0, 1]);
  const parameters = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", modulusLength: 1024, publicExponent };
  const pair = await crypto.subtle.generateKey(parameters, true, ["sign", "verify"]);
  const { privateKey, publicKey } = pair as { privateKey: CryptoKey; publicKey: CryptoKey };
  const jwk = { ...(await exportJWK(publicKey)), kid: "small", alg: "RS256", use: "sig" };
  return { algorithm: "RS256", privateKey, jwk };
}

type Members = Record<string, unknown>;

/** A good token but for the given changes; undefined removes a member. */
function signGood(claims: Members = {}, header: Members = {}, key = ec, algorithm = key.algorithm): Promise<string> {
  const good = { alg: algorithm, typ: "at+jwt", kid: key.jwk.kid };
  return forge({ ...good, ...header }, { ...GOOD_CLAIMS, ...claims }, key, algorithm);
}

/** As `signGood`, but signed by a key that the issuer never had. */
const signAsAttacker = (header: Members) => signGood({}, header, attacker);
/** A good token whose payload is this text or these bytes. */
const signPayload = (payload: string | Uint8Array) => forge(GOOD_HEADER, payload, ec);
/** A good token whose claims' JSON text is changed. */
const signChangedText = (from: string | RegExp, to: string) => signPayload(GOOD_TEXT.replace(from, to));
/** A good token with one part's text changed after it was signed. */
const changed = async (index: 0 | 1 | 2, change: (part: string) => string) =>
  replacePart(await signGood(), index, change);
const utf8 = (text: string) => new TextEncoder().encode(text);

type Case = readonly [title: string, why: string, make: () => string | Promise<string>];

function refuses(kind: string, cases: readonly Case[]): void {
  describe(kind, () => {
    test.for([...cases])("%s", async ([, why, make]) => {
      await expectRefused(await make(), why);
    });
  });
}

const each = (member: string, values: readonly unknown[]): Members[] => values.map((value) => ({ [member]: value }));

/** Refuses tokens that are good except for these members, which the title shows. */
function refusesMembers(kind: string, why: string, where: "header" | "claims", changes: readonly Members[]): void {
  const title = (change: Members) =>
    JSON.stringify(change, (_, value: unknown) => (value === undefined ? "(left out)" : value)).slice(0, 60);
  const make = (change: Members) => (where === "header" ? signGood({}, change) : signGood(change));
  refuses(
    `${kind} (${why})`,
    changes.map((change): Case => [title(change), why, () => make(change)]),
  );
}

async function expectRefused(token: string, why: string): Promise<void> {
  const isToldByKey = why === SIGNATURE || why === KEY;
  const result = await (isToldByKey ? reader : readerWithoutKeys).read(id, { token });
  expectInvalidToken(result, why);
  expectNoLeak(result, [token, ...token.split(".", 5).map(decodeLoosely), JSON.stringify(ec.jwk)]);
  // No address in a header is followed.
  expect([result.queries, countFetches(attackerKeys.url)]).toEqual([0, 0]);
  if (!isToldByKey) expect(result.fetches).toBe(0);
}

function decodeLoosely(part: string): string {
  try {
    return new TextDecoder().decode(fromBase64url(part));
  } catch {
    return "";
  }
}

const FOREIGN_ALGORITHMS = ["none", "None", "none ", "", "rs256", "ES256 ", "ES256\u0000", "HS256", "ES256K", "Ed448"];
refusesMembers("the algorithm", ALGORITHM, "header", [
  ...each("alg", FOREIGN_ALGORITHMS),
  ...each("alg", ["EdDSA,ES256", "RSA-OAEP", "dir", "constructor", "__proto__", ["ES256"], null, 256]),
  { alg: undefined },
]);

refuses("the algorithm, against the key", [
  ["none, and no signature", FORM, () => `${encode({ alg: "none", typ: "at+jwt" })}.${encode(GOOD_CLAIMS)}.`],
  [
    "HS256 under a secret in the key set",
    ALGORITHM,
    () => forgeHmac({ alg: "HS256", typ: "at+jwt", kid: "oct" }, GOOD_CLAIMS, SHARED_SECRET),
  ],
  ["ES256 with that secret's key id", KEY, () => signGood({}, { kid: "oct" })],
  ["PS256 by a key that is for RS256", KEY, () => signGood({}, {}, rsa, "PS256")],
  ["RS512 by a key that is for RS256", KEY, () => signGood({}, {}, rsa, "RS512")],
  ["PS256 by a key that does not say what it is for", KEY, () => signGood({}, { kid: "bare" }, rsa, "PS256")],
  ["ES384 with a P-256 key", KEY, () => signGood({}, {}, ec, "ES384")],
  ["ES256 with the Ed25519 key's id", KEY, () => signGood({}, { alg: "ES256" }, ed)],
]);

/** The members of a header that name or contain a key. */
const SMUGGLED: readonly [string, () => Members][] = [
  ["jwk", () => ({ jwk: { ...attacker.jwk, kid: "ec" } })],
  ["jku", () => ({ jku: attackerKeys.url })],
  ["x5u", () => ({ x5u: attackerKeys.url })],
  ["x5c", () => ({ x5c: ["MIIBszCCARwCCQDUMMYKEYMAKEYMAKEYMAKEYMAKEYMAKEYMAKEYMAKEYMAKEYMA"] })],
  ["iss and jwks_uri", () => ({ iss: attackerKeys.url, jwks_uri: attackerKeys.url })],
];

refuses("a key that the token brings along", [
  ...SMUGGLED.flatMap(([member, make]): Case[] => [
    [`${member}, under the issuer's key id`, SIGNATURE, () => signAsAttacker({ ...make(), kid: "ec" })],
    [`${member}, under a key id of its own`, KEY, () => signAsAttacker(make())],
    [`${member}, without a key id`, KEY, () => signAsAttacker({ ...make(), kid: undefined })],
  ]),
  ["the key's address as its id", KEY, () => signAsAttacker({ kid: attackerKeys.url })],
  ...["../../dev/null", "' OR '1'='1", "ec\u0000", "EC", "", "__proto__", "0", "k".repeat(512)].map((kid): Case => [
    `the key id ${JSON.stringify(kid.slice(0, 24))}`,
    KEY,
    () => signAsAttacker({ kid }),
  ]),
]);

refusesMembers(
  "the key id",
  "malformed: kid isn't a short string",
  "header",
  each("kid", [["ec"], { ec: 1 }, 0, null, true, "k".repeat(513)]),
);

refuses("a key of the set that is not for this", [
  ["another one of the issuer's", KEY, () => signGood({}, { kid: "ec384" })],
  ["a key for encryption", KEY, () => signGood({}, {}, strange.enc)],
  ["a key for wrapping keys", KEY, () => signGood({}, {}, strange.wrap)],
  ["an RSA key of 1024 bits", KEY, () => signGood({}, {}, strange.small)],
  ["a key without an id, given one", KEY, () => signGood({}, { kid: "nameless" }, strange.nameless)],
]);

/** Another byte at the same place. */
const turnBit = (part: string) => toBase64url(fromBase64url(part).map((byte, at) => (at === 20 ? byte ^ 1 : byte)));

refuses("the signature", [
  ["with one bit turned", SIGNATURE, () => changed(2, turnBit)],
  ["empty", FORM, () => changed(2, () => "")],
  ["of another payload", SIGNATURE, () => changed(1, () => encode({ ...GOOD_CLAIMS, sub: "admin" }))],
  ["of a header with another typ", SIGNATURE, () => changed(0, () => encode({ ...GOOD_HEADER, typ: "JWT" }))],
  ["of a header with another key id", KEY, () => changed(0, () => encode({ ...GOOD_HEADER, kid: "ed" }))],
]);

/** Spellings of a part that a lenient decoder would take. */
const MISSPELLINGS: readonly [string, (part: string) => string][] = [
  ["= after", (part) => `${part}=`],
  ["a space in", (part) => `${part.slice(0, 8)} ${part.slice(8)}`],
  ["a foreign letter in", (part) => `${part}\u00e9`],
  ["base64's own letters in", (part) => `${part.slice(0, -4)}+/+/`],
  ["a length that no bytes have of", (part) => part.padEnd(Math.ceil(part.length / 4) * 4 + 1, "A")],
];

refuses(
  "the encoding",
  MISSPELLINGS.flatMap(([what, change]) =>
    ([0, 1, 2] as const).map((index): Case => [
      `${what} the ${["header", "payload", "signature"][index]}`,
      FORM,
      () => changed(index, change),
    ]),
  ),
);

test("a part that isn't a multiple of four characters ends with zero bits only", () => {
  const endings = (start: string) =>
    [..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"].filter((letter) => {
      const token = `Bearer ${encode({})}.${encode({})}.${start}${letter}`;
      try {
        return readBearerToken(token).text !== "";
      } catch {
        return false;
      }
    });
  expect(endings("A").join("")).toBe("AQgw");
  expect(endings("AA").join("")).toBe("AEIMQUYcgkosw048");
});

/** What is made of a good token, and is none. */
const MISSHAPEN: readonly [string, (token: string) => string][] = [
  ["its payload alone", (token) => token.split(".")[1] ?? ""],
  ["two of its parts", (token) => token.split(".", 2).join(".")],
  ["a fourth part", (token) => `${token}.AAAA`],
  ["a dot at the end", (token) => `${token}.`],
  ["no payload", (token) => replacePart(token, 1, () => "")],
  ["no header", (token) => replacePart(token, 0, () => "")],
  ["only dots", () => ".."],
  ["five parts, as of an encrypted one", (token) => `${token.split(".")[0]}..AAAA.AAAA.AAAA`],
  ["it twice", (token) => `${token} ${token}`],
  ["a selective disclosure after it", (token) => `${token}~WyJzYWx0Il0~`],
];

/** Texts that aren't JSON objects. */
const NO_JSON_OBJECTS = ["[]", "null", `"text"`, "1", " ", "{}x", `{"alg":"ES256",}`];
/** The JSON of an object, with these bytes in place of a part of its first text. */
const withBytes = (object: object, ...bytes: number[]) => {
  const [before = "", after = ""] = JSON.stringify({ x: "\u0001", ...object }).split("\\u0001");
  return Uint8Array.from([...utf8(before), ...bytes, ...utf8(after)]);
};

refuses("the structure", [
  ...MISSHAPEN.map(([what, shape]): Case => [what, FORM, async () => shape(await signGood())]),
  ...NO_JSON_OBJECTS.flatMap((text): Case[] => [
    [`the header ${text}`, NO_OBJECTS, () => forge(text, GOOD_CLAIMS, ec)],
    [`the payload ${text}`, NO_OBJECTS, () => signPayload(text)],
  ]),
  ["a list of one good header", NO_OBJECTS, () => forge([GOOD_HEADER], GOOD_CLAIMS, ec)],
  ["a list of one good payload", NO_OBJECTS, () => forge(GOOD_HEADER, [GOOD_CLAIMS], ec)],
  ["a byte order mark before the payload", NO_OBJECTS, () => signPayload(`\ufeff${GOOD_TEXT}`)],
  ["a header that is no UTF-8", NO_OBJECTS, () => forge(withBytes(GOOD_HEADER, 0xff), GOOD_CLAIMS, ec)],
  ["a payload that is no UTF-8", NO_OBJECTS, () => signPayload(withBytes(GOOD_CLAIMS, 0xc3, 0x28))],
  ["an overlong encoding", NO_OBJECTS, () => signPayload(withBytes(GOOD_CLAIMS, 0xc0, 0xaf))],
  ["nested beyond reason", ISS, () => signPayload(`{"a":${"[".repeat(2_500)}${"]".repeat(2_500)}}`)],
  ["iss twice, the last is another", ISS, () => signChangedText(/}$/, `,"iss":"https://evil.test"}`)],
  ["exp twice, the last is past", EXPIRED, () => signChangedText(/}$/, `,"exp":1}`)],
  ["a header in __proto__", ALGORITHM, () => forge(`{"__proto__":${JSON.stringify(GOOD_HEADER)}}`, GOOD_CLAIMS, ec)],
  ["claims in __proto__", ISS, () => signPayload(`{"__proto__":${GOOD_TEXT}}`)],
]);

refusesMembers("extensions", "malformed: crit or b64", "header", [
  { b64: false, crit: ["b64"] },
  { b64: true },
  { crit: ["http://example.com/x"], "http://example.com/x": 1 },
  ...each("crit", [["alg"], [], "b64", null]),
]);
refusesMembers("other kinds of JOSE", "wrong_kind: encrypted or compressed", "header", [
  { zip: "DEF" },
  { enc: "A128GCM" },
]);
refusesMembers("other kinds of JOSE", "wrong_kind: nested", "header", [{ cty: "JWT" }, { cty: "" }]);

const FOREIGN_TYPES =
  "|JOSE|JWE|logout+jwt|application/logout+jwt|dpop+jwt|id+jwt|rt+jwt|atjwt|at-jwt|xat+jwt|at+jwt\n|JWT ";
const ODD_TYPES = ["at+jwt;v=1", "application/application/at+jwt", ["at+jwt"], ["JWT"], null, 1];
refusesMembers("the kind", TYP, "header", each("typ", [...FOREIGN_TYPES.split("|"), ...ODD_TYPES]));

// The marks of other kinds count unless the type is at+jwt.
refuses("the marks of another kind of token", [
  ...["at_hash", "c_hash", "s_hash", "nonce", "events"].map((claim): Case => [
    claim,
    `wrong_kind: ${claim}`,
    () => signGood({ [claim]: null }, { typ: "JWT" }),
  ]),
  ...["ID", "Refresh", "Offline", "Logout", "DPoP", "xBearer", "Bearer2", "at-jwt", ["Bearer"], null].map(
    (typ): Case => [
      `the typ claim ${JSON.stringify(typ)}`,
      "wrong_kind: typ claim",
      () => signGood({ typ }, { typ: "JWT" }),
    ],
  ),
  ["token_use id", "wrong_kind: token_use", () => signGood({ token_use: "id" }, { typ: undefined })],
  [
    "a token_use that is no text",
    "wrong_kind: token_use",
    () => signGood({ token_use: ["access"] }, { typ: undefined }),
  ],
  ["bound to a key, in a plain JWT", BOUND, () => signGood({ cnf: { jkt: "x" } }, { typ: "JWT" })],
]);
refusesMembers("bound to a key", BOUND, "claims", [{ cnf: { jkt: "x" } }, { cnf: { "x5t#S256": "x" } }, { cnf: null }]);

refusesMembers("the issuer", ISS, "claims", [
  ...each("iss", [undefined, null, "", "https://evil.test", [ISSUER], { url: ISSUER }]),
  ...each("iss", [`${ISSUER}/`, ISSUER.slice(0, -1), ` ${ISSUER}`, ISSUER.toUpperCase()]),
  { iss: ISSUER.replace("https:", "http:") },
  { iss: ISSUER.replace("issuer.test", "issuer.test:443") },
]);

refusesMembers("the audience", AUD, "claims", [
  ...each("aud", [undefined, null, "", 0, true, [], [[AUDIENCE]], ["https://evil.test", "account"]]),
  ...each("aud", [`${AUDIENCE}.evil.test`, AUDIENCE.slice(0, -1), `${AUDIENCE}/`, AUDIENCE.toUpperCase()]),
  { aud: `https://evil.test ${AUDIENCE}` },
  { aud: { [AUDIENCE]: true } },
  { aud: { "0": AUDIENCE, length: 1 } },
  { aud: undefined, azp: AUDIENCE, client_id: AUDIENCE, resource: AUDIENCE },
]);

refusesMembers("the subject", "no_subject: sub", "claims", [
  ...each("sub", [undefined, "", null, 42, true, ["owner"], { id: "owner" }, "o".repeat(256)]),
  ...each("sub", ["owner\u0000", "owner\n", "\u001b[2Jowner", "owner\u007f", "owner\u0085"]),
  { sub: undefined, uid: "owner", oid: "owner", client_id: "owner" },
  // Half of a pair: JSON.stringify writes it as an escape.
  ...each("sub", ["\ud800", "\udc00x"]),
]);

const TIMES = ["exp", "nbf", "iat"] as const;
const NO_NUMBERS = [`"${NOW + 300}"`, `"2099-01-01T00:00:00Z"`, `[${NOW + 300}]`, "{}", "true", "null", "1e400"];
refuses(
  "a time that is no number",
  TIMES.flatMap((claim) =>
    NO_NUMBERS.map((text): Case => [
      `${claim}: ${text}`,
      `malformed: ${claim} isn't a number`,
      () => signPayload(JSON.stringify({ ...GOOD_CLAIMS, [claim]: "TIME" }).replace(`"TIME"`, text)),
    ]),
  ),
);
refusesMembers("the times", "malformed: exp isn't a number", "claims", [{ exp: undefined }]);
const [EARLIEST, LATEST] = [NOW - LEEWAY_SECONDS, NOW + LEEWAY_SECONDS];
refusesMembers("the times", EXPIRED, "claims", each("exp", [EARLIEST, EARLIEST - 0.001, 1, 0, -NOW]));
refusesMembers("the times", "not_yet_valid: nbf", "claims", each("nbf", [LATEST + 1, LATEST + 0.001, NOW * 1_000]));
refusesMembers("the times", "not_yet_valid: iat", "claims", each("iat", [LATEST + 1, NOW + 400]));

const LENGTH = "malformed: longer than 8192";

refuses("the size", [
  ["8,193 characters", LENGTH, () => ".".repeat(8_193)],
  ["1 MB of one letter", LENGTH, () => "A".repeat(1_048_576)],
  ["8,192 characters of no form", FORM, () => ".".repeat(8_192)],
  ["8 KB without an end", FORM, () => `${"A".repeat(8_190)}!`],
]);

type SettingCase = [name: string, value: string | number, claims: Members, header: Members, why: string];

describe("a setting other than its default", () => {
  test.for<SettingCase>([
    ["JWT_REQUIRE_AT_JWT", "true", {}, { typ: "JWT" }, TYP],
    ["JWT_REQUIRE_AT_JWT", "true", {}, { typ: "application/jwt" }, TYP],
    ["JWT_REQUIRE_AT_JWT", "true", {}, { typ: undefined }, TYP],
    ["JWT_ALGORITHMS", "RS256", {}, {}, ALGORITHM],
    ["JWT_AUDIENCE", "web, mobile", { aud: AUDIENCE }, {}, AUD],
    ["JWT_AUDIENCE", "web, mobile", { aud: "web, mobile" }, {}, AUD],
    ["JWT_AUDIENCE", "web, mobile", { aud: "web,mobile" }, {}, AUD],
    ["JWT_AUDIENCE", "web, mobile", { aud: ["webmobile", "web2", "we", ""] }, {}, AUD],
    ["JWT_AUDIENCE", "web mobile", { aud: "web mobile" }, {}, AUD],
    ["JWT_LEEWAY_SECONDS", 0, { exp: NOW }, {}, EXPIRED],
    ["JWT_LEEWAY_SECONDS", 0, { nbf: NOW + 1 }, {}, "not_yet_valid: nbf"],
    ["JWT_LEEWAY_SECONDS", 0, { iat: NOW + 0.5 }, {}, "not_yet_valid: iat"],
    ["JWT_LEEWAY_SECONDS", 60, { exp: NOW - 60 }, {}, EXPIRED],
    ["JWT_LEEWAY_SECONDS", 60, { nbf: NOW + 61 }, {}, "not_yet_valid: nbf"],
    // The claim of this name counts alone: not the usual one, no path to it, and nothing that every object has.
    ...["__proto__", "constructor", "uid", "act.sub"].map((name): SettingCase => [
      "SUBJECT_CLAIM",
      name,
      { act: { sub: "owner" } },
      {},
      `no_subject: ${name}`,
    ]),
    ...["__proto__", "constructor", "azp", "act.aud"].map((name): SettingCase => [
      "AUDIENCE_CLAIM",
      name,
      { act: { aud: AUDIENCE } },
      {},
      `wrong_audience: ${name}`,
    ]),
  ])("%s = %s: %j and the header %j are refused", async ([name, value, claims, header, why]) => {
    const token = await signGood(claims, header);
    expectInvalidToken(await reader.restart({ [name]: value }).read(id, { token }), why);
  });
});

const NO_CREDENTIALS =
  "TOKEN|Basic TOKEN|Token TOKEN|DPoP TOKEN|BearerTOKEN|Bearer: TOKEN|Bearer=TOKEN|Bearer\tTOKEN|xBearer TOKEN|" +
  "Bearer|Bearer   ||Basic eDp5, Bearer TOKEN|, Bearer TOKEN";
// Two headers reach a Worker as one value joined by a comma.
const MALFORMED = "Bearer Bearer TOKEN|Bearer \tTOKEN|Bearer TOKEN, Bearer TOKEN|Bearer TOKEN, Basic x|Bearer TOKEN, ";

test.for<[target: string, headers: Record<string, string>, why?: string]>([
  ["ID", {}],
  ["ID?access_token=TOKEN", {}],
  ["ID?token=TOKEN&authorization=Bearer%20TOKEN", {}],
  ["TOKEN", {}],
  ...["cookie", "referer", "user-agent", "x-request-id", "traceparent", "x-access-token"].map(
    (name): [string, Record<string, string>] => ["ID", { [name]: "access_token=TOKEN; __session=TOKEN" }],
  ),
  ...["x-request-id", "x-forwarded-authorization", "proxy-authorization"].map(
    (name): [string, Record<string, string>] => ["ID", { [name]: "Bearer TOKEN" }],
  ),
  ["ID", { "x-request-id": "TOKEN", traceparent: "TOKEN" }],
  ...NO_CREDENTIALS.split("|").map((authorization): [string, Record<string, string>] => ["ID", { authorization }]),
  ...MALFORMED.split("|").map((authorization): [string, Record<string, string>, string] => [
    "ID",
    { authorization },
    FORM,
  ]),
])("a good token in the wrong place, %s with %j, is neither used nor logged", async ([target, headers, why]) => {
  const token = await signGood();
  const put = (text: string) => text.replaceAll("TOKEN", token).replace("ID", id);
  const withToken = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, put(value)]));
  const result = await readerWithoutKeys.read(put(target), { as: "nobody", headers: withToken });
  if (why === undefined) expectNoCredentials(result);
  else expectInvalidToken(result, why);
  expectNoLeak(result, [token]);
  expect([result.queries, result.fetches]).toEqual([0, 0]);
});

test("a good token in a path that doesn't exist isn't logged", async () => {
  const token = await signGood();
  const result = await readerWithoutKeys.read(`/${token}?access_token=${token}`, { as: "nobody" });
  expect(result.status).toBe(404);
  expectNoLeak(result, [token]);
});
