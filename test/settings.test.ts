// Which settings are taken, and as what. With one that is missing or malformed the API is closed, the log says which and why,
// and never the value. That the documents tell the same: operations/settings.test.ts.
import { expect, test } from "vitest";
import { SIGNATURE_ALGORITHMS, SettingsSchema, readSettings } from "../src/settings.ts";
import { expectFault } from "./support/documented-fault.ts";
import { catchLines } from "./support/log-lines.ts";
import { readRun } from "./support/read-run.ts";
import { createTestApp } from "./support/test-app.ts";

const SECRET = "t0p-secret-value";
const MINIMUM = {
  DATABASE_URL: "postgresql://reader:p%40ss@db.example.com/runs?sslmode=require",
  JWT_ISSUER: "https://issuer.example.com/",
  JWT_AUDIENCE: "https://api.example.com",
  JWKS_URL: "https://issuer.example.com/jwks",
};
const lines = catchLines();

type Name = keyof typeof SettingsSchema.shape;

test("four settings are enough, and the rest has defaults", () => {
  const settings = {
    ...MINIMUM,
    JWT_AUDIENCE: [MINIMUM.JWT_AUDIENCE],
    DATABASE_ATTEMPT_TIMEOUT_MS: 4_000,
    REQUEST_TIMEOUT_MS: 9_000,
    READY_CHECKS_DATABASE: false,
    JWKS_MAX_STALE_SECONDS: 14_400,
    JWT_ALGORITHMS: [...SIGNATURE_ALGORITHMS],
    JWT_REQUIRE_AT_JWT: false,
    JWT_LEEWAY_SECONDS: 10,
    AUDIENCE_CLAIM: "aud",
    SUBJECT_CLAIM: "sub",
    RIGHTS_CLAIMS: ["scope", "scp", "permissions"],
    ADMIN_SCOPE: "crew-runs:admin",
    FINISHED_RUN_TTL_SECONDS: 3_600,
    MAX_WAIT_SECONDS: 30,
    CORS_ORIGINS: [],
    LOG_SUBJECT: "omit",
  };
  expect(readSettings(MINIMUM)).toEqual({ ok: true, settings });
  const problems = Object.keys(MINIMUM).map((name) => `${name} is required`);
  expect(readSettings({})).toEqual({ ok: false, problems });
});

test("an empty value counts as absent; what is no setting is passed over", () => {
  const empty = Object.fromEntries(Object.keys(SettingsSchema.shape).map((name) => [name, ""]));
  expect(readSettings({ ...empty, ...MINIMUM, ASSETS: {}, OTHER: "x" })).toEqual(readSettings(MINIMUM));
});

test.each<[Name, unknown, unknown?]>([
  ["DATABASE_URL", "postgres://u:p@[::1]:5432/d"],
  ["JWT_ISSUER", "http://127.0.0.1:8789"],
  ["JWT_AUDIENCE", "api://3f8e", ["api://3f8e"]],
  ["JWT_AUDIENCE", "web-client, mobile-client back-end", ["web-client", "mobile-client", "back-end"]],
  ["JWKS_URL", "http://127.0.0.1:8789/jwks"],
  ["JWKS_URL", "http://localhost/jwks"],
  ["JWKS_URL", "http://[::1]/jwks"],
  ["JWT_ALGORITHMS", "ES256, EdDSA", ["ES256", "EdDSA"]],
  ["JWT_REQUIRE_AT_JWT", true],
  ["RIGHTS_CLAIMS", "realm_access.roles cognito:groups", ["realm_access.roles", "cognito:groups"]],
  ["JWT_LEEWAY_SECONDS", "0", 0],
  ["JWT_LEEWAY_SECONDS", "60", 60],
  ["MAX_WAIT_SECONDS", 5],
  ["CORS_ORIGINS", "https://a.example.com http://localhost:3000", ["https://a.example.com", "http://localhost:3000"]],
  ["LOG_SUBJECT", "hash"],
])("%s may be %j", (name, value, expected = value) => {
  expect(readSettings({ ...MINIMUM, [name]: value })).toMatchObject({ ok: true, settings: { [name]: expected } });
});

const WORD = "must be one word of printable ASCII";
const WORDS = "must list one or more words of printable ASCII";
const DATABASE = "must be postgresql://user:password@host/database";
const SECURE = "must be an https URL without credentials";
const ALGORITHMS = "must list some of RS256";
const whole = (bounds: string) => `must be a whole number from ${bounds}`;

test.each<[Name, string | undefined, string]>([
  ["DATABASE_URL", undefined, "is required"],
  ["DATABASE_URL", "", "is required"],
  ["DATABASE_URL", SECRET, DATABASE],
  ["DATABASE_URL", `mysql://user:${SECRET}@host/database`, DATABASE],
  ["DATABASE_URL", `postgresql://user:${SECRET}@host`, DATABASE],
  ["DATABASE_URL", `postgresql://user@host/${SECRET}`, DATABASE],
  ["NEON_FETCH_ENDPOINT", `http://${SECRET}.example/sql`, SECURE],
  ["NEON_FETCH_ENDPOINT", `https://user:${SECRET}@example.com/sql`, SECURE],
  ["DATABASE_ATTEMPT_TIMEOUT_MS", "99", whole("100 to 9000")],
  ["DATABASE_ATTEMPT_TIMEOUT_MS", SECRET, whole("100 to 9000")],
  ["REQUEST_TIMEOUT_MS", "9501", whole("100 to 9500")],
  ["REQUEST_TIMEOUT_MS", "1e3", whole("100 to 9500")],
  ["JWT_ISSUER", undefined, "is required"],
  ["JWT_ISSUER", SECRET, "must be a URL"],
  ["JWT_AUDIENCE", undefined, "is required"],
  ["JWT_AUDIENCE", `"${SECRET}"`, WORDS],
  ["JWT_AUDIENCE", " , ", WORDS],
  ["JWKS_URL", undefined, "is required"],
  ["JWKS_URL", `http://${SECRET}.example/jwks`, SECURE],
  ["JWKS_URL", `data:application/json,${SECRET}`, SECURE],
  ["JWKS_URL", "http://127.0.0.1.example.com/jwks", SECURE],
  ["JWKS_URL", "http://localhost.example.com/jwks", SECURE],
  ["JWKS_URL", "http://notlocalhost/jwks", SECURE],
  ["JWKS_URL", "http://[::2]/jwks", SECURE],
  ["JWKS_MAX_STALE_SECONDS", "599", whole("600 to 86400")],
  ["JWT_ALGORITHMS", `RS256 ${SECRET}`, ALGORITHMS],
  ["JWT_ALGORITHMS", "HS256", ALGORITHMS],
  ["JWT_ALGORITHMS", "none", ALGORITHMS],
  ["JWT_ALGORITHMS", " ", ALGORITHMS],
  ["JWT_REQUIRE_AT_JWT", SECRET, "must be true or false"],
  ["JWT_LEEWAY_SECONDS", "61", whole("0 to 60")],
  ["AUDIENCE_CLAIM", `${SECRET} x`, WORD],
  ["SUBJECT_CLAIM", `${SECRET} x`, WORD],
  ["ADMIN_SCOPE", `${SECRET} x`, WORD],
  ["REQUIRED_SCOPE", `${SECRET}\n`, WORD],
  ["FINISHED_RUN_TTL_SECONDS", "-1", whole("0 to 604800")],
  ["MAX_WAIT_SECONDS", "61", whole("0 to 60")],
  ["CORS_ORIGINS", `https://app.example.com/${SECRET}`, "must list exact origins"],
  ["CORS_ORIGINS", "*", "must list exact origins"],
  ["LOG_SUBJECT", SECRET, "must be omit, hash or plain"],
  ["DOCS_CLIENT_ID", `${SECRET} x`, WORD],
])("%s as %j closes the API, and the log says that it %s", async (name, value, rule) => {
  const app = createTestApp({ [name]: value });
  const answer = await readRun(app, crypto.randomUUID(), SECRET, lines);
  expectFault("misconfigured", answer);
  expect(answer.log["why"]).toContain(`${name} ${rule}`);
  expect(answer.body).not.toContain(name);

  expect(await (await app.fetch("/health")).json()).toEqual({ status: "ok" });
  const ready = await app.fetch("/ready");
  expect(ready.status).toBe(503);
  expect(await ready.json()).toEqual({ status: "not_ready", settings: "misconfigured" });
  for (const text of lines.all()) expect(text).not.toContain(SECRET);
});

test("several wrong settings are named in one line", async () => {
  const app = createTestApp({ DATABASE_URL: undefined, JWKS_URL: "x", MAX_WAIT_SECONDS: "x" });
  const { log } = await readRun(app, crypto.randomUUID(), "a.b.c", lines);
  for (const name of ["DATABASE_URL", "JWKS_URL", "MAX_WAIT_SECONDS"]) expect(log["why"]).toContain(name);
});
