import { describe, expect, test } from "vitest";
import { SettingsSchema, readSettings } from "../src/settings.ts";

const minimum = {
  DATABASE_URL: "postgresql://reader:p%40ss@db.example.com/runs?sslmode=require",
  JWT_ISSUER: "https://issuer.example.com/",
  JWT_AUDIENCE: "https://api.example.com",
  JWKS_URL: "https://issuer.example.com/jwks",
};

type Name = keyof typeof SettingsSchema.shape;

function readProblems(variables: object): string[] {
  const read = readSettings(variables);
  return read.ok ? [] : read.problems;
}

test("four settings are enough, and the rest has defaults", () => {
  const read = readSettings(minimum);
  expect(read).toMatchObject({
    ok: true,
    settings: { ...minimum, JWT_AUDIENCE: [minimum.JWT_AUDIENCE], MAX_WAIT_SECONDS: 30 },
  });
  expect(readProblems({})).toEqual(Object.keys(minimum).map((name) => `${name} is required`));
});

test("an empty value counts as absent", () => {
  const empty = Object.fromEntries(Object.keys(SettingsSchema.shape).map((name) => [name, ""]));
  expect(readSettings({ ...empty, ...minimum })).toEqual(readSettings(minimum));
});

test("a number or a truth value that is none of text is read as its text", () => {
  const read = readSettings({ ...minimum, MAX_WAIT_SECONDS: 5, JWT_REQUIRE_AT_JWT: true });
  expect(read).toMatchObject({ ok: true, settings: { MAX_WAIT_SECONDS: 5, JWT_REQUIRE_AT_JWT: true } });
});

test("what is no setting is passed over", () => {
  expect(readSettings({ ...minimum, ASSETS: {}, OTHER: "x" })).toEqual(readSettings(minimum));
});

describe("taken:", () => {
  test.for<[Name, string, unknown]>([
    ["DATABASE_URL", "postgres://u:p@[::1]:5432/d", "postgres://u:p@[::1]:5432/d"],
    ["JWT_ISSUER", "http://127.0.0.1:8789", "http://127.0.0.1:8789"],
    ["JWT_AUDIENCE", "api://3f8e", ["api://3f8e"]],
    ["JWT_AUDIENCE", "web-client, mobile-client back-end", ["web-client", "mobile-client", "back-end"]],
    ["JWKS_URL", "http://127.0.0.1:8789/jwks", "http://127.0.0.1:8789/jwks"],
    ["JWKS_URL", "http://localhost/jwks", "http://localhost/jwks"],
    ["JWKS_URL", "http://[::1]/jwks", "http://[::1]/jwks"],
    ["JWT_ALGORITHMS", "ES256, EdDSA", ["ES256", "EdDSA"]],
    ["RIGHTS_CLAIMS", "realm_access.roles cognito:groups", ["realm_access.roles", "cognito:groups"]],
    ["JWT_LEEWAY_SECONDS", "0", 0],
    ["JWT_LEEWAY_SECONDS", "60", 60],
    ["FINISHED_RUN_TTL_SECONDS", "0", 0],
    ["CORS_ORIGINS", "https://a.example.com http://localhost:3000", ["https://a.example.com", "http://localhost:3000"]],
    ["LOG_SUBJECT", "hash", "hash"],
  ])("%s = %s", ([name, value, expected]) => {
    const read = readSettings({ ...minimum, [name]: value });
    expect(read).toMatchObject({ ok: true, settings: { [name]: expected } });
  });
});

// What is refused, and that no refusal repeats the value: reliability/settings.test.ts.
test.for(["http://127.0.0.1.example.com/jwks", "http://localhost.example.com/jwks", "http://[::2]/jwks"])(
  "%s is no loopback host",
  (url) => {
    expect(readProblems({ ...minimum, JWKS_URL: url })).toHaveLength(1);
  },
);
