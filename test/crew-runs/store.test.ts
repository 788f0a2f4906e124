// The queries against the real database: who sees what, what it costs, and what of Postgres's complaints gets where.
import { describe, expect, inject, test, vi } from "vitest";
import { makeRun } from "../../src/crew-runs/record.ts";
import { createCrewRunStore } from "../../src/crew-runs/store.ts";
import { readSettings } from "../../src/settings.ts";
import { fetchToken } from "../issuer.ts";
import { openLane } from "../lane.ts";
import { expectAsDocumented } from "../reliability/fault-table.ts";
import { catchLines } from "../reliability/log-lines.ts";
import { readRun } from "../reliability/reader.ts";
import { connectAsOwner, insertRun } from "../rows.ts";
import type { Trace } from "../../src/trace.ts";
import { routeDatabase, startWorker } from "../worker.ts";

const lines = catchLines();
const { variables } = inject("stack");
const owner = { subject: "owner", isAdmin: false };
const stranger = { subject: "stranger", isAdmin: false };
const admin = { subject: "admin", isAdmin: true };

/** A store on a lane, and a request of its own for each call. */
async function openStore(more: Record<string, string> = {}) {
  const lane = await openLane(variables.NEON_FETCH_ENDPOINT);
  const read = readSettings(routeDatabase({ ...variables, NEON_FETCH_ENDPOINT: lane.url, ...more }));
  if (!read.ok) throw new Error(read.problems.join());
  const { settings } = read;
  return {
    lane,
    store: createCrewRunStore(settings),
    ask: (): Trace => ({ notes: {}, finishLater() {} }),
    received: async () => (await lane.counters()).received,
  };
}

describe("a run", () => {
  test("is seen by its owner and by admins; to anybody else it is not there", async () => {
    const { store, ask } = await openStore();
    const id = await insertRun();
    for (const viewer of [owner, admin]) {
      expect(await store.find(id, viewer, ask())).toMatchObject({ id });
    }
    for (const viewer of [stranger, { subject: "Owner", isAdmin: false }, { subject: "%", isAdmin: false }]) {
      expect(await store.find(id, viewer, ask())).toBeUndefined();
    }
  });

  test("is one statement, with its values apart", async () => {
    const { lane, store, ask } = await openStore();
    const id = await insertRun();
    await store.find(id, { subject: "x' or true --", isAdmin: false }, ask());
    const [request] = await lane.requests();
    const { query, params } = JSON.parse(request?.body ?? "");
    expect(query).not.toContain(id);
    expect(query).not.toContain("or true");
    expect(params).toEqual([id, "x' or true --", "false"]);
  });

  test("is left in the database while it is unfinished, where only its end is asked for", async () => {
    const { store, ask } = await openStore();
    const id = await insertRun({ status: "running" });
    expect(await store.find(id, owner, ask(), { onlyFinished: true })).toBeUndefined();
    await connectAsOwner().query("update crew_runs set status = 'failed' where id = $1", [id]);
    expect(await store.find(id, owner, ask(), { onlyFinished: true })).toMatchObject({ id, status: "failed" });
    expect(await store.find(id, stranger, ask(), { onlyFinished: true })).toBeUndefined();
  });

  test("whose times RFC 3339 cannot write is a 500, and is not served with other times", async () => {
    const row = { id: crypto.randomUUID(), owner_id: "owner" };
    const { lane, store, ask } = await openStore();
    await store.find(row.id, owner, ask());
    const [request] = await lane.requests();
    const { query } = JSON.parse(request?.body ?? "");
    const asText = { types: { getTypeParser: () => (text: string) => text } };
    for (const time of ["'0044-03-15 BC'", "'infinity'", "'10000-01-01'", "'0044-03-15'"]) {
      const view = `select id, correlation_id, owner_id, status, ${time}::timestamptz as created_at, crew_type, crew_config,
        task_input, result, error, started_at, completed_at from public.crew_runs`;
      const id = await insertRun();
      const statement = `with crew_runs as (${view}) ${query}`;
      const [found] = await connectAsOwner().query(statement, [id, "owner", false], asText);
      const made = makeRun(found ?? {}, 0);
      if (time === "'0044-03-15'") await expect(made).resolves.toMatchObject({ id });
      else await expect(made).rejects.toMatchObject({ code: "invalid_record" });
    }
  });

  test("is read from a table that has columns of its own besides, by whatever name", async () => {
    const { lane, store, ask } = await openStore();
    const id = await insertRun();
    await store.find(id, owner, ask());
    const [request] = await lane.requests();
    const { query } = JSON.parse(request?.body ?? "");
    const others = "select *, 1 as version, 2 as created, 3 as run, 4 as shown from public.crew_runs";
    const rows = await connectAsOwner().query(`with crew_runs as (${others}) ${query}`, [id, "owner", false]);
    expect(rows).toMatchObject([{ id, owner_id: "owner", status: "pending" }]);
  });
});

describe("all attempts together", () => {
  test("end within REQUEST_TIMEOUT_MS", async () => {
    const { lane, store, ask } = await openStore({ REQUEST_TIMEOUT_MS: "1500", DATABASE_ATTEMPT_TIMEOUT_MS: "1000" });
    await lane.fail({ kind: "hang" });
    const startedMs = performance.now();
    const found = store.find(crypto.randomUUID(), owner, ask());
    await expect(found).rejects.toMatchObject({ code: "database_unavailable" });
    expect(performance.now() - startedMs).toBeLessThan(2_300);
  });

  test("are three with growing pauses of a random length", async () => {
    const { lane, store, ask } = await openStore();
    await lane.fail({ kind: "drop" });
    const wait = vi.spyOn(scheduler, "wait").mockResolvedValue(undefined);
    for (let time = 0; time < 20; time += 1) {
      await expect(store.find(crypto.randomUUID(), owner, ask())).rejects.toThrow();
    }
    const pauses = wait.mock.calls.map(([milliseconds]) => Number(milliseconds));
    wait.mockRestore();
    expect(pauses).toHaveLength(40);
    expect(new Set(pauses).size).toBeGreaterThan(30);
    pauses.forEach((milliseconds, index) => {
      const middle = index % 2 === 0 ? 150 : 300;
      expect(milliseconds).toBeGreaterThanOrEqual(middle * 0.5);
      expect(milliseconds).toBeLessThanOrEqual(middle * 1.5);
    });
  });

  test("are one for a probe", async () => {
    const { lane, store, ask, received } = await openStore();
    await store.probe(ask());
    await lane.fail({ kind: "drop" });
    await expect(store.probe(ask())).rejects.toThrow();
    expect(await received()).toBe(2);
  });
});

/** What the endpoint answers to a statement: the real words of Postgres, to be given in place of an answer. */
async function provoke(query: string): Promise<{ status: number; text: string }> {
  const response = await fetch(variables.NEON_FETCH_ENDPOINT, {
    method: "POST",
    headers: {
      "neon-connection-string": variables.DATABASE_URL,
      "neon-raw-text-output": "true",
      "neon-array-mode": "true",
    },
    body: JSON.stringify({ query, params: [] }),
  });
  return { status: response.status, text: await response.text() };
}

describe("Postgres's refusal", () => {
  test.each([
    ["a missing table", "select id from crew_run", "42P01"],
    ["a missing column", "select agent from crew_runs", "42703"],
    ["a column of another type", "select id from crew_runs where status = 1", "42883"],
    ["a table that the role may not read", "select * from pg_authid", "42501"],
  ])("because of %s is in the log only, and is not asked for twice", async (_, statement, code) => {
    const { status, text } = await provoke(statement);
    expect(status).toBe(400);
    const lane = await openLane({ status, text });
    const worker = startWorker({ NEON_FETCH_ENDPOINT: lane.url });
    const answer = await readRun(worker, crypto.randomUUID(), await fetchToken("owner"), lines);
    expectAsDocumented("database: the statement fails", answer);
    expect(answer.log["why"]).toContain(`sql_error: ${code}`);
    expect((await lane.counters()).received).toBe(1);
  });

  test.each([
    ["password", { password: "wrong" }, "28P01"],
    ["user", { username: "postgres" }, "28P01"],
    ["database", { pathname: "/missing" }, "3D000"],
  ])("of a wrong %s is in the log only, without a secret, and is not asked for twice", async (_, part, __) => {
    const url = Object.assign(new URL(variables.DATABASE_URL), part);
    const lane = await openLane(variables.NEON_FETCH_ENDPOINT);
    const worker = startWorker({ DATABASE_URL: url.href, NEON_FETCH_ENDPOINT: lane.url });
    const answer = await readRun(worker, crypto.randomUUID(), await fetchToken("owner"), lines);
    expectAsDocumented("database: wrong password or database name", answer);
    expect(JSON.stringify(answer.log)).not.toContain(url.password === "wrong" ? "wrong" : url.password);
    expect((await lane.counters()).received).toBe(1);
  });

  test("that echoes the connection string shows it nowhere", async () => {
    const { DATABASE_URL } = variables;
    const { password } = new URL(DATABASE_URL);
    const text = JSON.stringify({ message: `cannot use ${DATABASE_URL} (${password})` });
    for (const status of [400, 500]) {
      const lane = await openLane({ status, text });
      const worker = startWorker({ NEON_FETCH_ENDPOINT: lane.url });
      const { body, log } = await readRun(worker, crypto.randomUUID(), await fetchToken("owner"), lines);
      expect(log["why"]).toContain("(***)");
      expect(JSON.stringify(log)).not.toContain(password);
      expect(body).not.toContain(password);
    }
  });

  test("does not lead the connection string elsewhere: a redirect is not followed", async () => {
    const [lane, elsewhere] = [await openLane({ text: "" }), await openLane({ text: "" })];
    for (const status of [301, 302, 303, 307, 308] as const) {
      await lane.fail({ kind: "redirect", location: elsewhere.url, status });
      const worker = startWorker({ NEON_FETCH_ENDPOINT: lane.url });
      const answer = await readRun(worker, crypto.randomUUID(), await fetchToken("owner"), lines);
      expect(answer.response.status).toBe(503);
    }
    expect((await elsewhere.counters()).received).toBe(0);
  });
});

describe("what Postgres says of a value or a role", () => {
  test.each([
    ["22P02", { message: 'invalid input syntax for type json: "SECRET TEXT"' }, 500, "invalid_value: 22P02"],
    [
      "23514",
      { message: 'new row violates "c" (SECRET TEXT)', table: "crew_runs", column: "result", constraint: "c" },
      503,
      "sql_error: 23514 crew_runs result c",
    ],
    ["28000", { message: 'role "SECRET TEXT" is not permitted to log in' }, 503, "refused: 28000"],
    [
      "42501",
      { message: "permission denied for table crew_runs" },
      503,
      "sql_error: 42501 permission denied for table crew_runs",
    ],
  ])("with SQLSTATE %s is not in the log, but for identifiers", async (code, error, status, why) => {
    const lane = await openLane({ status: 400, text: JSON.stringify({ code, ...error }) });
    const worker = startWorker({ NEON_FETCH_ENDPOINT: lane.url });
    const answer = await readRun(worker, crypto.randomUUID(), await fetchToken("owner"), lines);
    expect(answer.response.status).toBe(status);
    expect(answer.response.headers.has("retry-after")).toBe(status === 503);
    expect(answer.log["why"]).toBe(why);
    expect((await lane.counters()).received).toBe(1);
  });
});

describe("a row that breaks the contract", () => {
  const secret = "a value that nobody but the owner may see";

  test.each([
    ["crew_config.agents.0.backstory (invalid_type)", { agents: [{ role: secret, goal: secret }], tasks: [] }],
    ["crew_config.tasks (invalid_type)", { agents: [], tasks: secret }],
    [
      "crew_config.tasks.0.agent_index (invalid_type)",
      { agents: [], tasks: [{ description: secret, agent_index: secret }] },
    ],
  ])("is a 500 whose log line says %s, and no value", async (why, crew_config) => {
    const id = await insertRun({ status: "running", crew_config });
    const answer = await readRun(startWorker(), id, await fetchToken("owner"), lines);
    expectAsDocumented("a row that does not fit the contract", answer);
    expect(answer.log["why"]).toBe(why);
    expect(JSON.stringify(answer.log) + answer.body).not.toContain(secret);
  });

  test("is not asked for twice, and harms no other run", async () => {
    const { lane } = await openStore();
    const worker = startWorker({ NEON_FETCH_ENDPOINT: lane.url });
    const [bad, good] = [await insertRun({ crew_config: {} }), await insertRun()];
    const token = await fetchToken("owner");
    expect((await readRun(worker, bad, token, lines)).response.status).toBe(500);
    expect((await readRun(worker, good, token, lines)).response.status).toBe(200);
    expect((await lane.counters()).received).toBe(2);
  });

  test("because a column is of another type than the schema's is named without its value", async () => {
    const row = { id: crypto.randomUUID(), crew_config: secret, status: "running" };
    const fields = Object.keys(row).map((name) => ({ name, dataTypeID: 25 }));
    const lane = await openLane({ text: JSON.stringify({ fields, rows: [Object.values(row)], rowCount: 1 }) });
    const worker = startWorker({ NEON_FETCH_ENDPOINT: lane.url });
    const answer = await readRun(worker, row.id, await fetchToken("owner"), lines);
    expectAsDocumented("a row that does not fit the contract", answer);
    expect(JSON.stringify(answer.log) + answer.body).not.toContain(secret.slice(0, 10));
  });
});
