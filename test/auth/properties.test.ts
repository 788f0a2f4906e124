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

// Generous, for a machine that is busy with other things.
describe(`with the seed ${SEED}`, { timeout: 60_000 }, () => {
  test("a token is accepted exactly if the policy allows it and the issuer signed it", async () => {
    const outcomes = new Map<boolean, number>();
    const bytes = fc.uint8Array({ maxLength: 300 });
    const property = fc.asyncProperty(HEADERS, CLAIMS, bytes, async (header, payload, junk) => {
      const isAccepted = isAcceptable(header, payload);
      outcomes.set(isAccepted, (outcomes.get(isAccepted) ?? 0) + 1);
      expect(await send(await forge(header, payload, ec))).toBe(isAccepted ? 422 : 401);
      expect(await send(await forge(header, payload, attacker))).toBe(401);
      for (const signature of ["", toBase64url(junk)]) {
        expect(await send(`${encode(header)}.${encode(payload)}.${signature}`)).toBe(401);
      }
    });
    await check(500, property);
    // So that the property isn't true for lack of cases.
    for (const isAccepted of [true, false]) expect(outcomes.get(isAccepted)).toBeGreaterThan(20);
  });

  test("a good token with one character changed, removed or added is refused, even if the good one is remembered", async () => {
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
function isAcceptable(header: Members, claims: Members): boolean {
  const has = (members: Members, ...names: string[]) => names.some((name) => Object.hasOwn(members, name));
  /** A member in lower case; `absent` if there is none, `wrong` if it isn't a text. */
  const word = (members: Members, name: string) => {
    const value = members[name];
    if (!has(members, name)) return "absent";
    return typeof value === "string" ? value.toLowerCase() : "wrong";
  };
  const { aud, sub, exp } = claims;
  const isNoMoreThanSoon = (name: string) =>
    !has(claims, name) || (typeof claims[name] === "number" && claims[name] <= NOW + 10);
  const typ = word(claims, "typ");
  const isMarked =
    has(claims, "at_hash", "c_hash", "s_hash", "events") ||
    (has(claims, "token_use") && claims["token_use"] !== "access") ||
    !["absent", "bearer", "at+jwt", "jwt"].includes(typ) ||
    (has(claims, "nonce") && typ === "absent");
  const kind = word(header, "typ").replace(/^application\//, "");
  return [
    header["alg"] === "ES256" && (!has(header, "kid") || header["kid"] === ISSUER_KEY_ID),
    !has(header, "crit", "b64", "cty", "enc", "zip") && !has(claims, "cnf"),
    kind === "at+jwt" || (["absent", "jwt"].includes(kind) && !isMarked),
    claims["iss"] === ISSUER && [aud].flat().includes(AUDIENCE),
    typeof sub === "string" && sub !== "" && sub.length <= 255 && isPlain(sub),
    typeof exp === "number" && exp + 10 > NOW && isNoMoreThanSoon("nbf") && isNoMoreThanSoon("iat"),
  ].every(Boolean);
}

const isPlain = (text: string) =>
  text.isWellFormed() && [...text].every((letter) => letter >= " " && !(letter >= "\u007f" && letter < "\u00a0"));
