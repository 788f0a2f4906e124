// docs/writing-runs.md and docs/adopting-a-table.md by their own SQL: each statement runs as it stands on the page, on real
// Postgres, as the owner of the table or the role that the page makes; and the Worker reads what comes of it.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { type Database, OWNER_ROLE, READER_ROLE, startDatabase } from "../../dev/database.ts";
import { diagnose } from "../../dev/doctor.ts";
import { type Deployment, startDeployment } from "./deployment.ts";

const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), "utf8");

async function readBlocks(path: string): Promise<string[]> {
  return [...(await read(path)).matchAll(/^ *```sql\n(.*?)^ *```$/gms)].map(([, sql = ""]) => sql);
}

async function runAs(database: Database, role: string, sql: string): Promise<void> {
  await database.exec(`set session authorization ${role}`);
  try {
    await database.exec(sql);
  } finally {
    // What failed in the middle of a transaction has left it open.
    await database.exec("rollback");
    await database.exec("reset session authorization");
  }
}

interface StoredRun {
  status: string;
  created_at: Date;
  started_at: Date | null;
  completed_at: Date | null;
  result: string | null;
  error: string | null;
}

describe("docs/writing-runs.md", () => {
  let database: Database;
  /** By the name in the block's first line. */
  let statements: Map<string, string>;

  before(async () => {
    database = await startDatabase();
    const blocks = await readBlocks("docs/writing-runs.md");
    statements = new Map(
      blocks.map((block) => [/^-- ([a-z ]+)/.exec(block)?.[1]?.trim() ?? "", block.replace(/^--.*\n/, "")]),
    );
    await runAs(database, OWNER_ROLE, statements.get("a role for the back end") ?? "");
  });
  after(() => database.close());

  /** As the page's writer. Gives the number of rows. */
  async function run(name: string, values: unknown[]): Promise<number> {
    const text = statements.get(name);
    assert.ok(text !== undefined, `the page has no statement "${name}"`);
    await database.exec("set session authorization crew_runs_writer");
    try {
      return (await database.query(text, values)).affectedRows ?? 0;
    } finally {
      await database.exec("reset session authorization");
    }
  }

  async function accept(): Promise<string> {
    const id = crypto.randomUUID();
    assert.equal(await run("accept", [id, "c", "owner", null, null, `{"n": 1.0}`]), 1);
    return id;
  }

  async function find(id: string): Promise<StoredRun> {
    const { rows } = await database.query<StoredRun>("select * from crew_runs where id = $1", [id]);
    const [row] = rows;
    assert.ok(row !== undefined);
    return row;
  }

  test("has these statements and no others", () => {
    assert.deepEqual(
      [...statements.keys()],
      ["a role for the back end", "accept", "start", "complete", "fail", "give up", "a constraint in two steps"],
    );
  });

  test("a run is accepted once, started once, completed once", async () => {
    const id = await accept();
    assert.equal(await run("accept", [id, "c", "another", null, null, null]), 0);
    assert.deepEqual(pick(await find(id)), { status: "pending", started: false, completed: false });
    assert.equal(await run("start", [id]), 1);
    assert.equal(await run("start", [id]), 0);
    assert.deepEqual(pick(await find(id)), { status: "running", started: true, completed: false });
    assert.equal(await run("complete", [id, "done"]), 1);
    const final = await find(id);
    assert.deepEqual(pick(final), { status: "completed", started: true, completed: true });
    assert.equal(final.result, "done");
    for (const [name, values] of [
      ["start", [id]],
      ["complete", [id, "again"]],
      ["fail", [id, "late"]],
    ] as const) {
      assert.equal(await run(name, [...values]), 0, name);
    }
    assert.deepEqual(await find(id), final);
  });

  test("a run fails while it runs, and before it starts", async () => {
    const started = await accept();
    await run("start", [started]);
    assert.equal(await run("fail", [started, "no answer"]), 1);
    assert.deepEqual(pick(await find(started)), { status: "failed", started: true, completed: true });
    const waiting = await accept();
    assert.equal(await run("fail", [waiting, "nobody free"]), 1);
    assert.deepEqual(pick(await find(waiting)), { status: "failed", started: false, completed: true });
  });

  test("a pending run cannot be completed", async () => {
    const id = await accept();
    assert.equal(await run("complete", [id, "too early"]), 0);
  });

  test("a creation time ahead of the database's clock stops no transition", async () => {
    const id = await accept();
    await database.query("update crew_runs set created_at = now() + interval '1 minute' where id = $1", [id]);
    assert.equal(await run("start", [id]), 1);
    assert.equal(await run("complete", [id, ""]), 1);
    const { created_at, started_at, completed_at } = await find(id);
    assert.deepEqual([started_at, completed_at], [created_at, created_at]);
    const failing = await accept();
    await database.query("update crew_runs set created_at = now() + interval '1 minute' where id = $1", [failing]);
    assert.equal(await run("fail", [failing, ""]), 1);
  });

  test("abandoned runs are given up, others are not", async () => {
    const [old, recent] = [await accept(), await accept()];
    await run("start", [old]);
    await run("start", [recent]);
    await database.query(
      `update crew_runs set created_at = now() - interval '2 hours', started_at = now() - interval '2 hours' where id = $1`,
      [old],
    );
    assert.equal(await run("give up", ["1 hour"]), 1);
    assert.equal((await find(old)).status, "failed");
    assert.equal((await find(recent)).status, "running");
  });

  test("the writer can neither delete nor change the table", async () => {
    await assert.rejects(runAs(database, "crew_runs_writer", "delete from crew_runs"), /permission denied/);
    await assert.rejects(runAs(database, "crew_runs_writer", "alter table crew_runs add n int"), /must be owner/);
  });

  test("schema.sql brings an older table up to date, and finds what was added by hand", async () => {
    await runAs(
      database,
      OWNER_ROLE,
      "alter table crew_runs drop constraint crew_runs_status_known, drop constraint crew_runs_owner_id_length",
    );
    await runAs(database, OWNER_ROLE, statements.get("a constraint in two steps") ?? "");
    await runAs(database, OWNER_ROLE, await read("schema.sql"));
    const { rows } = await database.query<{ n: number }>(
      `select count(*)::int as n from pg_constraint where conrelid = 'crew_runs'::regclass and convalidated
         and conname in ('crew_runs_status_known', 'crew_runs_owner_id_length')`,
    );
    assert.deepEqual(rows, [{ n: 2 }]);
  });

  test("schema.sql stops at a row that breaks a constraint, names it, and changes nothing", async () => {
    const id = await accept();
    await runAs(
      database,
      OWNER_ROLE,
      `alter table crew_runs drop constraint crew_runs_status_known, drop constraint crew_runs_owner_id_length;
       update crew_runs set status = 'unheard-of' where id = '${id}'`,
    );
    await assert.rejects(runAs(database, OWNER_ROLE, await read("schema.sql")), /crew_runs_status_known/);
    const { rows } = await database.query("select from pg_constraint where conname = 'crew_runs_owner_id_length'");
    assert.equal(rows.length, 0);
  });
});

function pick({ status, started_at, completed_at }: StoredRun) {
  return { status, started: started_at !== null, completed: completed_at !== null };
}

describe("docs/adopting-a-table.md", () => {
  let deployment: Deployment;
  let blocks: string[];
  const ids = {
    queued: "0b4b0f0e-0000-4000-8000-000000000001",
    succeeded: "0b4b0f0e-0000-4000-8000-000000000002",
    cancelled: "0b4b0f0e-0000-4000-8000-000000000003",
    foreign: "0b4b0f0e-0000-4000-8000-000000000004",
  };

  before(async () => {
    deployment = await startDeployment();
    const { database } = deployment.stack;
    await database.exec(`drop table crew_runs; drop owned by ${READER_ROLE}; drop role ${READER_ROLE}`);
    blocks = await readBlocks("docs/adopting-a-table.md");
    assert.equal(blocks.length, 6);
    for (const block of blocks.slice(0, 4)) await runAs(database, OWNER_ROLE, block);
    await runAs(
      database,
      OWNER_ROLE,
      `insert into app.users (auth_subject) values ('owner'), ('stranger');
       insert into app.executions values
         ('${ids.queued}', null, 1, 'QUEUED', null, null, '', null, null, '2026-03-01 10:00', null, null),
         ('${ids.succeeded.toUpperCase()}', 't-2', 1, 'SUCCEEDED', 'research',
          '{"agents": [{"role": "r", "goal": "g", "backstory": "b"}], "tasks": [{"description": "d"}]}',
          '{"n": 9007199254740993, "one": 1.0}', 'done', null,
          '2026-03-01 10:00:00.123456', '2026-03-01 10:00:01', '2026-03-01 10:05'),
         ('${ids.cancelled}', null, 1, 'CANCELLED', null, null, null, null, null, '2026-03-01 10:00', null, '2026-03-01 10:01'),
         ('${ids.foreign}', null, 2, 'STARTED', null, null, null, null, null, '2026-03-01 10:00', '2026-03-01 10:00', null)`,
    );
  });
  after(() => deployment?.close());

  async function get(id: string): Promise<{ status: number; text: string }> {
    const token = await deployment.stack.authorizationServer.fetchToken("owner");
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(`${deployment.url}/api/crew-runs/${id}`, { headers });
    return { status: response.status, text: await response.text() };
  }

  test("the Worker reads through the view, exactly", async () => {
    assert.deepEqual(await get(ids.succeeded), {
      status: 200,
      text:
        `{"id":"${ids.succeeded}","correlation_id":"t-2","owner_id":"owner","status":"completed",` +
        `"created_at":"2026-03-01T10:00:00.123456Z","crew_type":"research","crew_config":{"agents":[{"role":"r",` +
        `"goal":"g","backstory":"b","id":null,"verbose":false,"allow_delegation":false,"tools":[],` +
        `"use_default_mcps":true}],"tasks":[{"description":"d","agent_index":0,"expected_output":"","tools":[]}],` +
        `"id":null,"verbose":false,"process":"sequential"},"task_input":{"n": 9007199254740993, "one": 1.0},` +
        `"result":"done","error":null,"started_at":"2026-03-01T10:00:01.000000Z",` +
        `"completed_at":"2026-03-01T10:05:00.000000Z"}`,
    });
    const queued = JSON.parse((await get(ids.queued)).text) as Record<string, unknown>;
    assert.deepEqual([queued["status"], queued["correlation_id"], queued["task_input"]], ["pending", ids.queued, null]);
    const cancelled = JSON.parse((await get(ids.cancelled)).text) as Record<string, unknown>;
    assert.deepEqual([cancelled["status"], cancelled["error"]], ["failed", "Cancelled"]);
    assert.equal((await get(ids.foreign)).status, 404);
  });

  async function listProblems(): Promise<string[]> {
    const findings = await diagnose({
      configFile: new URL("../../wrangler.toml", import.meta.url),
      environmentName: undefined,
      withoutMetadata: false,
      variables: deployment.stack.variables,
    });
    return findings.filter(({ mark }) => mark !== "ok").map(({ text }) => text);
  }

  test("the doctor finds the view and the role right", async () => {
    assert.deepEqual(await listProblems(), []);
  });

  test("the look-up of an id uses the index that the page makes", async () => {
    const { database } = deployment.stack;
    await database.exec(
      `insert into app.executions (execution_id, user_id, state, queued_at)
       select gen_random_uuid(), 1, 'QUEUED', now() from generate_series(1, 2000);
       analyze app.executions`,
    );
    const { rows } = await database.query<{ "QUERY PLAN": string }>(
      `explain select * from crew_runs where id = '${ids.queued}' and (owner_id::text = 'owner' or false)`,
    );
    assert.match(rows.map((row) => row["QUERY PLAN"]).join("\n"), /executions_run_id/);
  });

  test("the page's query finds what the Worker would refuse, and nothing else", async () => {
    const { database } = deployment.stack;
    const [, , , , query = ""] = blocks;
    assert.deepEqual((await database.query(query)).rows, []);
    const id = "0b4b0f0e-0000-4000-8000-000000000009";
    await database.exec(
      `insert into app.executions (execution_id, user_id, state, config, inputs, queued_at)
       values ('${id}', 1, 'QUEUED', '{"agents": {}}', '[]', 'infinity')`,
    );
    const { rows } = await database.query<{ id: string; problem: string }>(query);
    assert.deepEqual(rows.map((row) => row.problem).toSorted(), [
      "created_at",
      "crew_config.agents",
      "crew_config.tasks",
      "task_input",
    ]);
    assert.equal((await get(id)).status, 500);
  });

  // Last: it changes where the role looks.
  test("a view in a schema of its own serves where the name is taken", async () => {
    await runAs(deployment.stack.database, OWNER_ROLE, blocks[5] ?? "");
    assert.equal((await get(ids.queued)).status, 200);
    assert.deepEqual(await listProblems(), []);
  });
});
