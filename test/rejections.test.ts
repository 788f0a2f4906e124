// Each documented rejection of a token or of another request: its response and its log line.
import { expect, test } from "vitest";
import type { FaultName } from "../docs/faults.ts";
import { insertRun } from "./support/database.ts";
import { expectFault, listFaults } from "./support/documented-fault.ts";
import { openIssuer } from "./support/issuer.ts";
import { catchLines } from "./support/log-lines.ts";
import { type ReadRun, readRun } from "./support/read-run.ts";
import { makeKey } from "./support/signing.ts";
import { bearer, createTestApp } from "./support/test-app.ts";

const lines = catchLines();
const issuer = await openIssuer([await makeKey("ES256")]);
const app = createTestApp({ ...issuer.variables, REQUIRED_SCOPE: "crew-runs:read" });
const nowSeconds = Math.floor(Date.now() / 1_000);

const readWith = async (token: string, id?: string) => readRun(app, id ?? (await insertRun()), token, lines);
const readSigned = async (claims = {}, header = {}) => readWith(await issuer.sign(claims, { header }));
const replace = async (part: RegExp, text: string) => readWith((await issuer.sign()).replace(part, text));

async function request(headers: Record<string, string>, method = "GET", to = app): Promise<ReadRun> {
  const response = await to.fetch(`/api/crew-runs/${crypto.randomUUID()}`, { headers, method });
  const [log = {}] = lines.of(response.headers.get("x-request-id"));
  return { response, status: response.status, headers: response.headers, body: await response.text(), log };
}

const REJECTIONS: { [name in FaultName]?: () => Promise<ReadRun> } = {
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
  not_authenticated: () => request({}),
  insufficient_scope: () => readSigned({ scope: undefined }),
  run_not_found: async () => readWith(await issuer.sign(), await insertRun({ owner_id: "stranger" })),
  invalid_run_id: async () => readWith(await issuer.sign(), "no-uuid"),
  unlisted_origin: () =>
    request({ origin: "https://app.example.com", "access-control-request-method": "GET" }, "OPTIONS"),
  rate_limited: async () => {
    const RATE_LIMITER = { limit: async () => ({ success: false }) };
    return request(bearer(await issuer.sign()), "GET", createTestApp({ ...issuer.variables, RATE_LIMITER }));
  },
  misconfigured: () => request({}, "GET", createTestApp({ JWKS_URL: "http://issuer.example.com/jwks" })),
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
