// For random headers, claims and encodings: no token is accepted without the issuer's signature, a signed one is accepted exactly if
// the policy allows it, and none makes the Worker fail.
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { SIGNATURE_ALGORITHMS } from "../../src/settings.ts";
import { controlClock } from "../support/clock.ts";
import { encode, forge, toBase64url } from "../support/forged-token.ts";
import { createReader } from "../support/reader.ts";
import { makeKey } from "../support/signing.ts";

type Members = Record<string, unknown>;

/** In the title, so that every run says it. To repeat a run, write its seed here. */
const SEED = crypto.getRandomValues(new Int32Array(1))[0] ?? 0;
/** The clock stands here. */
const NOW = Math.floor(Date.now() / 1_000);
const [PAST, SOON] = [NOW - 300, NOW + 300];
const clock = controlClock();
beforeEach(() => clock.stopAt(NOW * 1_000));

const ISSUER_KEY_ID = "issuer-key";
const ec = await makeKey("ES256", { kid: ISSUER_KEY_ID });
const attacker = await makeKey("ES256", { kid: ISSUER_KEY_ID });
const { read, issuer } = await createReader({ keys: [ec, await makeKey("EdDSA"), await makeKey("RS256")] });
const { JWT_ISSUER: ISSUER, JWT_AUDIENCE: AUDIENCE } = issuer.variables;
const GOOD_HEADER: Members = { alg: "ES256", typ: "at+jwt", kid: ISSUER_KEY_ID };
const GOOD_CLAIMS: Members = { iss: ISSUER, aud: AUDIENCE, sub: "owner", exp: SOON, iat: NOW };

/** Reads an invalid id: an accepted token gets a 422, any other a 401. */
async function send(token: string): Promise<number> {
  const { status, headers } = await read("no-id", { token });
  expect(headers.has("www-authenticate")).toBe(status === 401);
  return status;
}

const check = <T>(runs: number, property: fc.IAsyncProperty<T>) => fc.assert(property, { seed: SEED, numRuns: runs });

/** Mostly what is right, sometimes one of the likely wrong ones, sometimes any JSON at all, sometimes nothing. */
function mostly(right: unknown, ...wrong: unknown[]): fc.Arbitrary<unknown> {
  return fc.oneof(
    { weight: 60, arbitrary: fc.constant(right) },
    { weight: 2, arbitrary: fc.constantFrom(...wrong, undefined) },
    { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
  );
}

const ANYTHING = fc.dictionary(
  fc.oneof(fc.string(), fc.constantFrom("__proto__", "constructor", "toString", "alg", "sub")),
  fc.jsonValue({ maxDepth: 2 }),
  { maxKeys: 3 },
);

const HEADERS: fc.Arbitrary<Members> = fc
  .tuple(
    ANYTHING,
    fc.record({
      alg: mostly("ES256", "none", "HS256", "es256", "RS256", "EdDSA", ...SIGNATURE_ALGORITHMS),
      typ: mostly("at+jwt", "JWT", "jwt", "application/at+jwt", "logout+jwt", "JOSE", ["at+jwt"]),
      kid: mostly(ISSUER_KEY_ID, "other", "", 1, "../x", "k".repeat(600)),
      crit: mostly(undefined, [], ["b64"], ["exp"]),
      b64: mostly(undefined, true, false),
      cty: mostly(undefined, "JWT", ""),
      enc: mostly(undefined, "A128GCM"),
      jku: mostly(undefined, "https://evil.test/jwks"),
    }),
  )
  .map(merge);

const CLAIMS: fc.Arbitrary<Members> = fc
  .tuple(
    ANYTHING,
    fc.record({
      iss: mostly(ISSUER, "https://evil.test", [ISSUER], `${ISSUER}/`),
      aud: mostly(AUDIENCE, [AUDIENCE], ["x", AUDIENCE], [], `${AUDIENCE}/`),
      sub: mostly("owner", "", " ", "\u0000", "o".repeat(256), 1, ["owner"]),
      exp: mostly(SOON, PAST, "soon", 0, -1, 1e308),
      nbf: mostly(undefined, PAST, SOON, "now", null),
      iat: mostly(PAST, SOON, undefined, 1e308),
      token_use: mostly(undefined, "access", "id"),
      typ: mostly(undefined, "Bearer", "ID"),
      nonce: mostly(undefined, "n"),
      cnf: mostly(undefined, { jkt: "x" }),
      events: mostly(undefined, {}),
    }),
  )
  .map(merge);

/** Members without the undefined ones, as they come out of a JSON text. */
function merge([others, members]: [Members, Members]): Members {
  const text = JSON.stringify({ ...others, ...members });
  return JSON.parse(text) as Members;
}

/** The policy, said once more in other words. */
function isAcceptable(header: Members, payload: Members): boolean {
  const has = (members: Members, ...names: string[]) => names.some((name) => Object.hasOwn(members, name));
  const { alg, kid, typ } = header;
  if (alg !== "ES256" || (has(header, "kid") && kid !== ISSUER_KEY_ID)) return false;
  if (has(header, "crit", "b64", "cty", "enc", "zip")) return false;
  const kind = has(header, "typ")
    ? String(typ)
        .toLowerCase()
        .replace(/^application\//, "")
    : "jwt";
  if (!["jwt", "at+jwt"].includes(kind) || (has(header, "typ") && typeof typ !== "string")) return false;
  if (has(payload, "cnf")) return false;
  if (kind === "jwt") {
    if (has(payload, "at_hash", "c_hash", "s_hash", "events")) return false;
    if (has(payload, "token_use") && payload["token_use"] !== "access") return false;
    if (has(payload, "typ") && !["bearer", "at+jwt", "jwt"].includes(lower(payload["typ"]))) return false;
    if (has(payload, "nonce") && !has(payload, "typ")) return false;
  }
  const { aud, sub, exp } = payload;
  if (payload["iss"] !== ISSUER || ![aud].flat().includes(AUDIENCE)) return false;
  if (typeof sub !== "string" || sub === "" || sub.length > 255 || !isPlain(sub)) return false;
  if (typeof exp !== "number" || exp + 10 <= NOW) return false;
  return ["nbf", "iat"].every((name) => {
    const value = payload[name];
    return !has(payload, name) || (typeof value === "number" && value <= NOW + 10);
  });
}

const lower = (value: unknown) => (typeof value === "string" ? value.toLowerCase() : "");
const isPlain = (text: string) =>
  text.isWellFormed() && [...text].every((letter) => letter >= " " && !(letter >= "\u007f" && letter < "\u00a0"));

// Generous, for a machine that is busy with other things.
describe(`with the seed ${SEED}`, { timeout: 60_000 }, () => {
  test("what the issuer signed gets in exactly where the policy says so", async () => {
    const outcomes = new Map<boolean, number>();
    const property = fc.asyncProperty(HEADERS, CLAIMS, async (header, payload) => {
      const isIn = isAcceptable(header, payload);
      outcomes.set(isIn, (outcomes.get(isIn) ?? 0) + 1);
      expect(await send(await forge(header, payload, ec))).toBe(isIn ? 422 : 401);
    });
    await check(600, property);
    // So that the property isn't true for lack of cases.
    for (const isIn of [true, false]) expect(outcomes.get(isIn)).toBeGreaterThan(20);
  });

  test("nobody gets in with a signature of somebody else's, or none", async () => {
    const bytes = fc.uint8Array({ minLength: 0, maxLength: 300 });
    const property = fc.asyncProperty(HEADERS, CLAIMS, bytes, fc.nat(4), async (header, payload, junk, way) => {
      const input = `${encode(header)}.${encode(payload)}`;
      const signature = way === 0 ? "" : toBase64url(junk);
      const token = way < 3 ? `${input}.${signature}` : await forge(header, payload, attacker);
      expect(await send(token)).toBe(401);
    });
    await check(400, property);
  });

  test("a good token with one character changed, gone or added does not get in, even where the good one is known", async () => {
    const token = await forge(GOOD_HEADER, GOOD_CLAIMS, ec);
    expect(await send(token)).toBe(422);
    const letters = fc.constantFrom(...'ABCDwxyz0189-_.=+/ ~,"{%');
    const property = fc.asyncProperty(fc.nat(token.length), letters, fc.nat(2), async (at, letter, way) => {
      const after = token.slice(at + (way === 0 ? 0 : 1));
      const changed = `${token.slice(0, at)}${way === 2 ? "" : letter}${after}`;
      if (changed.trim() === token) return;
      expect(await send(changed)).toBe(401);
    });
    await check(500, property);
  });
});
