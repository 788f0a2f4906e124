// What an isolate remembers of tokens is bounded: their number, their length, and one spelling each.
import { expect, test } from "vitest";
import { createReader } from "../support/reader.ts";

async function prepare() {
  const { issuer, read } = await createReader();
  /** How the token was checked: `verified` or `remembered`. */
  const check = async (authorization: string) => (await read("no-uuid", { headers: { authorization } })).log["auth"];
  return { issuer, check };
}

test("a token is remembered until 2,000 others came, and no longer", { timeout: 60_000 }, async () => {
  const { issuer, check } = await prepare();
  const first = `Bearer ${await issuer.sign()}`;
  expect([await check(first), await check(first)]).toEqual(["verified", "remembered"]);
  for (let count = 1; count < 2_000; count += 1) await check(`Bearer ${await issuer.sign()}`);
  expect(await check(first)).toBe("remembered");
  await check(`Bearer ${await issuer.sign()}`);
  expect(await check(first)).toBe("verified");
});

test("a token with more blanks before it is verified each time, and the same one in another case is another", async () => {
  const { issuer, check } = await prepare();
  const token = await issuer.sign();
  for (const scheme of ["Bearer  ", "Bearer   "]) {
    expect([await check(scheme + token), await check(scheme + token)]).toEqual(["verified", "verified"]);
  }
  for (const scheme of ["Bearer ", "bearer ", "BEARER "]) {
    expect([await check(scheme + token), await check(scheme + token)]).toEqual(["verified", "remembered"]);
  }
});

test("a header is remembered up to 2,048 characters", async () => {
  const { issuer, check } = await prepare();
  /** A token that makes the header so long: by its claims, and by its own header if they leave a gap. */
  async function makeHeader(length: number): Promise<string> {
    for (let padding = 1_050; padding < 1_150; padding += 1) {
      for (const header of [{}, { x: "" }, { xy: "" }]) {
        const authorization = `Bearer ${await issuer.sign({ groups: "g".repeat(padding) }, { header })}`;
        if (authorization.length === length) return authorization;
      }
    }
    throw new Error(`no token makes a header of ${length} characters`);
  }
  const [longest, longer] = [await makeHeader(2_048), await makeHeader(2_049)];
  expect([await check(longest), await check(longest)]).toEqual(["verified", "remembered"]);
  expect([await check(longer), await check(longer)]).toEqual(["verified", "verified"]);
});
