// schema.sql: which rows a writer may insert, that applying it again does no harm, and what the reader's role may do.
import { describe, expect, test } from "vitest";
import schema from "../schema.sql?raw";
import { connectAsOwner, insertRun } from "./support/database.ts";
import type { NewRun } from "./support/runs.ts";

const owner = connectAsOwner();

const EARLY = "2026-03-01T10:00:00.000002Z";
const LATER = "2026-03-01T10:00:00.000003Z";
const LAST = "2026-03-01T10:00:00.000004Z";
const LONG = "x".repeat(100_000);
const TIMES_OF_RFC3339 = { created_at: "0001-01-01T00:00:00Z", completed_at: "9999-12-31T23:59:59.999999Z" };

test("a writer may insert a pending run with nothing but id, correlation_id, owner_id and status", async () => {
  const id = crypto.randomUUID();
  await owner`insert into crew_runs (id, correlation_id, owner_id, status) values (${id}, 'c', 'o', 'pending')`;
  const [row] = await owner`select *, now() - created_at < '1 minute' as fresh from crew_runs where id = ${id}`;
  const { correlation_id: _, created_at: __, ...rest } = row ?? {};
  const empty = ["crew_type", "crew_config", "task_input", "result", "error", "started_at", "completed_at"];
  const nothing = Object.fromEntries(empty.map((name) => [name, null]));
  expect(rest).toEqual({ id, owner_id: "o", status: "pending", fresh: true, ...nothing });
});

test.for<[string, NewRun]>([
  ["an id of no version", { id: crypto.randomUUID().replace("-4", "-0") }],
  ["an owner of 255 characters", { owner_id: "é".repeat(255) }],
  ["a correlation id that is empty", { correlation_id: "" }],
  ["texts of any length", { correlation_id: LONG, crew_type: LONG, result: LONG, error: LONG }],
  ["a run that is running", { status: "running", created_at: EARLY, started_at: LATER }],
  ["one time for all", { status: "completed", created_at: EARLY, started_at: EARLY, completed_at: EARLY }],
  ["a failure before the start", { status: "failed", created_at: EARLY, completed_at: LAST, error: "x" }],
  ["a final run whose times were lost", { status: "completed", created_at: EARLY }],
  ["an empty object as input", { task_input: "{}" }],
  ["the JSON value null as input and as config", { task_input: "null", crew_config: "null" }],
  ["a config that lacks everything", { crew_config: "{}" }],
  ["the first and the last time of RFC 3339", { status: "completed", ...TIMES_OF_RFC3339 }],
])("a writer may insert %s", async ([, run]) => {
  const id = await insertRun(run);
  expect(await owner`select 1 as found from crew_runs where id = ${id}`).toHaveLength(1);
});

test.for<[string, NewRun]>([
  ["owner_id_length", { owner_id: "" }],
  ["owner_id_length", { owner_id: "é".repeat(256) }],
  ["crew_config_object", { crew_config: "[]" }],
  ["crew_config_object", { crew_config: `"{}"` }],
  ["crew_config_object", { crew_config: "1" }],
  ["task_input_object", { task_input: "[{}]" }],
  ["task_input_object", { task_input: `"{}"` }],
  ["task_input_object", { task_input: "1" }],
  ["created_at_writable", { created_at: "infinity" }],
  ["created_at_writable", { created_at: "-infinity" }],
  ["created_at_writable", { created_at: "0001-12-31T23:59:59Z BC" }],
  ["created_at_writable", { created_at: "9999-12-31T23:59:59-00:01" }],
  ["created_at_writable", { created_at: "10000-01-01T00:00:00Z" }],
  ["started_at_writable", { status: "running", created_at: EARLY, started_at: "10000-01-01T00:00:00Z" }],
  ["started_at_writable", { status: "running", created_at: EARLY, started_at: "infinity" }],
  ["completed_at_writable", { status: "failed", created_at: EARLY, completed_at: "10000-01-01T00:00:00Z" }],
  ["started_after_created", { status: "running", created_at: LATER, started_at: EARLY }],
  ["completed_after_started", { status: "completed", created_at: EARLY, started_at: LAST, completed_at: LATER }],
  ["completed_after_started", { status: "failed", created_at: LATER, completed_at: EARLY }],
  ["pending_not_started", { created_at: EARLY, started_at: LATER }],
  ["completed_only_when_final", { created_at: EARLY, completed_at: LAST }],
  ["completed_only_when_final", { status: "running", created_at: EARLY, started_at: LATER, completed_at: LAST }],
  ["status_known", { status: "Pending" as "pending" }],
  ["status_known", { status: "cancelled" as "failed", created_at: EARLY }],
])("no writer can insert against crew_runs_%s: %j", async ([constraint, run]) => {
  await expect(insertRun(run)).rejects.toMatchObject({ constraint: `crew_runs_${constraint}` });
});

test.each(["correlation_id", "owner_id", "status", "created_at"])(
  "no writer can leave %s out as null",
  async (name) => {
    await expect(insertRun({ [name]: null })).rejects.toMatchObject({ code: "23502", column: name });
  },
);

test("no writer can insert an id twice, or none", async () => {
  const id = await insertRun();
  await expect(insertRun({ id })).rejects.toMatchObject({ constraint: "crew_runs_pkey" });
  const keys = await owner`select conname from pg_constraint where conrelid = 'crew_runs'::regclass and contype = 'p'`;
  expect(keys).toEqual([{ conname: "crew_runs_pkey" }]);
});

/** All that schema.sql makes, as the catalogue has it; object ids tell whether something was made anew. */
async function describeSchema(): Promise<unknown> {
  return await owner`
    select (select jsonb_agg(to_jsonb(c) order by conname) from pg_constraint c where conrelid = 'crew_runs'::regclass),
           (select jsonb_agg(jsonb_build_array(attname, atttypid, attnotnull, col_description(attrelid, attnum)) order by attnum)
            from pg_attribute where attrelid = 'crew_runs'::regclass and attnum > 0) as columns,
           (select jsonb_build_array(oid, relacl::text, obj_description(oid)) from pg_class where oid = 'crew_runs'::regclass) as table,
           (select jsonb_build_array(oid, rolcanlogin, rolconfig, shobj_description(oid, 'pg_authid'))
            from pg_roles where rolname = 'crew_runs_reader') as reader`;
}

/** As one statement, since the protocol takes no more: its transaction is then the statement's own. */
function applySchema() {
  const inner = schema.replace(/^begin;$/m, "").replace(/^commit;$/m, "");
  return owner.query(`do $apply$ begin execute $schema$${inner}$schema$; end $apply$`);
}

describe("schema.sql", () => {
  // In a transaction that is rolled back, because other tests rely on the role.
  test("takes back what the reader was granted beyond SELECT, and grants nothing on another table", async () => {
    const [, , , grants] = await owner.transaction([
      owner`create table another_table (id uuid)`,
      owner`grant insert, update (result), delete, truncate on crew_runs to crew_runs_reader`,
      applySchema(),
      owner`select relname, privilege_type from pg_class, aclexplode(relacl) where grantee = 'crew_runs_reader'::regrole
            union all select attname, privilege_type from pg_attribute, aclexplode(attacl)
            where grantee = 'crew_runs_reader'::regrole`,
      owner`rollback`,
    ]);
    expect(grants).toEqual([{ relname: "crew_runs", privilege_type: "SELECT" }]);
  });

  test("does no harm when applied again", async () => {
    const id = await insertRun({ task_input: `{"kept": 1.0}` });
    const before = await describeSchema();
    await applySchema();
    expect(await describeSchema()).toEqual(before);
    expect(await owner`select task_input::text from crew_runs where id = ${id}`).toEqual([
      { task_input: '{"kept": 1.0}' },
    ]);
  });

  // As above.
  test("leaves an operator's settings of the role alone", async () => {
    const [, , , , roles] = await owner.transaction([
      owner`alter role crew_runs_reader set default_transaction_read_only = off`,
      owner`alter role crew_runs_reader set statement_timeout = '9s'`,
      owner`alter role crew_runs_reader login`,
      applySchema(),
      owner`select rolconfig, rolcanlogin from pg_roles where rolname = 'crew_runs_reader'`,
      owner`rollback`,
    ]);
    const rolconfig = ["default_transaction_read_only=off", "statement_timeout=9s"];
    expect(roles).toEqual([{ rolconfig, rolcanlogin: true }]);
  });

  test("gives the reader no login, nothing but SELECT on the one table, and three seconds, less than an attempt has", async () => {
    const [{ rolconfig, ...rights } = {}] = await owner`
      select rolconfig, rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls
      from pg_roles where rolname = 'crew_runs_reader'`;
    expect(rolconfig).toEqual(["default_transaction_read_only=on", "statement_timeout=3s"]);
    expect(new Set(Object.values(rights))).toEqual(new Set([false]));
    const grants = await owner`
      select relname as name, privilege_type from pg_class, aclexplode(relacl)
      where grantee = 'crew_runs_reader'::regrole
      union all select nspname, privilege_type from pg_namespace, aclexplode(nspacl)
      where grantee = 'crew_runs_reader'::regrole`;
    expect(grants).toEqual([
      { name: "crew_runs", privilege_type: "SELECT" },
      { name: "public", privilege_type: "USAGE" },
    ]);
    expect(await owner`select roleid from pg_auth_members where member = 'crew_runs_reader'::regrole`).toEqual([]);
  });
});
