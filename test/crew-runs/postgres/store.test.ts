// The statement against the real database: which runs it finds for whom, its attempts and time limits, and which of Postgres's
// messages reach the log.
import { beforeEach, describe, expect, inject, test, vi } from "vitest";
import type { FaultName } from "../../../docs/faults.ts";
import { controlClock } from "../../support/clock.ts";
import { ROW_ID, makeReply } from "../../support/database-reply.ts";
import { connectAsOwner, insertRun, updateRun } from "../../support/database.ts";
import { expectFault } from "../../support/documented-fault.ts";
import type { CannedResponse } from "../../support/fault-proxy-protocol.ts";
import type { User } from "../../support/issuer.ts";
import { type ReadResult, createReader } from "../../support/reader.ts";
import { keepSecret } from "../../support/secrets.ts";

const clock = controlClock();
beforeEach(() => clock.simulate());

const { variables, ownerDatabaseUrl } = inject("localStack");

interface Statement {
  query: string;
  params: readonly string[];
}

/** The endpoint's reply to a statement, or to several that are one transaction: real words of Postgres. */
async function ask(payload: Statement | { queries: Statement[] }, databaseUrl = variables.DATABASE_URL) {
  const response = await fetch(variables.NEON_FETCH_ENDPOINT, {
    method: "POST",
    headers: { "neon-connection-string": databaseUrl, "neon-raw-text-output": "true", "neon-array-mode": "true" },
    body: JSON.stringify(payload),
  });
  return { status: response.status, text: await response.text() };
}

/** Reads a run that a database with this one reply has. */
const readReply = async (database: CannedResponse, settings = {}): Promise<ReadResult> =>
  (await createReader({ database, settings })).read();

/** The statements with which the Worker reads a run: the first read, and a wait's poll for the end. */
async function catchStatements(id: string): Promise<Statement[]> {
  const { database, read } = await createReader();
  await read(id, { headers: { prefer: "wait=2" } });
  const statements = (await database.requests()).map(({ body }): Statement => JSON.parse(body));
  return [...new Map(statements.map((statement) => [statement.query, statement])).values()];
}

describe("the statement", () => {
  test("finds a run for its owner and for admins only, by values that are no part of it; in the polls of a wait, once it is finished", async () => {
    const id = await insertRun({ status: "running" });
    const [first, poll, ...more] = await catchStatements(id);
    expect(more).toEqual([]);
    for (const statement of [first, poll]) expect(statement?.params).toEqual([id, "owner", "false"]);
    const count = async (statement: Statement | undefined) => {
      const readers = ["owner", "stranger", "Owner", "%", ""].map((subject) => [id, subject, false]);
      const found = [...readers, [id, "admin", true]].map((values) =>
        connectAsOwner().query(statement?.query ?? "", values),
      );
      return (await Promise.all(found)).map((rows) => rows.length);
    };
    expect(await count(first)).toEqual([1, 0, 0, 0, 0, 1]);
    expect(await count(poll)).toEqual([0, 0, 0, 0, 0, 0]);
    for (const status of ["failed", "completed"]) {
      await updateRun(id, `status = '${status}'`);
      expect(await count(poll)).toEqual([1, 0, 0, 0, 0, 1]);
    }
  });

  /** Reads a run in an adopted table: a view with these columns in place of the table. */
  async function readThrough(columns: Record<string, string>): Promise<ReadResult> {
    const names =
      "id correlation_id owner_id status created_at crew_type crew_config task_input result error started_at completed_at";
    const view = names.split(" ").map((name) => `${columns[name] ?? name} as ${name}`);
    const id = await insertRun({ status: "completed", result: "done" });
    const [statement] = await catchStatements(id);
    if (statement === undefined) throw new Error("the Worker sent no statement");
    const run = (query: string) => ({ query, params: [] });
    const queries = [
      run("create schema adopted"),
      run(`create view adopted.crew_runs as select ${view.join()} from crew_runs`),
      run("set local search_path = adopted"),
      statement,
      run("drop schema adopted cascade"),
    ];
    const { text } = await ask({ queries }, ownerDatabaseUrl);
    const { results } = JSON.parse(text) as { results: object[] };
    return (await createReader({ database: { text: JSON.stringify(results[3]) } })).read(id);
  }

  test.each([
    ["'0044-03-15'", 200],
    ["'0044-03-15 BC'", 500],
    ["'infinity'", 500],
    ["'10000-01-01'", 500],
  ])("serves the time %s: %i; what RFC 3339 cannot write is not served as another time", async (time, status) => {
    const result = await readThrough({ created_at: `${time}::timestamptz` });
    expect(result.status).toBe(status);
    if (status === 500) expectFault("invalid_record", result);
  });

  test("gives the text that it compares: an owner in a char(50) is the one without blanks", async () => {
    const columns = ["correlation_id", "owner_id", "status", "result"].map((name) => [name, `${name}::char(50)`]);
    const { body } = await readThrough(Object.fromEntries(columns));
    expect(JSON.parse(body)).toMatchObject({ owner_id: "owner", status: "completed", result: "done" });
  });
});

describe("a row that isn't what was asked for is no run, whatever the database compared equal:", () => {
  test.each<[string, string, object, User, number]>([
    ["the owner's own row", ROW_ID, {}, "owner", 200],
    ["the row of an owner in another case", ROW_ID, { owner_id: "Owner" }, "owner", 404],
    ["the row of an owner with a blank behind", ROW_ID, { owner_id: "owner " }, "owner", 404],
    ["a row with another id", crypto.randomUUID(), {}, "owner", 404],
    ["any owner's row, for an admin", ROW_ID, { owner_id: "Owner" }, "admin", 200],
    ["a row with another id, for an admin", crypto.randomUUID(), {}, "admin", 404],
  ])("%s", async (_, id, row, as, status) => {
    const { read } = await createReader({ database: { text: makeReply(row) } });
    expect((await read(id, { as })).status).toBe(status);
  });
});

describe("all attempts together", () => {
  test("are three with growing pauses of a random length", async () => {
    const { database, read } = await createReader();
    // Fetches the keys, before waits for them end at once.
    await read("/ready");
    await database.fail({ kind: "drop" });
    const wait = vi.spyOn(scheduler, "wait").mockResolvedValue(undefined);
    for (let time = 0; time < 20; time += 1) expect((await read()).queries).toBe(3);
    // The other times that the Worker waits for are whole.
    const pauses = wait.mock.calls.map(([milliseconds]) => Number(milliseconds)).filter((ms) => !Number.isInteger(ms));
    expect(pauses.length).toBe(40);
    expect(new Set(pauses).size).toBeGreaterThan(30);
    const sumOf = (remainder: number) => pauses.reduce((sum, ms, index) => sum + (index % 2 === remainder ? ms : 0), 0);
    expect(sumOf(1)).toBeGreaterThan(sumOf(0));
    // Long enough to help a database, and short enough for a reader who waits.
    expect(Math.min(...pauses)).toBeGreaterThan(40);
    expect(Math.max(...pauses)).toBeLessThan(1_000);
  });

  test("are three though the password can't be percent-decoded", async () => {
    const url = Object.assign(new URL(variables.DATABASE_URL), { password: "50%" });
    const { database, read } = await createReader({ settings: { DATABASE_URL: url.href } });
    await database.fail({ kind: "drop" });
    const result = await read();
    expectFault("connection_lost", result);
    expect(result.queries).toBe(3);
  });
});

describe("Postgres's refusal", () => {
  test.each<[string, FaultName, string]>([
    ["a missing table", "table_missing", "select id from crew_run"],
    ["a missing column", "column_missing", "select agent from crew_runs"],
    ["a column of another type", "sql_error", "select id from crew_runs where status = 1"],
    ["a table that the role may not read", "permission_denied", "select * from pg_authid"],
  ])("because of %s is in the log only, and is not asked for twice", async (_, name, query) => {
    const refusal = await ask({ query, params: [] });
    expect(refusal.status).toBe(400);
    const result = await readReply(refusal);
    expectFault(name, result);
    expect(result.queries).toBe(1);
  });

  test.each<[Record<string, string>, FaultName]>([
    [{ password: keepSecret("wrong-password") }, "refused_by_postgres"],
    [{ username: "postgres" }, "refused_by_postgres"],
    [{ pathname: "/missing" }, "database_missing"],
  ])("of %j is in the log only, without a secret, and is not asked for twice", async (part, name) => {
    const url = Object.assign(new URL(variables.DATABASE_URL), part);
    const { read } = await createReader({ settings: { DATABASE_URL: url.href } });
    const result = await read();
    expectFault(name, result);
    expect(result.queries).toBe(1);
  });

  const echo = (secret: string) => `cannot use ${secret}, of postgresql://reader:${secret}@db.example.com/runs`;

  test.each([
    [400, "s3cret", echo("s3cret"), "cannot use ***, of postgresql://reader:***@db.example.com/runs"],
    [500, "s3cret", echo("s3cret"), "cannot use ***, of postgresql://reader:***@db.example.com/runs"],
    [400, "p%40ss%2Fw", "cannot use p@ss/w or p%40ss%2Fw", "cannot use *** or ***"],
  ])("that echoes the connection string or its password shows neither: %i, %s", async (status, password, ...texts) => {
    const [message, shown] = texts;
    for (const secret of [password, decodeURIComponent(password)]) keepSecret(secret);
    const settings = { DATABASE_URL: `postgresql://reader:${password}@db.example.com/runs` };
    const { log } = await readReply({ status, text: JSON.stringify({ message }) }, settings);
    expect(log["why"]).toContain(shown);
  });
});
