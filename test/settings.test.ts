// Which settings are taken, and as what. With one that is missing or malformed the API is closed, the log says which and why,
// and never the value.
import { expect, test } from "vitest";
import { SIGNATURE_ALGORITHMS, SettingsSchema, readSettings } from "../src/settings.ts";
import { expectFault } from "./support/documented-fault.ts";
import { createReader } from "./support/reader.ts";
import { keepSecret } from "./support/secrets.ts";

const SECRET = keepSecret("t0p-secret-value");
const MINIMUM = {
  DATABASE_URL: "postgresql://reader:p%40ss@db.example.com/runs?sslmode=require",
  JWT_ISSUER: "https://issuer.example.com/",
  JWT_AUDIENCE: "https://api.example.com",
  JWKS_URL: "https://issuer.example.com/jwks",
};
const reader = await createReader();

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

/** The whole numbers and their bounds. */
const NUMBERS = [
  ["DATABASE_ATTEMPT_TIMEOUT_MS", 100, 9_000],
  ["REQUEST_TIMEOUT_MS", 100, 9_500],
  ["JWKS_MAX_STALE_SECONDS", 600, 86_400],
  ["JWT_LEEWAY_SECONDS", 0, 60],
  ["FINISHED_RUN_TTL_SECONDS", 0, 604_800],
  ["MAX_WAIT_SECONDS", 0, 60],
] as const;
const FLAGS = ["READY_CHECKS_DATABASE", "JWT_REQUIRE_AT_JWT"] as const;
const NAMES = ["AUDIENCE_CLAIM", "SUBJECT_CLAIM", "ADMIN_SCOPE", "REQUIRED_SCOPE", "DOCS_CLIENT_ID"] as const;

test.each<[Name, unknown, unknown?]>([
  ...NUMBERS.flatMap(([name, minimum, maximum]): [Name, unknown, unknown][] => [
    [name, `${minimum}`, minimum],
    [name, minimum, minimum],
    [name, `${maximum}`, maximum],
  ]),
  ...FLAGS.flatMap((name) =>
    ["true", true, "false", false].map((value): [Name, unknown, unknown] => [name, value, String(value) === "true"]),
  ),
  ["DATABASE_URL", "postgres://u:p@[::1]:5432/d"],
  ["JWT_ISSUER", "http://127.0.0.1:8789"],
  ["JWT_AUDIENCE", "api://3f8e;v=1", ["api://3f8e;v=1"]],
  ["JWT_AUDIENCE", "web-client, mobile-client\nback-end,", ["web-client", "mobile-client", "back-end"]],
  ["JWKS_URL", "http://127.8.255.1:8789/jwks"],
  ["JWKS_URL", "http://localhost/jwks"],
  ["JWKS_URL", "http://[::1]/jwks"],
  ...SIGNATURE_ALGORITHMS.map((name): [Name, unknown, unknown] => ["JWT_ALGORITHMS", name, [name]]),
  ["JWT_ALGORITHMS", "ES256, EdDSA", ["ES256", "EdDSA"]],
  ["ADMIN_SCOPE", "!#$%&'()*+,-./:;<=>?@[]^_`{|}~"],
  ["RIGHTS_CLAIMS", "realm_access.roles cognito:groups", ["realm_access.roles", "cognito:groups"]],
  ["RIGHTS_CLAIMS", ",", []],
  ["CORS_ORIGINS", "https://a.example.com http://localhost:3000", ["https://a.example.com", "http://localhost:3000"]],
  ["CORS_ORIGINS", " ", []],
  ["LOG_SUBJECT", "omit"],
  ["LOG_SUBJECT", "hash"],
  ["LOG_SUBJECT", "plain"],
])("%s may be %j", (name, value, expected = value) => {
  expect(readSettings({ ...MINIMUM, [name]: value })).toMatchObject({ ok: true, settings: { [name]: expected } });
});

test("the algorithms are the asymmetric ones of RFC 7518 and RFC 9864, in order of preference", () => {
  expect(SIGNATURE_ALGORITHMS.join(" ")).toBe("RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519");
});

const WORD = "must be one word of printable ASCII";
const WORDS = "must list one or more words of printable ASCII";
const DATABASE = "must be postgresql://user:password@host/database";
const SECURE = "must be an https URL without credentials (http only for a loopback host)";
const ALGORITHMS = `must list some of ${SIGNATURE_ALGORITHMS.join(" ")}`;
const ORIGINS = "must list exact origins such as https://app.example.com";

test.each<[Name, string, string]>([
  ...NUMBERS.flatMap(([name, minimum, maximum]) =>
    [`${minimum - 1}`, `${maximum + 1}`, "1e3", "+5", "600.5", SECRET].map((value): [Name, string, string] => [
      name,
      value,
      `must be a whole number from ${minimum} to ${maximum}`,
    ]),
  ),
  ...FLAGS.flatMap((name) =>
    [SECRET, "1", "TRUE", "yes"].map((value): [Name, string, string] => [name, value, "must be true or false"]),
  ),
  ...NAMES.flatMap((name) =>
    [`${SECRET} x`, `${SECRET}\n`, `"${SECRET}"`, `${SECRET}\\`, `${SECRET}é`, `${SECRET}\u007f`].map(
      (value): [Name, string, string] => [name, value, WORD],
    ),
  ),
  ["DATABASE_URL", SECRET, DATABASE],
  ["DATABASE_URL", `mysql://user:${SECRET}@host/database`, DATABASE],
  ["DATABASE_URL", `postgresqlx://user:${SECRET}@host/database`, DATABASE],
  ["DATABASE_URL", `postgresql://user:${SECRET}@host`, DATABASE],
  ["DATABASE_URL", `postgresql://user:${SECRET}@host/`, DATABASE],
  ["DATABASE_URL", `postgresql://user@host/${SECRET}`, DATABASE],
  ["DATABASE_URL", `postgresql://:${SECRET}@host/database`, DATABASE],
  ["NEON_FETCH_ENDPOINT", `http://${SECRET}.example/sql`, SECURE],
  ["NEON_FETCH_ENDPOINT", `https://${SECRET}@example.com/sql`, SECURE],
  ["NEON_FETCH_ENDPOINT", `https://:${SECRET}@example.com/sql`, SECURE],
  ["JWT_ISSUER", SECRET, "must be a URL"],
  ["JWT_ISSUER", `ftp://${SECRET}.example/`, "must be a URL"],
  ["JWT_AUDIENCE", `"${SECRET}"`, WORDS],
  ["JWT_AUDIENCE", " , ", WORDS],
  ["JWKS_URL", `http://${SECRET}.example/jwks`, SECURE],
  ["JWKS_URL", `data:application/json,${SECRET}`, SECURE],
  ...["127.0.0.1.example.com", "localhost.example.com", "notlocalhost", "[::2]"].map((host): [Name, string, string] => [
    "JWKS_URL",
    `http://${host}/jwks`,
    SECURE,
  ]),
  ["JWT_ALGORITHMS", `RS256 ${SECRET}`, ALGORITHMS],
  ...["HS256", "none", "rs256", " "].map((value): [Name, string, string] => ["JWT_ALGORITHMS", value, ALGORITHMS]),
  ["CORS_ORIGINS", `https://app.example.com/${SECRET}`, ORIGINS],
  ["CORS_ORIGINS", "https://app.example.com/", ORIGINS],
  ["CORS_ORIGINS", "*", ORIGINS],
  ["CORS_ORIGINS", "null", ORIGINS],
  ["LOG_SUBJECT", SECRET, "must be omit, hash or plain"],
])("%s as %j closes the API, and the log says that it %s", async (name, value, rule) => {
  const { read } = reader.restart({ [name]: value });
  const result = await read(undefined, { token: SECRET });
  expectFault("misconfigured", result);
  expect(result.log["why"]).toBe(`${name} ${rule}`);
  expect(result.body).not.toContain(name);
});

test("several wrong settings are named in one line; routes that need none still work", async () => {
  const { read } = reader.restart({ DATABASE_URL: undefined, JWKS_URL: "x", MAX_WAIT_SECONDS: "x" });
  const { log } = await read();
  for (const name of ["DATABASE_URL", "JWKS_URL", "MAX_WAIT_SECONDS"]) expect(log["why"]).toContain(name);
  expect((await read("/health")).body).toBe(`{"status":"ok"}`);
  const ready = await read("/ready");
  expect([ready.status, ready.body]).toEqual([503, `{"status":"not_ready","settings":"misconfigured"}`]);
});
