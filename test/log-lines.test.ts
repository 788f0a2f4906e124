// The log line as troubleshooting.md documents it: requests in which each field occurs, without a value of a record.
import { expect, test, vi } from "vitest";
import fields from "../docs/data/log-fields.json";
import { insertRun } from "./support/database.ts";
import { openDatabaseProxy } from "./support/fault-proxy.ts";
import { openIssuer } from "./support/issuer.ts";
import { listLines } from "./support/console.ts";
import { catchLines } from "./support/log-lines.ts";
import { readRun } from "./support/read-run.ts";
import { keepSecret } from "./support/secrets.ts";
import { makeKey } from "./support/signing.ts";
import { createTestApp } from "./support/test-app.ts";

const lines = catchLines();

test("the documented fields are the fields that occur, and no line contains a value of a record", async () => {
  const [issuer, database] = [await openIssuer([await makeKey("ES256")]), await openDatabaseProxy()];
  const start = (variables = {}) =>
    createTestApp({
      ...issuer.variables,
      NEON_FETCH_ENDPOINT: database.url,
      CF_VERSION_METADATA: { id: "v" },
      ...variables,
    });
  const limit = () => Promise.reject(new Error("down"));
  const app = start({ LOG_SUBJECT: "plain", RATE_LIMITER: { limit } });
  const token = await issuer.sign();
  const read = async (id: string, headers = {}, from = app) => (await readRun(from, id, token, lines, headers)).log;
  const finished = await insertRun({ status: "completed", result: keepSecret("a secret result") });
  const running = await insertRun({ crew_config: `{"agents": "${keepSecret("secret agents")}"}` });

  await read(finished, { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`, "cf-ray": "8f3a1b2c3d4e5f60-DFW" });
  expect(await read(finished)).toMatchObject({
    auth: "remembered",
    cache: "hit",
    cache_layer: "isolate",
    subject: "owner",
  });
  expect(await read(running)).toMatchObject({
    code: "invalid_record",
    level: "error",
    rate_limit: "failed",
    version: "v",
  });
  expect(await read(await insertRun(), { prefer: "wait=1" })).toMatchObject({ waited_ms: expect.any(Number) });
  await database.fail({ kind: "drop", times: 1 });
  expect(await read(await insertRun())).toMatchObject({ db_attempts: 2, db_faults: "connection_lost" });
  vi.spyOn(crypto.subtle, "digest").mockRejectedValue(new RangeError(keepSecret("a secret value")));
  expect(await read(await insertRun(), {}, start())).toMatchObject({ code: "internal_error" });

  const written = listLines().map(({ log }) => Object.keys(log));
  expect([...new Set(written.flat())].toSorted()).toEqual(Object.keys(fields).toSorted());
});
