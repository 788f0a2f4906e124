// docs/writing-runs.md, docs/adopting-a-table.md and the deletion in docs/operations.md by their own SQL: each statement runs as it
// stands on the page, on real Postgres, as the owner of the table; and the Worker reads the result. Leaves the transitions of a run
// to test/tools/python.
import { readFile } from "node:fs/promises";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { type Database, OWNER_ROLE, READER_ROLE, startDatabase } from "../../dev/database.ts";
import { diagnose } from "../../dev/doctor.ts";
import { type LocalStack, startLocalStack } from "../../dev/local-stack.ts";
import { insertRunBy } from "../support/runs.ts";

const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), "utf8");

async function readBlocks(path: string): Promise<string[]> {
  return [...(await read(path)).matchAll(/^ *```sql\n(.*?)^ *```$/gms)].map(([, sql = ""]) => sql);
}

async function runAsOwner(database: Database, sql: string): Promise<void> {
  try {
    await database.exec(`set session authorization ${OWNER_ROLE}; ${sql}`);
  } finally {
    // A failure in the middle of a transaction has left it open.
    await database.exec("rollback; reset session authorization");
  }
}

test("schema.sql adds the constraints that are missing, or stops at a row that breaks one and changes nothing", async () => {
  const database = await startDatabase();
  onTestFinished(() => database.close());
  const countConstraints = async () =>
    (await database.query("select from pg_constraint where convalidated")).rows.length;
  const all = await countConstraints();
  const schema = await read("schema.sql");
  const blocks = await readBlocks("docs/writing-runs.md");
  await insertRunBy(database);
  await runAsOwner(
    database,
    `alter table crew_runs drop constraint crew_runs_status_known, drop constraint crew_runs_owner_id_length;
     update crew_runs set status = 'unheard-of'`,
  );
  await expect(runAsOwner(database, schema)).rejects.toThrow("crew_runs_status_known");
  expect(await countConstraints()).toBe(all - 2);
  await runAsOwner(database, "update crew_runs set status = 'pending'");
  await runAsOwner(database, blocks.find((block) => block.includes("not valid")) ?? "");
  await runAsOwner(database, schema);
  expect(await countConstraints()).toBe(all);
});

test("old runs are found by the index of docs/operations.md; the others and unfinished ones stay", async () => {
  const database = await startDatabase();
  onTestFinished(() => database.close());
  const [, index = "", deletion = ""] = await readBlocks("docs/operations.md");
  await database.exec(`set session authorization ${OWNER_ROLE}`);
  await database.exec(index);
  const insertAged = (status: string, days: number, end: string) =>
    database.exec(`insert into crew_runs (id, correlation_id, owner_id, status, created_at, completed_at)
      select gen_random_uuid(), '${status} ${days}', 'owner', '${status}', time, ${end} from (select now() - interval '${days} days') as t (time)`);
  await insertAged("failed", 91, "time");
  await insertAged("failed", 89, "time");
  await insertAged("running", 91, "null");
  await database.exec("set enable_seqscan = off");
  expect(JSON.stringify((await database.query(`explain ${deletion}`)).rows)).toMatch(/crew_runs_completed_at/);
  await database.exec(deletion);
  const { rows } = await database.query("select correlation_id as name from crew_runs order by 1");
  expect(rows).toEqual([{ name: "failed 89" }, { name: "running 91" }]);
});

// docs/adopting-a-table.md, whose blocks are executed in their order.
let localStack: LocalStack;
let database: Database;
let token: string;
const blocks = await readBlocks("docs/adopting-a-table.md");
const idOf = (digit: number) => `0b4b0f0e-0000-4000-8000-00000000000${digit}`;

beforeAll(async () => {
  localStack = await startLocalStack();
  ({ database } = localStack);
  await database.exec(`drop table crew_runs; drop owned by ${READER_ROLE}; drop role ${READER_ROLE}`);
  token = await localStack.authorizationServer.fetchToken("owner");
  expect(blocks).toHaveLength(6);
  for (const block of blocks.slice(0, 4)) await runAsOwner(database, block);
  await database.exec(
    `insert into app.users (auth_subject) values ('owner'), ('stranger');
     insert into app.executions values
       ('${idOf(1)}', null, 1, 'QUEUED', null, null, '', null, null, '2026-03-01 10:00', null, null),
       ('${idOf(2).toUpperCase()}', 't-2', 1, 'SUCCEEDED', 'research',
        '{"agents": [{"role": "r", "goal": "g", "backstory": "b"}], "tasks": [{"description": "d"}]}',
        '{"n": 9007199254740993, "one": 1.0}', 'done', null,
        '2026-03-01 10:00:00.123456', '2026-03-01 10:00:01', '2026-03-01 10:05'),
       ('${idOf(3)}', null, 1, 'CANCELLED', null, null, null, null, null, '2026-03-01 10:00', null, '2026-03-01 10:01'),
       ('${idOf(4)}', null, 2, 'STARTED', null, null, null, null, null, '2026-03-01 10:00', '2026-03-01 10:00', null)`,
  );
  return localStack.close;
});

async function get(digit: number): Promise<{ status: number; text: string }> {
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(`${localStack.url}/api/crew-runs/${idOf(digit)}`, { headers });
  return { status: response.status, text: await response.text() };
}

async function expectHealthy(): Promise<void> {
  const configFile = `${import.meta.dirname}/../../wrangler.toml`;
  const { DATABASE_URL, ...overrides } = localStack.variables;
  for await (const { mark, text } of diagnose({ configFile, variables: { DATABASE_URL }, overrides, token })) {
    expect(mark, text).toBe("ok");
  }
}

test("the Worker reads through the view, exactly, and the doctor finds view and role right", async () => {
  const { text } = await get(2);
  expect(text).toContain(`"task_input":{"n": 9007199254740993, "one": 1.0}`);
  expect(JSON.parse(text)).toMatchObject({
    id: idOf(2),
    correlation_id: "t-2",
    owner_id: "owner",
    status: "completed",
    created_at: "2026-03-01T10:00:00.123456Z",
    crew_type: "research",
    crew_config: { agents: [{ role: "r" }], tasks: [{ description: "d" }] },
    result: "done",
    started_at: "2026-03-01T10:00:01.000000Z",
    completed_at: "2026-03-01T10:05:00.000000Z",
  });
  const pending = { correlation_id: idOf(1), status: "pending", task_input: null };
  expect(JSON.parse((await get(1)).text)).toMatchObject(pending);
  expect(JSON.parse((await get(3)).text)).toMatchObject({ status: "failed", error: "Cancelled" });
  expect((await get(4)).status).toBe(404);
  await expectHealthy();
});

test("a search for an id uses the page's index", async () => {
  // On a table this small, Postgres would otherwise read all rows.
  await database.exec("set enable_seqscan = off");
  const { rows } = await database.query(`explain select * from crew_runs where id = '${idOf(1)}'`);
  expect(JSON.stringify(rows)).toMatch(/executions_run_id/);
});

test("the page's query finds what the Worker would refuse, and nothing else", async () => {
  const query = blocks[4] ?? "";
  expect((await database.query(query)).rows).toEqual([]);
  await database.exec(
    `insert into app.executions (execution_id, user_id, state, config, inputs, queued_at)
     values ('${idOf(9)}', 1, 'QUEUED', '{"agents": {}}', '[]', 'infinity')`,
  );
  const { rows } = await database.query<{ problem: string }>(query);
  const problems = rows.map(({ problem }) => problem).toSorted();
  expect(problems).toEqual(["created_at", "crew_config.agents", "crew_config.tasks", "task_input"]);
  expect((await get(9)).status).toBe(500);
});

test("a view in another schema works if the name is taken", async () => {
  await runAsOwner(database, blocks[5] ?? "");
  expect((await get(1)).status).toBe(200);
  await expectHealthy();
});
