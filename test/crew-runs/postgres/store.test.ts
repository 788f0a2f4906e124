// The statement against the real database: which runs it finds for whom, its attempts and time limits, and which of Postgres's
// messages reach the log.
import { describe, expect, inject, test, vi } from "vitest";
import type { FaultName } from "../../../docs/faults.ts";
import { expectFault } from "../../support/documented-fault.ts";
import { catchLines } from "../../support/log-lines.ts";
import { type ReadRun, readRun } from "../../support/read-run.ts";
import { createTestApp } from "../../support/test-app.ts";
import { ROW_ID, makeReply } from "../../support/database-reply.ts";
import { connectAsOwner, insertRun, updateRun } from "../../support/database.ts";
import { openFaultProxy } from "../../support/fault-proxy.ts";
import type { CannedResponse } from "../../support/fault-proxy-protocol.ts";
import { type User, fetchToken, openIssuer } from "../../support/issuer.ts";
import { makeKey } from "../../support/signing.ts";

const lines = catchLines();
const { variables } = inject("localStack");

/** A Worker whose database is behind a proxy, or is these words. */
async function openDatabase(upstream: string | CannedResponse = variables.NEON_FETCH_ENDPOINT, more: object = {}) {
  const proxy = await openFaultProxy(upstream);
  const app = createTestApp({ NEON_FETCH_ENDPOINT: proxy.url, ...more });
  return {
    proxy,
    app,
    read: async (id: string = crypto.randomUUID()): Promise<ReadRun> =>
      readRun(app, id, await fetchToken("owner"), lines),
    received: async () => await proxy.received(),
  };
}

/** The endpoint's reply to a statement: real words of Postgres, which a proxy can repeat. */
async function ask(query: string, params: readonly string[] = []): Promise<{ status: number; text: string }> {
  const response = await fetch(variables.NEON_FETCH_ENDPOINT, {
    method: "POST",
    headers: {
      "neon-connection-string": variables.DATABASE_URL,
      "neon-raw-text-output": "true",
      "neon-array-mode": "true",
    },
    body: JSON.stringify({ query, params }),
  });
  return { status: response.status, text: await response.text() };
}

/** The statements with which the Worker reads a run: the first read, and a wait's poll for the end. */
async function catchStatements(id: string): Promise<string[]> {
  const { proxy, app } = await openDatabase();
  await readRun(app, id, await fetchToken("owner"), lines, { prefer: "wait=2" });
  return [...new Set((await proxy.requests()).map(({ body }): string => JSON.parse(body).query))];
}

describe("the statement", () => {
  test("finds a run for its owner and for admins only; in the polls of a wait, once it is finished", async () => {
    const id = await insertRun({ status: "running" });
    const [first = "", poll = "", ...more] = await catchStatements(id);
    expect(more).toEqual([]);
    const count = async (statement: string) => {
      const readers = ["owner", "stranger", "Owner", "%", ""].map((subject) => [id, subject, false]);
      const found = [...readers, [id, "admin", true]].map((values) => connectAsOwner().query(statement, values));
      return (await Promise.all(found)).map((rows) => rows.length);
    };
    expect(await count(first)).toEqual([1, 0, 0, 0, 0, 1]);
    expect(await count(poll)).toEqual([0, 0, 0, 0, 0, 0]);
    await updateRun(id, "status = 'failed'");
    expect(await count(poll)).toEqual([1, 0, 0, 0, 0, 1]);
  });

  test("is one, with its values apart", async () => {
    const issuer = await openIssuer([await makeKey("ES256")]);
    const { proxy, app } = await openDatabase(undefined, issuer.variables);
    const id = crypto.randomUUID();
    const sub = "x' or true --";
    expect((await readRun(app, id, await issuer.sign({ sub }), lines)).response.status).toBe(404);
    const [request, ...more] = await proxy.requests();
    const { query, params } = JSON.parse(request?.body ?? "");
    expect(query).toBe((await catchStatements(id))[0]);
    expect(params).toEqual([id, sub, "false"]);
    expect(more).toEqual([]);
  });

  /** Reads a run in place of whose table there is a view with these columns. */
  async function readThrough(columns: Record<string, string>): Promise<ReadRun> {
    const names =
      "id correlation_id owner_id status created_at crew_type crew_config task_input result error started_at completed_at";
    const view = names.split(" ").map((name) => `${columns[name] ?? name} as ${name}`);
    const id = await insertRun({ status: "completed", result: "done" });
    const [statement] = await catchStatements(id);
    const query = `with crew_runs as (select ${view.join(", ")} from public.crew_runs) ${statement}`;
    return (await openDatabase(await ask(query, [id, "owner", "false"]))).read(id);
  }

  test.each([
    ["'0044-03-15'", 200],
    ["'0044-03-15 BC'", 500],
    ["'infinity'", 500],
    ["'10000-01-01'", 500],
  ])("serves the time %s: %i; what RFC 3339 cannot write is not served as another time", async (time, status) => {
    const answer = await readThrough({ created_at: `${time}::timestamptz` });
    expect(answer.response.status).toBe(status);
    if (status === 500) expectFault("invalid_record", answer);
  });

  test("gives the text that it compares: an owner in a char(40) is the one without blanks", async () => {
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
  ])("%s", async (_, id, row, user, status) => {
    const { app } = await openDatabase({ text: makeReply(row) });
    expect((await readRun(app, id, await fetchToken(user), lines)).response.status).toBe(status);
  });
});

describe("all attempts together", () => {
  test("end within REQUEST_TIMEOUT_MS", async () => {
    const limits = { REQUEST_TIMEOUT_MS: 1_500, DATABASE_ATTEMPT_TIMEOUT_MS: 1_000 };
    const { proxy, read } = await openDatabase(undefined, limits);
    await proxy.fail({ kind: "hang" });
    const answer = await read();
    expectFault("database_timeout", answer);
    // A third attempt would begin after that.
    expect(answer.log["db_attempts"]).toBeLessThan(3);
  });

  test("are three with growing pauses of a random length", async () => {
    const { proxy, app, read, received } = await openDatabase();
    // Fetches the keys, before waits for them end at once.
    await app.fetch("/ready");
    await proxy.fail({ kind: "drop" });
    const wait = vi.spyOn(scheduler, "wait").mockResolvedValue(undefined);
    for (let time = 0; time < 20; time += 1) await read();
    // The other times that the Worker waits for are whole.
    const pauses = wait.mock.calls.map(([milliseconds]) => Number(milliseconds)).filter((ms) => !Number.isInteger(ms));
    expect([pauses.length, await received()]).toEqual([40, 60]);
    expect(new Set(pauses).size).toBeGreaterThan(30);
    pauses.forEach((milliseconds, index) => {
      const middle = index % 2 === 0 ? 150 : 300;
      expect(milliseconds).toBeGreaterThanOrEqual(middle * 0.5);
      expect(milliseconds).toBeLessThanOrEqual(middle * 1.5);
    });
  });

  test.each(["50%", "%zz", "%ff"])(
    "are three though the password is %j, which can't be percent-decoded",
    async (password) => {
      const url = Object.assign(new URL(variables.DATABASE_URL), { password });
      const { proxy, read, received } = await openDatabase(undefined, { DATABASE_URL: url.href });
      await proxy.fail({ kind: "drop" });
      expectFault("connection_lost", await read());
      expect(await received()).toBe(3);
    },
  );

  test("are one for a check of readiness", async () => {
    const { proxy, app, received } = await openDatabase(undefined, { READY_CHECKS_DATABASE: "true" });
    await proxy.fail({ kind: "drop" });
    expect((await app.fetch("/ready")).status).toBe(503);
    expect(await received()).toBe(1);
  });
});

describe("Postgres's refusal", () => {
  test.each<[string, FaultName, string]>([
    ["a missing table", "table_missing", "select id from crew_run"],
    ["a missing column", "column_missing", "select agent from crew_runs"],
    ["a column of another type", "sql_error", "select id from crew_runs where status = 1"],
    ["a table that the role may not read", "permission_denied", "select * from pg_authid"],
  ])("because of %s is in the log only, and is not asked for twice", async (_, name, statement) => {
    const refusal = await ask(statement);
    expect(refusal.status).toBe(400);
    const { read, received } = await openDatabase(refusal);
    const answer = await read();
    expectFault(name, answer);
    expect(await received()).toBe(1);
  });

  test.each<[Record<string, string>, FaultName]>([
    [{ password: "wrong" }, "refused_by_postgres"],
    [{ username: "postgres" }, "refused_by_postgres"],
    [{ pathname: "/missing" }, "database_missing"],
  ])("of %j is in the log only, without a secret, and is not asked for twice", async (part, name) => {
    const url = Object.assign(new URL(variables.DATABASE_URL), part);
    const { read, received } = await openDatabase(undefined, { DATABASE_URL: url.href });
    const answer = await read();
    expectFault(name, answer);
    expect(JSON.stringify(answer.log)).not.toContain(url.password);
    expect(await received()).toBe(1);
  });

  test("that contains the password decoded shows it nowhere", async () => {
    const DATABASE_URL = "postgresql://reader:p%40ss%2Fw@db.example.com/runs";
    const text = JSON.stringify({ message: "cannot use p@ss/w or p%40ss%2Fw" });
    const { read } = await openDatabase({ status: 400, text }, { DATABASE_URL });
    const { body, log } = await read();
    expect(log["why"]).toContain("cannot use *** or ***");
    for (const secret of ["p@ss/w", "p%40ss"]) expect(JSON.stringify(log) + body).not.toContain(secret);
  });

  test.each([400, 500])("that echoes the connection string shows it nowhere (%i)", async (status) => {
    const { DATABASE_URL } = variables;
    const { password } = new URL(DATABASE_URL);
    const { read } = await openDatabase({
      status,
      text: JSON.stringify({ message: `cannot use ${DATABASE_URL} (${password})` }),
    });
    const { body, log } = await read();
    expect(log["why"]).toContain("(***)");
    expect(JSON.stringify(log) + body).not.toContain(password);
  });

  test.each([
    [500, "invalid_value: 22P02", { code: "22P02", message: 'invalid input syntax for type json: "SECRET TEXT"' }],
    [
      503,
      "sql_error: 23514 crew_runs result c",
      { code: "23514", message: '"c" (SECRET TEXT)', table: "crew_runs", column: "result", constraint: "c" },
    ],
    [503, "refused: 28000", { code: "28000", message: 'role "SECRET TEXT" is not permitted to log in' }],
    [503, "sql_error: 42501 permission denied for x", { code: "42501", message: "permission denied for x" }],
  ])(
    "that may hold a value or a role's name is in the log by its identifiers only: %i, %s",
    async (status, why, error) => {
      const { read, received } = await openDatabase({ status: 400, text: JSON.stringify(error) });
      const answer = await read();
      expect(answer.response.status).toBe(status);
      expect(answer.response.headers.has("retry-after")).toBe(status === 503);
      expect(answer.log["why"]).toBe(why);
      expect(await received()).toBe(1);
    },
  );

  test("is the only text that the log repeats: a reply that is no JSON is not quoted", async () => {
    const { read } = await openDatabase({ status: 200, text: '{"fields":[],"rows":[["SECRET",]]}' });
    const { response, log } = await read();
    expect(response.status).toBe(503);
    expect(log["db_faults"]).toContain("invalid_reply");
    expect(JSON.stringify(log)).not.toContain("SECRET".slice(2));
  });
});
