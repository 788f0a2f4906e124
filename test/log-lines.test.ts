// The log line as troubleshooting.md documents it: requests in which each field occurs, without a value of a record.
import { expect, test, vi } from "vitest";
import fields from "../docs/data/log-fields.json";
import { listLines } from "./support/console.ts";
import { insertRun } from "./support/database.ts";
import { createReader } from "./support/reader.ts";
import { keepSecret } from "./support/secrets.ts";

test("the documented fields are the fields that occur, and no line contains a value of a record", async () => {
  const limit = () => Promise.reject(new Error("down"));
  const settings = { LOG_SUBJECT: "plain", RATE_LIMITER: { limit }, CF_VERSION_METADATA: { id: "v" } };
  const reader = await createReader({ settings });
  const logOf = async (id: string, headers = {}, from = reader) => (await from.read(id, { headers })).log;
  const finished = await insertRun({ status: "completed", result: keepSecret("a secret result") });
  const broken = await insertRun({ crew_config: `{"agents": "${keepSecret("secret agents")}"}` });

  await logOf(finished, { traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`, "cf-ray": "8f3a1b2c3d4e5f60-DFW" });
  const hit = { auth: "remembered", cache: "hit", cache_layer: "isolate", subject: "owner" };
  expect(await logOf(finished)).toMatchObject(hit);
  const failed = { code: "invalid_record", level: "error", rate_limit: "failed", version: "v" };
  expect(await logOf(broken)).toMatchObject(failed);
  expect(await logOf(await insertRun(), { prefer: "wait=1" })).toMatchObject({ waited_ms: expect.any(Number) });
  await reader.database.fail({ kind: "drop", times: 1 });
  expect(await logOf(await insertRun())).toMatchObject({ db_attempts: 2, db_faults: "connection_lost" });
  vi.spyOn(crypto.subtle, "digest").mockRejectedValue(new RangeError(keepSecret("a secret value")));
  expect(await logOf(await insertRun(), {}, reader.restart())).toMatchObject({ code: "internal_error" });

  const written = listLines().map(({ log }) => Object.keys(log));
  expect([...new Set(written.flat())].toSorted()).toEqual(Object.keys(fields).toSorted());
});
