// The local SQL endpoint through the real driver: it behaves as the Worker, the doctor and the tests rely on, and the role of
// schema.sql can do nothing but read.
import { NeonDbError, neon, neonConfig } from "@neondatabase/serverless";
import { afterAll, expect, test } from "vitest";
import { startUpstreams } from "../../dev/local-stack.ts";
import { insertRunBy } from "../support/runs.ts";

const stack = await startUpstreams();
const { variables, ownerDatabaseUrl } = stack;
neonConfig.fetchEndpoint = variables.NEON_FETCH_ENDPOINT;
const owner = neon(ownerDatabaseUrl);
const reader = neon(variables.DATABASE_URL);

afterAll(() => stack.close());

async function catchError(query: PromiseLike<unknown>): Promise<NeonDbError> {
  const error = await Promise.resolve(query).catch((reason: unknown) => reason);
  if (error instanceof NeonDbError) return error;
  throw new Error("the query has not failed", { cause: error });
}

test.for([
  ["a parameter too few", "select $1::int + $2::int", ["1"], "08P01"],
  ["two statements in one", "select 1; select 2", [], "42601"],
  ["a zero byte in a parameter", "select $1::text", ["a\0b"], "22021"],
  ["COPY", "copy crew_runs from stdin", [], "57014"],
] as const)("%s is an error, and the next query works", async ([, text, params, code]) => {
  expect(await catchError(owner.query(text, [...params]))).toMatchObject({ code });
  expect(await owner`select 1 as a`).toEqual([{ a: 1 }]);
});

test.for([
  ["a wrong password", { password: "guess" }, "28P01"],
  ["no password", { password: "" }, "28P01"],
  ["the superuser's name", { username: "postgres" }, "28P01"],
  ["an unknown database", { pathname: "/elsewhere" }, "3D000"],
] as const)("%s is refused", async ([, change, code]) => {
  const { href } = Object.assign(new URL(variables.DATABASE_URL), change);
  const headers = { "neon-connection-string": href };
  const response = await fetch(variables.NEON_FETCH_ENDPOINT, { method: "POST", headers, body: "{}" });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ severity: "FATAL", code });
});

test("a session leaves nothing to the next one", async () => {
  const id = await insertRunBy(owner);
  await owner`set statement_timeout = '7s'`;
  await owner`create temporary table left_behind (a int)`;
  await owner`begin`;
  await reader`reset session authorization`;
  expect(await owner`show statement_timeout`).toEqual([{ statement_timeout: "0" }]);
  expect(await reader`show statement_timeout`).toEqual([{ statement_timeout: "3s" }]);
  expect(await catchError(owner`select * from left_behind`)).toMatchObject({ code: "42P01" });
  expect(await owner`select pg_current_xact_id_if_assigned() as id`).toEqual([{ id: null }]);
  expect(await reader`select current_user as role, status from crew_runs where id = ${id}`).toEqual([
    { role: "crew_runs_reader", status: "pending" },
  ]);
});

test("the reader is read-only by default", async () => {
  expect(await catchError(reader`delete from crew_runs`)).toMatchObject({ code: "25006" });
});

test.for(["update crew_runs set owner_id = 'me'", "create table mine (a int)", "set role crew_runs_owner"])(
  "the reader isn't allowed, even in a transaction that writes: %s",
  async (text) => {
    const transaction = reader.transaction([reader`set transaction read write`, reader.query(text)]);
    expect(await catchError(transaction)).toMatchObject({ code: "42501" });
  },
);
