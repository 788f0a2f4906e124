// The local SQL endpoint through the real driver: what the Worker, the doctor and the tests rely on, and that the role of
// schema.sql can do nothing but read.
import { NeonDbError, neon, neonConfig } from "@neondatabase/serverless";
import { beforeAll, describe, expect, inject, test } from "vitest";
import { insertRun } from "../rows.ts";

const { variables, ownerDatabaseUrl } = inject("stack");
const endpoint = variables.NEON_FETCH_ENDPOINT;

beforeAll(() => {
  neonConfig.fetchEndpoint = endpoint;
});

const owner = neon(ownerDatabaseUrl);
const reader = neon(variables.DATABASE_URL);

/** The error's own fields, without those that Postgres left out. */
async function catchError(query: PromiseLike<unknown>): Promise<Record<string, unknown>> {
  try {
    await query;
  } catch (error) {
    if (!(error instanceof NeonDbError)) throw error;
    const fields = Object.entries({ ...error, message: error.message });
    return Object.fromEntries(fields.filter(([, value]) => value !== undefined));
  }
  throw new Error("the query has not failed");
}

function post(body: string, databaseUrl = ownerDatabaseUrl): Promise<Response> {
  return fetch(endpoint, { method: "POST", headers: { "Neon-Connection-String": databaseUrl }, body });
}

describe("a query", () => {
  test("takes and gives every kind of value as the driver does with Neon", async () => {
    const time = new Date("2026-03-01T10:00:00.123Z");
    const [row] = await owner`
      select ${7}::int as number, 9007199254740993::int8 as int8, ${true}::bool as flag, ${null}::text as nothing,
             ${time}::timestamptz as time, ${["a", 'b"c', null]}::text[] as texts, ${{ a: [1] }}::jsonb as json,
             encode(${new Uint8Array([0, 255])}, 'hex') as bytes, ${"quo'te \\ $1 é😀"} as text, '' as empty`;
    expect(row).toEqual({
      number: 7,
      int8: "9007199254740993",
      flag: true,
      nothing: null,
      time,
      texts: ["a", 'b"c', null],
      json: { a: [1] },
      bytes: "00ff",
      text: "quo'te \\ $1 é😀",
      empty: "",
    });
  });

  test("gives values digit by digit where they are read as text", async () => {
    const types = { getTypeParser: () => (text: string) => text };
    const text = `select '2026-03-01T10:00:00.123456Z'::timestamptz as time, '{"n": 1.0, "__proto__": 1e400}'::json as json`;
    expect(await owner.query(text, [], { types })).toEqual([
      { time: "2026-03-01 10:00:00.123456+00", json: '{"n": 1.0, "__proto__": 1e400}' },
    ]);
  });

  test.for([
    ["select 1 as a, 2 as a", "SELECT", 1],
    ["update crew_runs set crew_type = 'x' where owner_id = 'nobody'", "UPDATE", 0],
    [
      "insert into crew_runs (id, correlation_id, owner_id, status) values (gen_random_uuid(), 'c', 'o', 'pending')",
      "INSERT",
      1,
    ],
    ["create temporary table scratch (a int)", "CREATE", null],
  ] as const)("names its command and its count: %s", async ([text, command, rowCount]) => {
    expect(await owner.query(text, [], { fullResults: true })).toMatchObject({ command, rowCount });
  });

  test("carries 5 MB there and back", async () => {
    const text = "é".repeat(2_500_000);
    const [row] = await owner`select ${text} as text`;
    expect(row?.["text"] === text).toBe(true);
  });

  test("gets its own answer, under its own role, among many at once", async () => {
    const numbers = Array.from({ length: 30 }, (_, index) => index);
    const answers = await Promise.all(
      numbers.map(
        (number) => (number % 2 === 0 ? owner : reader)`select ${number}::int as number, current_user as role`,
      ),
    );
    expect(answers.flat()).toEqual(
      numbers.map((number) => ({ number, role: number % 2 === 0 ? "crew_runs_owner" : "crew_runs_reader" })),
    );
  });
});

test("a transaction is one, and leaves nothing behind when one of its queries fails", async () => {
  const id = crypto.randomUUID();
  const insert = owner`insert into crew_runs (id, correlation_id, owner_id, status) values (${id}, 'c', 'owner', 'pending')`;
  const select = owner`select crew_type from crew_runs where id = ${id}`;
  const update = owner`update crew_runs set crew_type = 'kept' where id = ${id}`;
  expect(await catchError(owner.transaction([insert, owner`select 1 / 0`]))).toMatchObject({ code: "22012" });
  expect(await select).toEqual([]);
  expect(await owner.transaction([insert, update, select])).toEqual([[], [], [{ crew_type: "kept" }]]);
});

describe("an error", () => {
  test("carries Postgres's fields", async () => {
    const id = await insertRun();
    const again = owner`insert into crew_runs (id, correlation_id, owner_id, status) values (${id}, 'c', 'o', 'pending')`;
    expect(await catchError(again)).toMatchObject({
      name: "NeonDbError",
      severity: "ERROR",
      code: "23505",
      message: 'duplicate key value violates unique constraint "crew_runs_pkey"',
      detail: `Key (id)=(${id}) already exists.`,
      schema: "public",
      table: "crew_runs",
      constraint: "crew_runs_pkey",
    });
    expect(await catchError(owner`select ownerid from crew_runs`)).toMatchObject({
      code: "42703",
      position: "8",
      hint: 'Perhaps you meant to reference the column "crew_runs.owner_id".',
    });
  });

  test.for([
    ["a parameter too few", "select $1::int + $2::int", ["1"], "08P01"],
    ["two statements in one", "select 1; select 2", [], "42601"],
    ["a zero byte in a parameter", "select $1::text", ["a\0b"], "22021"],
    ["COPY", "copy crew_runs from stdin", [], "57014"],
  ] as const)("comes for %s, and the next query works", async ([, text, params, code]) => {
    expect(await catchError(owner.query(text, [...params]))).toMatchObject({ code });
    expect(await owner`select 1 as a`).toEqual([{ a: 1 }]);
  });
});

describe("a request is refused", () => {
  test.for([
    ["a wrong password", (url: URL): unknown => (url.password = "guess"), "28P01"],
    ["no password", (url: URL): unknown => (url.password = ""), "28P01"],
    ["an unknown role", (url: URL): unknown => (url.username = "somebody"), "28P01"],
    ["the superuser's name", (url: URL): unknown => (url.username = "postgres"), "28P01"],
    ["an unknown database", (url: URL): unknown => (url.pathname = "/elsewhere"), "3D000"],
  ] as const)("for %s", async ([, spoil, code]) => {
    const url = new URL(variables.DATABASE_URL);
    spoil(url);
    const response = await post(`{"query":"select 1","params":[]}`, url.href);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ severity: "FATAL", code });
  });

  test.for([
    `{"query":1,"params":[]}`,
    `{"query":"select $1","params":[{}]}`,
    `{"query":"select 1\\u0000","params":[]}`,
    `{"queries":[1]}`,
  ])("for the body %s", async (body) => {
    const response = await post(body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ message: expect.stringContaining("could not parse") });
  });

  test("for an isolation level, which is not supported here", async () => {
    expect(await catchError(owner.transaction([owner`select 1`], { readOnly: true }))).toMatchObject({
      message: "neon-batch-read-only is not supported here",
    });
  });
});

test("a session leaves nothing to the next one", async () => {
  const id = await insertRun();
  await owner`set statement_timeout = '7s'`;
  await owner`create temporary table left_behind (a int)`;
  await owner`set role crew_runs_owner`;
  await owner`begin`;
  await reader`reset session authorization`;
  expect(await owner`show statement_timeout`).toEqual([{ statement_timeout: "0" }]);
  expect(await reader`show statement_timeout`).toEqual([{ statement_timeout: "5s" }]);
  expect(await catchError(owner`select * from left_behind`)).toMatchObject({ code: "42P01" });
  expect(await reader`select current_user as role, status from crew_runs where id = ${id}`).toEqual([
    { role: "crew_runs_reader", status: "pending" },
  ]);
  expect(await owner`select pg_current_xact_id_if_assigned() as id`).toEqual([{ id: null }]);
});

describe("the reader", () => {
  test("is read-only by default", async () => {
    expect(await catchError(reader`delete from crew_runs`)).toMatchObject({ code: "25006" });
  });

  test.for([
    "insert into crew_runs (id, correlation_id, owner_id, status) values (gen_random_uuid(), 'c', 'o', 'pending')",
    "update crew_runs set owner_id = 'me'",
    "delete from crew_runs",
    "truncate crew_runs",
    "select * from crew_runs for update",
    "drop table crew_runs",
    "alter table crew_runs add column x int",
    "create table mine (a int)",
    "create schema mine",
    "create role mine",
    "set role crew_runs_owner",
    "select * from pg_authid",
    "copy crew_runs to '/tmp/crew_runs'",
  ])("is not allowed, even in a transaction that writes: %s", async (text) => {
    const transaction = reader.transaction([reader`set transaction read write`, reader.query(text)]);
    expect(await catchError(transaction)).toMatchObject({ code: "42501" });
  });

  test("cannot read another table", async () => {
    await owner`create table if not exists somebody_elses (a int)`;
    expect(await catchError(reader`select * from somebody_elses`)).toMatchObject({ code: "42501" });
    await owner`drop table somebody_elses`;
  });
});
