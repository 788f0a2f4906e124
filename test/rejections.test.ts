// Each documented rejection of a token or of another request: its response and its log line.
import { expect, test } from "vitest";
import type { FaultName } from "../docs/faults.ts";
import { insertRun } from "./support/database.ts";
import { expectFault, listFaults } from "./support/documented-fault.ts";
import { type ReadResult, createReader } from "./support/reader.ts";

const reader = await createReader({ settings: { REQUIRED_SCOPE: "crew-runs:read" } });
const { issuer, read } = reader;
const nowSeconds = Math.floor(Date.now() / 1_000);

const readWith = (token: string) => read(undefined, { token });
const readSigned = async (claims = {}, header = {}) => readWith(await issuer.sign(claims, { header }));
const replace = async (part: RegExp, text: string) => readWith((await issuer.sign()).replace(part, text));

const PREFLIGHT = { origin: "https://app.example.com", "access-control-request-method": "GET" };

const REJECTIONS: { [name in FaultName]?: () => Promise<ReadResult> } = {
  wrong_issuer: () => readSigned({ iss: `${issuer.variables.JWT_ISSUER}/` }),
  wrong_audience: () => readSigned({ aud: "https://other.example.com" }),
  expired: () => readSigned({ exp: nowSeconds - 60 }),
  not_yet_valid: () => readSigned({ nbf: nowSeconds + 600 }),
  no_subject: () => readSigned({ sub: undefined }),
  id_token: () => readSigned({ nonce: "n" }, { typ: "JWT" }),
  cognito_id_token: () => readSigned({ token_use: "id" }, { typ: undefined }),
  wrong_typ: () => readSigned({}, { typ: "dpop+jwt" }),
  sender_constrained: () => readSigned({ cnf: { jkt: "k" } }),
  not_a_jwt: () => readWith("opaque"),
  wrong_algorithm: () => replace(/^[^.]+/, btoa(`{"alg":"HS256"}`).replace(/=+$/, "")),
  new_key_within_cooldown: () => readSigned({}, { kid: "rotated-out" }),
  forged: () => replace(/.{8}(?=.{8}$)/, "AAAAAAAA"),
  not_authenticated: () => read(undefined, { as: "nobody" }),
  insufficient_scope: () => readSigned({ scope: undefined }),
  run_not_found: async () => read(await insertRun({ owner_id: "stranger" })),
  invalid_run_id: () => read("no-uuid"),
  unlisted_origin: () => read(undefined, { as: "nobody", method: "OPTIONS", headers: PREFLIGHT }),
  rate_limited: () => reader.restart({ RATE_LIMITER: { limit: async () => ({ success: false }) } }).read(),
  misconfigured: () => reader.restart({ JWKS_URL: "http://issuer.example.com/jwks" }).read(),
};

test("there are these and no others", () => {
  expect(Object.keys(REJECTIONS).toSorted()).toEqual(listFaults("tokens", "requests"));
});

test.each(Object.entries(REJECTIONS))("%s", async (name, reject) => {
  expectFault(name as FaultName, await reject());
});

test("the log names the scope that is missing, and each setting with its rule", async () => {
  expect((await REJECTIONS.insufficient_scope?.())?.log["why"]).toBe("lacks crew-runs:read");
  expect((await REJECTIONS.misconfigured?.())?.log["why"]).toContain("JWKS_URL must be");
});
