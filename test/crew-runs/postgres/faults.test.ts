// Each way in which the SQL endpoint can fail: in a cold isolate, in a warm one, and for some requests of a burst.
import { describe, expect, test } from "vitest";
import type { FaultName } from "../../../docs/faults.ts";
import { insertRun } from "../../support/database.ts";
import { expectFault, listFaults } from "../../support/documented-fault.ts";
import type { Fault } from "../../support/fault-proxy-protocol.ts";
import type { User } from "../../support/issuer.ts";
import { createReader } from "../../support/reader.ts";

const USERS: readonly User[] = ["owner", "stranger", "admin"];

const reply = (status: number, text: string): Fault => ({ kind: "status", status, text });
const sqlError = (code: string, message: string) => reply(400, JSON.stringify({ message, code, severity: "FATAL" }));

/** These are tried three times. */
const TRANSIENT: readonly FaultName[] = [
  "connection_lost",
  "database_timeout",
  "endpoint_error",
  "invalid_reply",
  "server_busy",
];

const CASES: readonly (readonly [what: string, name: FaultName, fault: Fault])[] = [
  ["a connection that is refused", "connection_lost", { kind: "refuse" }],
  ["a connection that is dropped", "connection_lost", { kind: "drop" }],
  ["a connection that is dropped in the body", "connection_lost", { kind: "drop-in-body" }],
  ["no answer", "database_timeout", { kind: "hang" }],
  ["a body that stops", "database_timeout", { kind: "hang-in-body" }],
  ["a body that trickles", "database_timeout", { kind: "trickle", bytes: 10, intervalMs: 100 }],
  ["a 500 without a body", "endpoint_error", reply(500, "")],
  ["a 502 in HTML", "endpoint_error", reply(502, "<h1>Bad gateway</h1>")],
  ["a 429", "endpoint_error", reply(429, "slow down")],
  [
    "a compute that is waking up",
    "endpoint_error",
    reply(500, `{"message":"Couldn't connect to compute node","code":null}`),
  ],
  ["the control plane's failure", "endpoint_error", reply(400, `{"message":"Control plane request failed","code":""}`)],
  ["a 200 in HTML", "invalid_reply", reply(200, "<h1>Welcome</h1>")],
  ["a 400 in HTML", "invalid_reply", reply(400, "<h1>Bad request</h1>")],
  ["an empty 200", "invalid_reply", reply(200, "")],
  ["JSON null", "invalid_reply", reply(200, "null")],
  ["JSON of another shape", "invalid_reply", reply(200, `{"rows":{}}`)],
  ["half of the JSON", "invalid_reply", { kind: "truncated" }],
  ["a reply of 17 MB", "reply_too_large", { kind: "huge-body", megabytes: 17 }],
  [
    "a reply beyond the endpoint's own limit",
    "reply_too_large",
    reply(507, `{"message":"response is too large","code":""}`),
  ],
  ["too many connections", "server_busy", sqlError("53300", "sorry, too many clients already")],
  ["a server that starts", "server_busy", sqlError("57P03", "the database system is starting up")],
  ["a server that stops", "server_busy", sqlError("57P01", "terminating connection")],
  ["a serialisation failure", "server_busy", sqlError("40001", "canceling statement due to conflict with recovery")],
  ["a lock that is not available", "server_busy", sqlError("55P03", "canceling statement due to lock timeout")],
  ["an error of the system", "server_busy", sqlError("58030", "could not read file")],
  ["an internal error", "server_busy", sqlError("XX000", "unexpected data beyond EOF")],
  ["a redirect", "refused", { kind: "redirect", location: "http://127.0.0.1:9/" }],
  [
    "the proxy's refusal",
    "wrong_password",
    reply(400, `{"message":"password authentication failed for user 'r'","code":""}`),
  ],
  [
    "Neon's used-up allowance",
    "quota_exhausted",
    reply(402, `{"message":"exceeded the data transfer quota","code":""}`),
  ],
  ["a statement time-out", "statement_timeout", sqlError("57014", "canceling statement due to statement timeout")],
  [
    "a value that Postgres cannot write",
    "invalid_value",
    sqlError("22P02", 'invalid syntax for type json: "SECRET TEXT"'),
  ],
  ["an endpoint that doesn't exist", "endpoint_missing", reply(404, "")],
  ["a missing table", "table_missing", sqlError("42P01", `relation "crew_runs" does not exist`)],
];

/** The first of each name. */
const EXAMPLES = CASES.filter(([, name], index) => CASES.findIndex((other) => other[1] === name) === index);

const countAttempts = (name: FaultName) => (TRANSIENT.includes(name) ? 3 : 1);

// Most of their time is spent waiting.
describe.concurrent("a fault of the database:", () => {
  test.each(CASES)(
    "%s in a cold isolate and in a warm one is as documented, and ends with its cause",
    async (...row) => {
      const [, name, fault] = row;
      const attempts = countAttempts(name);
      // The time-out is short only in tests of the time-out: the machine may be busy.
      const settings = name === "database_timeout" ? { DATABASE_ATTEMPT_TIMEOUT_MS: 600 } : {};
      const { database, read } = await createReader({ settings });
      const id = await insertRun({ status: "running", result: "as stored" });
      for (const _isolate of ["cold", "warm"]) {
        await database.fail(fault);
        const failed = await read(id);
        expectFault(name, failed);
        expect([failed.queries, failed.log["db_attempts"]]).toEqual([attempts, attempts]);
        const kinds = String(failed.log["db_faults"]).split(" ");
        expect(kinds).toHaveLength(attempts);
        // The cause of each attempt.
        expect(String(failed.log["why"]).split(`${kinds[0]}: `)).toHaveLength(attempts + 1);
        if (fault.kind === "huge-body") expect(failed.log["why"]).toContain("bytes or more");

        await database.heal();
        let healed = await read(id);
        for (let left = 10; left > 0 && healed.log["db_faults"] !== undefined; left -= 1) healed = await read(id);
        expect(healed.status).toBe(200);
        expect(JSON.parse(healed.body)).toMatchObject({ id, result: "as stored" });
        expect(healed.log["db_faults"]).toBeUndefined();
      }
    },
  );

  test.each(EXAMPLES)("%s in the first four queries of a burst harms no other request", async (...row) => {
    const [, name, fault] = row;
    // As long as possible, so that no other attempt fails on a busy machine.
    const settings = { DATABASE_ATTEMPT_TIMEOUT_MS: name === "database_timeout" ? 3_000 : 9_000 };
    const { database, read } = await createReader({ settings });
    const ids = await Promise.all(USERS.map((user) => insertRun({ status: "running", owner_id: user })));
    // So that the burst consists of queries, not of key fetches.
    await read("no-uuid");
    await database.fail({ ...fault, times: 4 });
    const burst = Array.from({ length: 12 }, async (_, index) => {
      const [owner, id] = [USERS[index % 3] ?? "owner", ids[index % 3]];
      return { owner, id, result: await read(id, { as: owner }) };
    });
    let [failed, queries] = [0, 0];
    for (const { owner, id, result } of await Promise.all(burst)) {
      queries += Number(result.log["db_attempts"]);
      if (result.status === 200) expect(JSON.parse(result.body)).toMatchObject({ id, owner_id: owner });
      else {
        failed += 1;
        expectFault(name, result);
      }
      if (TRANSIENT.includes(name) && result.log["db_faults"] !== undefined) expectFault("transient_recovered", result);
    }
    expect([failed, queries]).toEqual(countAttempts(name) === 1 ? [4, 12] : [0, 16]);
  });
});

test("six records of 14 MB at once: some are refused, and the next one is read", async () => {
  const { database, read } = await createReader();
  const id = await insertRun();
  await database.fail({ kind: "huge-body", megabytes: 14 });
  const results = await Promise.all(Array.from({ length: 6 }, () => read(id)));
  const refused = results.filter(({ log }) => log["code"] === "overloaded");
  expect(refused.length).toBeGreaterThan(2);
  for (const result of refused) {
    expectFault("overloaded", result);
    expect(result.log["why"]).toContain("under way");
  }
  await database.heal();
  expect((await read(id)).status).toBe(200);
});

test("each documented fault of the database is among these, or in a test of waits or of Postgres's own errors", () => {
  const elsewhere = [
    "recovers_during_wait",
    "fails_to_end_of_wait",
    "refuses_during_wait",
    "refused_by_postgres",
    "database_missing",
    "permission_denied",
    "column_missing",
    "sql_error",
    "invalid_record",
  ];
  const shown = [...CASES.map(([, name]) => name), "transient_recovered", "overloaded", ...elsewhere];
  expect([...new Set(shown)].toSorted()).toEqual(listFaults("database", "rows"));
});
