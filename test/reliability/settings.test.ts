// Settings that are missing or malformed: the API is closed, the log says which and why, and never the value.
import { expect, test } from "vitest";
import { startWorker } from "../worker.ts";
import { expectAsDocumented } from "./fault-table.ts";
import { catchLines } from "./log-lines.ts";
import { readRun } from "./reader.ts";

const lines = catchLines();
const secret = "t0p-secret-value";

test.each([
  ["DATABASE_URL", undefined, "is required"],
  ["DATABASE_URL", "", "is required"],
  ["DATABASE_URL", secret, "must be postgresql://user:password@host/database"],
  ["DATABASE_URL", `mysql://user:${secret}@host/database`, "must be postgresql://user:password@host/database"],
  ["DATABASE_URL", `postgresql://user:${secret}@host`, "must be postgresql://user:password@host/database"],
  ["DATABASE_URL", `postgresql://user@host/${secret}`, "must be postgresql://user:password@host/database"],
  ["NEON_FETCH_ENDPOINT", `http://${secret}.example/sql`, "must be an https URL without credentials"],
  ["NEON_FETCH_ENDPOINT", `https://user:${secret}@example.com/sql`, "must be an https URL without credentials"],
  ["DATABASE_ATTEMPT_TIMEOUT_MS", "99", "must be a whole number from 100 to 9000"],
  ["DATABASE_ATTEMPT_TIMEOUT_MS", secret, "must be a whole number from 100 to 9000"],
  ["REQUEST_TIMEOUT_MS", "9501", "must be a whole number from 100 to 9500"],
  ["REQUEST_TIMEOUT_MS", "1e3", "must be a whole number from 100 to 9500"],
  ["JWT_ISSUER", undefined, "is required"],
  ["JWT_ISSUER", secret, "must be a URL"],
  ["JWT_AUDIENCE", undefined, "is required"],
  ["JWT_AUDIENCE", `"${secret}"`, "must list one or more words of printable ASCII"],
  ["JWT_AUDIENCE", " , ", "must list one or more words of printable ASCII"],
  ["JWKS_URL", undefined, "is required"],
  ["JWKS_URL", `http://${secret}.example/jwks`, "must be an https URL without credentials"],
  ["JWKS_URL", `data:application/json,${secret}`, "must be an https URL without credentials"],
  ["JWKS_MAX_STALE_SECONDS", "599", "must be a whole number from 600 to 86400"],
  ["JWT_ALGORITHMS", `RS256 ${secret}`, "must list some of RS256"],
  ["JWT_ALGORITHMS", "HS256", "must list some of RS256"],
  ["JWT_ALGORITHMS", "none", "must list some of RS256"],
  ["JWT_ALGORITHMS", " ", "must list some of RS256"],
  ["JWT_REQUIRE_AT_JWT", secret, "must be true or false"],
  ["JWT_LEEWAY_SECONDS", "61", "must be a whole number from 0 to 60"],
  ["AUDIENCE_CLAIM", `${secret} x`, "must be one word of printable ASCII"],
  ["SUBJECT_CLAIM", `${secret} x`, "must be one word of printable ASCII"],
  ["ADMIN_SCOPE", `${secret} x`, "must be one word of printable ASCII"],
  ["REQUIRED_SCOPE", `${secret}\n`, "must be one word of printable ASCII"],
  ["FINISHED_RUN_TTL_SECONDS", "-1", "must be a whole number from 0 to 604800"],
  ["MAX_WAIT_SECONDS", "61", "must be a whole number from 0 to 60"],
  ["CORS_ORIGINS", `https://app.example.com/${secret}`, "must list exact origins"],
  ["CORS_ORIGINS", "*", "must list exact origins"],
  ["LOG_SUBJECT", secret, "must be omit, hash or plain"],
  ["DOCS_CLIENT_ID", `${secret} x`, "must be one word of printable ASCII"],
])("%s as %j closes the API, and the log says that it %s", async (name, value, rule) => {
  const worker = startWorker({ [name]: value });
  const answer = await readRun(worker, crypto.randomUUID(), secret, lines);
  expectAsDocumented("a setting is missing or malformed", answer);
  expect(answer.log["why"]).toContain(`${name} ${rule}`);
  expect(answer.body).not.toContain(name);

  const health = await worker.fetch("/health");
  expect(health.status).toBe(200);
  expect(await health.json()).toEqual({ status: "ok" });
  const ready = await worker.fetch("/ready");
  expect(ready.status).toBe(503);
  expect(await ready.json()).toEqual({ status: "not_ready", settings: "misconfigured" });
  for (const text of lines.all()) expect(text).not.toContain(secret);
});

test("several wrong settings are named in one line", async () => {
  const worker = startWorker({ DATABASE_URL: undefined, JWKS_URL: "x", MAX_WAIT_SECONDS: "x" });
  const { log } = await readRun(worker, crypto.randomUUID(), "a.b.c", lines);
  for (const name of ["DATABASE_URL", "JWKS_URL", "MAX_WAIT_SECONDS"]) expect(log["why"]).toContain(name);
});
