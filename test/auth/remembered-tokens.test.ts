// What an isolate remembers of tokens is bounded: their number, their length, their time, and one spelling each; and it is the same
// that it would find out again.
import { expect, test } from "vitest";
import { controlClock } from "../support/clock.ts";
import { insertRun } from "../support/database.ts";
import { createReader } from "../support/reader.ts";
import { expectInvalidToken } from "../support/refusal.ts";
import { makeKey } from "../support/signing.ts";

const clock = controlClock();
const key = await makeKey("ES256");
const reader = await createReader({ keys: [key] });
const { issuer } = reader;
const id = await insertRun();

/** Says, in a new isolate, how a token was checked: `verified` or `remembered`. */
function startChecking() {
  const { read } = reader.restart();
  return async (authorization: string) => (await read("no-uuid", { headers: { authorization } })).log["auth"];
}

test("a token is remembered until 2,000 others came, and no longer", { timeout: 60_000 }, async () => {
  const check = startChecking();
  const [first, second] = [`Bearer ${await issuer.sign()}`, `Bearer ${await issuer.sign()}`];
  expect([await check(first), await check(second), await check(first)]).toEqual(["verified", "verified", "remembered"]);
  for (let count = 2; count < 2_000; count += 1) await check(`Bearer ${await issuer.sign()}`);
  expect(await check(first)).toBe("remembered");
  await check(`Bearer ${await issuer.sign()}`);
  expect([await check(second), await check(first)]).toEqual(["remembered", "verified"]);
});

test("a token with more blanks before it is verified each time, and the same one in another case is another", async () => {
  const check = startChecking();
  const token = await issuer.sign();
  for (const scheme of ["Bearer  ", "Bearer   "]) {
    expect([await check(scheme + token), await check(scheme + token)]).toEqual(["verified", "verified"]);
  }
  for (const scheme of ["Bearer ", "bearer ", "BEARER "]) {
    expect([await check(scheme + token), await check(scheme + token)]).toEqual(["verified", "remembered"]);
  }
});

test.each([
  [2_048, "remembered"],
  [2_049, "verified"],
])("of two headers of %i characters, the second is %s", async (length, second) => {
  const check = startChecking();
  // With this member, the token's header leaves no gap between the two lengths.
  const header = { x: "" };
  let authorization = "";
  for (let padding = 1_050; authorization.length !== length && padding < 1_150; padding += 1) {
    authorization = `Bearer ${await issuer.sign({ groups: "g".repeat(padding) }, { header })}`;
  }
  expect(authorization).toHaveLength(length);
  expect([await check(authorization), await check(authorization)]).toEqual(["verified", second]);
});

test("a remembered token is refused from the moment on at which it expires", async () => {
  const { read } = reader.restart();
  const startMs = Date.now();
  clock.stopAt(startMs);
  const exp = Math.floor(startMs / 1_000) + 60;
  const token = await issuer.sign({ exp });
  const expiresMs = (exp + 10) * 1_000;
  for (const nowMs of [startMs, expiresMs - 1]) {
    clock.stopAt(nowMs);
    expect((await read(id, { token })).status).toBe(200);
  }
  clock.stopAt(expiresMs);
  const refused = await read(id, { token });
  expectInvalidToken(refused, "expired: exp");
  // Before the run is read, not only when the response leaves.
  expect(refused.queries).toBe(0);
  // If the clock is set back, it's verified anew.
  clock.stopAt(startMs);
  expect((await read(id, { token })).log["auth"]).toBe("verified");
});

test.each([
  ["omit", undefined],
  ["hash", "4c1029697ee35871"],
  ["plain", "owner"],
])("the log names the reader as LOG_SUBJECT says, also of a remembered token: %s", async (LOG_SUBJECT, subject) => {
  const { read } = reader.restart({ LOG_SUBJECT });
  for (const auth of ["verified", "remembered"]) {
    const { status, log } = await read(id);
    expect([status, log["auth"], log["subject"]]).toEqual([200, auth, subject]);
  }
});
