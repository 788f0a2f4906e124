// What an isolate remembers of tokens is bounded: their number, their length, and one spelling each.
import { expect, test } from "vitest";
import { catchLines } from "../support/log-lines.ts";
import { createTestApp } from "../support/test-app.ts";
import { openIssuer } from "../support/issuer.ts";
import { makeKey } from "../support/signing.ts";

const lines = catchLines();
const path = `/api/crew-runs/no-uuid`;

async function prepare() {
  const issuer = await openIssuer([await makeKey("ES256")]);
  const app = createTestApp(issuer.variables);
  const send = async (authorization: string) => {
    const response = await app.fetch(path, { headers: { authorization } });
    expect(response.status).toBe(422);
    const id = response.headers.get("x-request-id") ?? "";
    return JSON.parse(lines.all().findLast((line) => line.includes(id)) ?? "{}").auth;
  };
  return { issuer, send };
}

test("a token is remembered until 2,000 others came, and no longer", { timeout: 60_000 }, async () => {
  const { issuer, send } = await prepare();
  const first = `Bearer ${await issuer.sign()}`;
  expect(await send(first)).toBe("verified");
  expect(await send(first)).toBe("remembered");
  for (let count = 1; count < 2_000; count += 1) await send(`Bearer ${await issuer.sign()}`);
  expect(await send(first)).toBe("remembered");
  await send(`Bearer ${await issuer.sign()}`);
  expect(await send(first)).toBe("verified");
});

test("a token with more blanks before it, or a very long one, is verified each time", async () => {
  const { issuer, send } = await prepare();
  const token = await issuer.sign();
  const long = await issuer.sign({ groups: "g".repeat(2_000) });
  for (const authorization of [`Bearer  ${token}`, `Bearer   ${token}`, `Bearer ${long}`]) {
    expect(await send(authorization)).toBe("verified");
    expect(await send(authorization)).toBe("verified");
  }
});
