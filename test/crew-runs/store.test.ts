// The queries against the real database: who sees what, what it costs, and what of Postgres's complaints gets where.
import { describe, expect, inject, test, vi } from "vitest";
import { CrewRunStore } from "../../src/crew-runs/store.ts";
import { Exchange } from "../../src/exchange.ts";
import { readSettings } from "../../src/settings.ts";
import { fetchToken } from "../issuer.ts";
import { openLane } from "../lane.ts";
import { expectAsDocumented } from "../reliability/fault-table.ts";
import { catchLines } from "../reliability/log-lines.ts";
import { readRun } from "../reliability/reader.ts";
import { connectAsOwner, insertRun } from "../rows.ts";
import { startWorker } from "../worker.ts";

const lines = catchLines();
const { variables } = inject("stack");
const owner = { subject: "owner", isAdmin: false };
const stranger = { subject: "stranger", isAdmin: false };
const admin = { subject: "admin", isAdmin: true };

/** A store on a lane, and a request of its own for each call. */
async function openStore(more: Record<string, string> = {}) {
  const lane = await openLane(variables.NEON_FETCH_ENDPOINT);
  const read = readSettings({ ...variables, NEON_FETCH_ENDPOINT: lane.url, ...more });
  if (!read.ok) throw new Error(read.problems.join());
  const { settings } = read;
  return {
    lane,
    store: new CrewRunStore(settings),
    ask: () => new Exchange(new Request("https://api.test/"), settings),
    received: async () => (await lane.counters()).received,
  };
}

describe("a run", () => {
  test("is seen by its owner and by admins; to anybody else it is not there", async () => {
    const { store, ask } = await openStore();
    const id = await insertRun();
    for (const viewer of [owner, admin]) {
      expect(await store.find(id, viewer, undefined, ask())).toMatchObject({ ok: true, value: { id } });
    }
    for (const viewer of [stranger, { subject: "Owner", isAdmin: false }, { subject: "%", isAdmin: false }]) {
      expect(await store.find(id, viewer, undefined, ask())).toEqual({ ok: true, value: undefined });
    }
  });

  test("is one statement, with its values apart", async () => {
    const { lane, store, ask } = await openStore();
    const id = await insertRun();
    await store.find(id, { subject: "x' or true --", isAdmin: false }, undefined, ask());
    const [request] = await lane.requests();
    const { query, params } = JSON.parse(request?.body ?? "");
    expect(query).not.toContain(id);
    expect(query).not.toContain("or true");
    expect(params).toEqual([id, "x' or true --", "false", null]);
  });

  test("has a version that any change of any column changes, and nothing else does", async () => {
    const { store, ask } = await openStore();
    const id = await insertRun();
    const look = async (version: string | undefined) => {
      const found = await store.find(id, owner, version, ask());
      if (!found.ok || found.value === undefined) throw new Error("not found");
      return found.value;
    };
    let version = (await look(undefined))["version"] ?? undefined;
    expect(version).toMatch(/^[0-9a-f]{32}$/);
    for (const assignment of [
      "correlation_id = 'other'",
      "created_at = created_at - interval '1 microsecond'",
      "crew_type = ''",
      `crew_config = '{"agents": [], "tasks": []}'`,
      `task_input = '{}'`,
      "status = 'running'",
      "started_at = created_at",
      "status = 'failed'",
      "error = 'none'",
      "result = 'half'",
      "completed_at = now() + interval '1 hour'",
    ]) {
      await connectAsOwner().query(`update crew_runs set ${assignment} where id = $1`, [id]);
      const changed = await look(version);
      expect(changed["id"]).toBe(id);
      expect(changed["version"]).not.toBe(version);
      version = changed["version"] ?? undefined;
      const same = await look(version);
      expect(same["version"]).toBe(version);
      // A finished run may be kept by whoever reads it: it always comes as a whole.
      if (changed["status"] !== "failed") {
        const rest = Object.entries(same).filter(([name]) => !["version", "created"].includes(name));
        expect(rest.map(([, value]) => value).filter((value) => value !== null)).toEqual([]);
      }
    }
  });

  test("is read from a table that has columns of its own besides, by whatever name", async () => {
    const { lane, store, ask } = await openStore();
    const id = await insertRun();
    await store.find(id, owner, undefined, ask());
    const [request] = await lane.requests();
    const { query } = JSON.parse(request?.body ?? "");
    const others = "select *, 1 as version, 2 as created, 3 as run, 4 as shown from public.crew_runs";
    const rows = await connectAsOwner().query(`with crew_runs as (${others}) ${query}`, [id, "owner", false, null]);
    expect(rows).toMatchObject([{ id, version: expect.stringMatching(/^[0-9a-f]{32}$/) }]);
  });
});

describe("all attempts together", () => {
  test("end with the request's time, whatever it was spent on before", async () => {
    const { lane, store, ask } = await openStore({ REQUEST_TIMEOUT_MS: "1500", DATABASE_ATTEMPT_TIMEOUT_MS: "1000" });
    await lane.fail({ kind: "hang" });
    const exchange = ask();
    await scheduler.wait(1_000);
    const startedMs = performance.now();
    const found = await store.find(crypto.randomUUID(), owner, undefined, exchange);
    expect(found).toMatchObject({ ok: false, failure: { reason: "database_unavailable" } });
    expect(performance.now() - startedMs).toBeLessThan(1_000);
  });

  test("are three with growing pauses of a random length", async () => {
    const { lane, store, ask } = await openStore();
    await lane.fail({ kind: "drop" });
    const wait = vi.spyOn(scheduler, "wait").mockResolvedValue(undefined);
    for (let time = 0; time < 20; time += 1) await store.find(crypto.randomUUID(), owner, undefined, ask());
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
    expect((await store.probe(ask())).ok).toBe(true);
    await lane.fail({ kind: "drop" });
    expect((await store.probe(ask())).ok).toBe(false);
    expect(await received()).toBe(2);
  });
});

/** What the endpoint answers to a statement: the real words of Postgres, to be given in place of an answer. */
async function provoke(query: string): Promise<{ status: number; text: string }> {
  const response = await fetch(variables.NEON_FETCH_ENDPOINT, {
    method: "POST",
    headers: { "neon-connection-string": variables.DATABASE_URL },
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
      expect(log["why"]).toContain("cannot use DATABASE_URL (***)");
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
