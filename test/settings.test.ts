// Which settings are taken, and as what. If one is missing or malformed, the API is closed, and the log says which and why, but
// never the value.
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

type Taken = [Name, values: unknown[], as?: unknown[]];

test.each<Taken>([
  ...NUMBERS.map(([name, min, max]): Taken => [name, [`${min}`, min, `${max}`], [min, min, max]]),
  ...FLAGS.map((name): Taken => [name, ["true", true, "false", false], [true, true, false, false]]),
  ["DATABASE_URL", ["postgres://u:p@[::1]:5432/d"]],
  ["JWT_ISSUER", ["http://127.0.0.1:8789"]],
  ["JWT_AUDIENCE", ["api://3f8e;v=1", "web, mobile\nback,"], [["api://3f8e;v=1"], ["web", "mobile", "back"]]],
  ["JWKS_URL", ["http://127.8.255.1:8789/jwks", "http://localhost/jwks", "http://[::1]/jwks"]],
  ["JWT_ALGORITHMS", [...SIGNATURE_ALGORITHMS], SIGNATURE_ALGORITHMS.map((name) => [name])],
  ["JWT_ALGORITHMS", ["ES256, EdDSA"], [["ES256", "EdDSA"]]],
  ["ADMIN_SCOPE", ["!#$%&'()*+,-./:;<=>?@[]^_`{|}~"]],
  ["RIGHTS_CLAIMS", ["realm_access.roles cognito:groups", ","], [["realm_access.roles", "cognito:groups"], []]],
  ["CORS_ORIGINS", ["https://a.example http://[::1]:3000", " "], [["https://a.example", "http://[::1]:3000"], []]],
  ["LOG_SUBJECT", ["omit", "hash", "plain"]],
])("%s may be any of %j", (name, values, expected = values) => {
  const settings = expected.map((value) => ({ ok: true, settings: { [name]: value } }));
  expect(values.map((value) => readSettings({ ...MINIMUM, [name]: value }))).toMatchObject(settings);
});

test("the algorithms are the asymmetric ones of RFC 7518 and RFC 9864, in order of preference", () => {
  expect(SIGNATURE_ALGORITHMS.join(" ")).toBe("RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519");
});

const SECURE = "must be an https URL without credentials (http only for a loopback host)";
const ALGORITHMS = `must list some of ${SIGNATURE_ALGORITHMS.join(" ")}`;
const ORIGINS = "must list exact origins such as https://app.example.com";
type Wrong = [Name, rule: string, ...values: string[]];

test.each<Wrong>([
  ...NUMBERS.map(([name, minimum, maximum]): Wrong => {
    const beyond = [`${minimum - 1}`, `${maximum + 1}`];
    return [name, `must be a whole number from ${minimum} to ${maximum}`, ...beyond, "1e3", "+5", "600.5", SECRET];
  }),
  ...FLAGS.map((name): Wrong => [name, "must be true or false", SECRET, "1", "TRUE", "yes"]),
  ...NAMES.map((name): Wrong => {
    const ends = [" x", "\n", '"', "\\", "é", "\u007f"];
    return [name, "must be one word of printable ASCII", ...ends.map((end) => SECRET + end)];
  }),
  [
    "DATABASE_URL",
    "must be postgresql://user:password@host/database",
    SECRET,
    `mysql://user:${SECRET}@host/database`,
    `postgresqlx://user:${SECRET}@host/database`,
    `postgresql://user:${SECRET}@host`,
    `postgresql://user:${SECRET}@host/`,
    `postgresql://user@host/${SECRET}`,
    `postgresql://:${SECRET}@host/database`,
  ],
  ["NEON_FETCH_ENDPOINT", SECURE, `http://${SECRET}.test/`, `https://${SECRET}@a.test/`, `https://:${SECRET}@a.test/`],
  ["JWT_ISSUER", "must be a URL", SECRET, `ftp://${SECRET}.example/`],
  ["JWT_AUDIENCE", "must list one or more words of printable ASCII", `"${SECRET}"`, " , "],
  ["JWKS_URL", SECURE, `http://${SECRET}.example/jwks`, `data:application/json,${SECRET}`, "http://[::2]/jwks"],
  ["JWKS_URL", SECURE, "http://127.0.0.1.example.com/", "http://localhost.example.com/", "http://notlocalhost/"],
  ["JWT_ALGORITHMS", ALGORITHMS, `RS256 ${SECRET}`, "HS256", "none", "rs256", " "],
  ["CORS_ORIGINS", ORIGINS, `https://app.example.com/${SECRET}`, "https://app.example.com/", "*", "null"],
  ["LOG_SUBJECT", "must be omit, hash or plain", SECRET],
])("the API is closed and the log says that %s %s: %j", async (name, rule, ...values) => {
  for (const value of values) {
    const { read } = reader.restart({ [name]: value });
    const result = await read(undefined, { token: SECRET });
    expectFault("misconfigured", result);
    expect(result.log["why"], value).toBe(`${name} ${rule}`);
    expect(result.body).not.toContain(name);
  }
});

test("several wrong settings are named in one line; routes that need none still work", async () => {
  const { read } = reader.restart({ DATABASE_URL: undefined, JWKS_URL: "x", MAX_WAIT_SECONDS: "x" });
  const { log } = await read();
  for (const name of ["DATABASE_URL", "JWKS_URL", "MAX_WAIT_SECONDS"]) expect(log["why"]).toContain(name);
  expect((await read("/health")).body).toBe(`{"status":"ok"}`);
  const ready = await read("/ready");
  expect([ready.status, ready.body]).toEqual([503, `{"status":"not_ready","settings":"misconfigured"}`]);
});
