// The real driver against the local endpoint: what its README shows has to work here as it does with Neon.
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
    if (error instanceof NeonDbError) {
      const fields = Object.entries({ ...error, message: error.message });
      return Object.fromEntries(fields.filter(([, value]) => value !== undefined));
    }
    throw error;
  }
  throw new Error("the query has not failed");
}

/** The connection string with one part changed. */
function change(edit: (url: URL) => unknown): string {
  const url = new URL(variables.DATABASE_URL);
  edit(url);
  return url.href;
}

function post(body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(endpoint, {
    method: "POST",
    headers: { "Neon-Connection-String": ownerDatabaseUrl, ...headers },
    body,
  });
}

describe("a query", () => {
  test("gives rows as objects", async () => {
    expect(await owner`select 12 as id, 'My post' as title`).toEqual([{ id: 12, title: "My post" }]);
  });

  test("takes parameters, composes, and takes trusted text as it is", async () => {
    const id = await insertRun({ owner_id: "o'brien; drop table crew_runs" });
    const where = owner`where id = ${id}`;
    expect(await owner`select owner_id from ${owner.unsafe("crew_runs")} ${where} and status = ${"pending"}`).toEqual([
      { owner_id: "o'brien; drop table crew_runs" },
    ]);
  });

  test("takes placeholders in query()", async () => {
    expect(await owner.query("select $1::int + $2::int as sum", [2, 3])).toEqual([{ sum: 5 }]);
  });

  test("gives arrays in array mode, also where two columns have one name", async () => {
    expect(await neon(ownerDatabaseUrl, { arrayMode: true })`select 1 as a, 2 as a`).toEqual([[1, 2]]);
    expect(await owner.query("select $1 as a", ["x"], { arrayMode: true })).toEqual([["x"]]);
  });

  test("gives fields, command and count in full results", async () => {
    const id = await insertRun();
    const results = await neon(ownerDatabaseUrl, { fullResults: true })`
      select owner_id, 1::int as number, 'x'::varchar(5) as short from crew_runs where id = ${id}`;
    expect(results).toMatchObject({
      rows: [{ owner_id: "owner", number: 1, short: "x" }],
      rowCount: 1,
      rowAsArray: false,
      command: "SELECT",
    });
    expect(results.fields).toEqual([
      {
        name: "owner_id",
        dataTypeID: 25,
        tableID: expect.any(Number),
        columnID: 3,
        dataTypeSize: -1,
        dataTypeModifier: -1,
        format: "text",
      },
      {
        name: "number",
        dataTypeID: 23,
        tableID: 0,
        columnID: 0,
        dataTypeSize: 4,
        dataTypeModifier: -1,
        format: "text",
      },
      {
        name: "short",
        dataTypeID: 1043,
        tableID: 0,
        columnID: 0,
        dataTypeSize: -1,
        dataTypeModifier: 9,
        format: "text",
      },
    ]);
    expect(results.fields[0]?.tableID).toBeGreaterThan(0);
  });

  test.for([
    ["select 1 where false", "SELECT", 0],
    [
      "insert into crew_runs (id, correlation_id, owner_id, status) select gen_random_uuid(), 'c', 'counted', 'pending' from generate_series(1, 3)",
      "INSERT",
      3,
    ],
    ["update crew_runs set crew_type = 'x' where owner_id = 'nobody'", "UPDATE", 0],
    ["create temporary table scratch (a int)", "CREATE", null],
    ["show server_version", "SHOW", null],
    ["", "", null],
  ] as const)("names its command and count: %s", async ([text, command, rowCount]) => {
    expect(await owner.query(text, [], { fullResults: true })).toMatchObject({ command, rowCount });
  });

  test("reads each type as the driver does with Neon", async () => {
    const [row] = await owner`
      select 1::int2 as int2, 2::int4 as int4, 9007199254740993::int8 as int8, 1.50::numeric as numeric, 0.5::float8 as float8,
             true as yes, false as no, null as nothing, 'é😀' as text, '' as empty,
             '2026-03-01T10:00:00.123456Z'::timestamptz as time, '{"a": [1, null]}'::jsonb as jsonb, 'null'::json as json,
             array[1, 2] as numbers, array['a', null, 'b,"c"'] as texts, '\\x00ff'::bytea as bytes,
             '11111111-1111-4111-8111-111111111111'::uuid as uuid`;
    expect({ ...row, bytes: Array.from(row?.["bytes"] as Uint8Array) }).toEqual({
      int2: 1,
      int4: 2,
      int8: "9007199254740993",
      numeric: "1.50",
      float8: 0.5,
      yes: true,
      no: false,
      nothing: null,
      text: "é😀",
      empty: "",
      time: new Date("2026-03-01T10:00:00.123Z"),
      jsonb: { a: [1, null] },
      json: null,
      numbers: [1, 2],
      texts: ["a", null, 'b,"c"'],
      bytes: [0, 255],
      uuid: "11111111-1111-4111-8111-111111111111",
    });
  });

  test("sends each kind of JavaScript value", async () => {
    const time = new Date("2026-03-01T10:00:00.123Z");
    const [row] = await owner`
      select ${7}::int as number, ${true}::bool as flag, ${null}::text as nothing, ${time}::timestamptz as time,
             ${["a", 'b"c', null]}::text[] as texts, ${[1, 2]}::int[] as numbers, ${{ a: { b: 1 } }}::jsonb as json,
             encode(${new Uint8Array([0, 127, 255])}, 'hex') as bytes, ${"quo'te \\ $1"} as text`;
    expect(row).toEqual({
      number: 7,
      flag: true,
      nothing: null,
      time,
      texts: ["a", 'b"c', null],
      numbers: [1, 2],
      json: { a: { b: 1 } },
      bytes: "007fff",
      text: "quo'te \\ $1",
    });
  });

  test("leaves values as text where the types say so", async () => {
    const types = { getTypeParser: () => (text: string) => text };
    const text = `select '2026-03-01T10:00:00.123456Z'::timestamptz as time, '{"n": 1.0}'::jsonb as json, true as flag`;
    expect(await owner.query(text, [], { types })).toEqual([
      { time: "2026-03-01 10:00:00.123456+00", json: '{"n": 1.0}', flag: "t" },
    ]);
  });

  test("carries 5 MB there and back", async () => {
    const text = "é".repeat(2_500_000);
    const [row] = await owner`select ${text} as text`;
    expect(row?.["text"] === text).toBe(true);
  });

  test("takes the parts of a connection as options, and a password from a function", async () => {
    const { username, password, hostname } = new URL(variables.DATABASE_URL);
    const sql = neon({
      user: username,
      password: async () => password,
      host: hostname,
      database: "postgres",
    });
    expect(await sql`select current_user as role`).toEqual([{ role: "crew_runs_reader" }]);
  });

  test("is seen by Postgres under the role and the application name of its connection string", async () => {
    const named = neon(change((url) => url.searchParams.set("application_name", "a test")));
    expect(
      await named`select current_user as role, session_user as login, current_setting('application_name') as application`,
    ).toEqual([{ role: "crew_runs_reader", login: "crew_runs_reader", application: "a test" }]);
  });

  test("can be aborted", async () => {
    const fetchOptions = { signal: AbortSignal.abort() };
    await expect(owner.query("select 1", [], { fetchOptions })).rejects.toThrow("Error connecting to database");
  });

  test("gets its own answer among many at once", async () => {
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

describe("a transaction", () => {
  test("gives the results of its queries in order", async () => {
    expect(await owner.transaction([owner`select 1 as a`, owner`select 2 as b`])).toEqual([[{ a: 1 }], [{ b: 2 }]]);
    expect(await owner.transaction((sql) => [sql`select ${"x"} as a`, sql.query("select $1 as b", ["y"])])).toEqual([
      [{ a: "x" }],
      [{ b: "y" }],
    ]);
    expect(await owner.transaction([])).toEqual([]);
  });

  test("is one transaction, of Postgres's default kind unless told otherwise", async () => {
    const [first, second, isolation, readOnly, deferrable] = await owner.transaction([
      owner`select pg_current_xact_id()::text as id`,
      owner`select pg_current_xact_id()::text as id`,
      owner`show transaction_isolation`,
      owner`show transaction_read_only`,
      owner`show transaction_deferrable`,
    ]);
    expect(second).toEqual(first);
    expect([isolation, readOnly, deferrable].flat()).toEqual([
      { transaction_isolation: "read committed" },
      { transaction_read_only: "off" },
      { transaction_deferrable: "off" },
    ]);
  });

  test.for([
    ["ReadUncommitted", "read uncommitted"],
    ["ReadCommitted", "read committed"],
    ["RepeatableRead", "repeatable read"],
    ["Serializable", "serializable"],
  ] as const)("has the isolation level that was asked for: %s", async ([isolationLevel, words]) => {
    expect(await owner.transaction([owner`show transaction_isolation`], { isolationLevel })).toEqual([
      [{ transaction_isolation: words }],
    ]);
  });

  test("is read-only and deferrable when asked", async () => {
    const results = await owner.transaction([owner`show transaction_read_only`, owner`show transaction_deferrable`], {
      isolationLevel: "Serializable",
      readOnly: true,
      deferrable: true,
    });
    expect(results.flat()).toEqual([{ transaction_read_only: "on" }, { transaction_deferrable: "on" }]);
    const error = await catchError(owner.transaction([owner`create table never (a int)`], { readOnly: true }));
    expect(error["code"]).toBe("25006");
  });

  test("takes array mode and full results for all of its queries", async () => {
    expect(await owner.transaction([owner`select 1 as a`], { arrayMode: true, fullResults: true })).toMatchObject([
      { rows: [[1]], rowAsArray: true, rowCount: 1, command: "SELECT" },
    ]);
  });

  test("leaves nothing behind when one of its queries fails", async () => {
    const id = crypto.randomUUID();
    const error = await catchError(
      owner.transaction([
        owner`insert into crew_runs (id, correlation_id, owner_id, status) values (${id}, 'c', 'owner', 'pending')`,
        owner`select 1 / 0`,
      ]),
    );
    expect(error).toMatchObject({ code: "22012", message: "division by zero" });
    expect(await owner`select id from crew_runs where id = ${id}`).toEqual([]);
  });

  test("keeps what it did when all of its queries succeed", async () => {
    const id = crypto.randomUUID();
    await owner.transaction([
      owner`insert into crew_runs (id, correlation_id, owner_id, status) values (${id}, 'c', 'owner', 'pending')`,
      owner`update crew_runs set crew_type = 'kept' where id = ${id}`,
    ]);
    expect(await owner`select crew_type from crew_runs where id = ${id}`).toEqual([{ crew_type: "kept" }]);
  });
});

describe("an error", () => {
  test("carries the place and the hint", async () => {
    const text = "select ownerid from crew_runs";
    expect(await catchError(owner.query(text))).toMatchObject({
      name: "NeonDbError",
      message: 'column "ownerid" does not exist',
      severity: "ERROR",
      code: "42703",
      position: "8",
      hint: 'Perhaps you meant to reference the column "crew_runs.owner_id".',
      routine: "errorMissingColumn",
    });
  });

  test("carries the constraint and the detail", async () => {
    const id = await insertRun();
    expect(await catchError(insertRun({ id }))).toMatchObject({
      code: "23505",
      message: 'duplicate key value violates unique constraint "crew_runs_pkey"',
      detail: `Key (id)=(${id}) already exists.`,
      schema: "public",
      table: "crew_runs",
      constraint: "crew_runs_pkey",
      file: "nbtinsert.c",
      line: expect.stringMatching(/^\d+$/),
    });
  });

  test("carries the column", async () => {
    expect(await catchError(owner`insert into crew_runs (id) values (${crypto.randomUUID()})`)).toMatchObject({
      code: "23502",
      column: "correlation_id",
    });
  });

  test("carries the statement inside a function", async () => {
    const error = await catchError(owner.query("do $$ begin perform nothing from crew_runs; end $$"));
    expect(error).toMatchObject({
      code: "42703",
      internalQuery: "SELECT nothing from crew_runs",
      internalPosition: "8",
      where: expect.stringContaining("PL/pgSQL function inline_code_block"),
    });
    expect(error).not.toHaveProperty("position");
  });

  test.for([
    ["a parameter too few", "select $1::int + $2::int", ["1"], "08P01"],
    ["a parameter that does not fit", "select $1::int", ["x"], "22P02"],
    ["two statements in one", "select 1; select 2", [], "42601"],
    ["a zero byte in a parameter", "select $1::text", ["a\0b"], "22021"],
    ["COPY", "copy crew_runs from stdin", [], "57014"],
  ] as const)("comes for %s, and the next query works", async ([, text, params, code]) => {
    expect(await catchError(owner.query(text, [...params]))).toMatchObject({ code });
    expect(await owner`select 1 as a`).toEqual([{ a: 1 }]);
  });

  test("is an answer with status 400 and every field", async () => {
    const response = await post(JSON.stringify({ query: "select" + " nope" }));
    expect(response.status).toBe(400);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(Object.keys(await response.json<object>())).toEqual([
      "message",
      "code",
      "detail",
      "hint",
      "position",
      "internalPosition",
      "internalQuery",
      "severity",
      "where",
      "table",
      "column",
      "schema",
      "dataType",
      "constraint",
      "file",
      "line",
      "routine",
    ]);
  });
});

describe("a connection string is refused", () => {
  test.for([
    ["a wrong password", (url: URL): unknown => (url.password = "guess")],
    ["an unknown role", (url: URL): unknown => (url.username = "somebody")],
    ["the superuser's name", (url: URL): unknown => (url.username = "postgres")],
  ] as const)("for %s", async ([, spoil]) => {
    const url = change(spoil);
    expect(await catchError(neon(url)`select 1`)).toMatchObject({
      message: `password authentication failed for user '${new URL(url).username}'`,
      severity: "FATAL",
      code: "28P01",
    });
  });

  test("for an unknown database", async () => {
    const url = change((parts) => (parts.pathname = "/elsewhere"));
    expect(await catchError(neon(url)`select 1`)).toMatchObject({
      message: 'database "elsewhere" does not exist',
      severity: "FATAL",
      code: "3D000",
    });
  });

  test("for a missing password, and a token does not stand in for it", async () => {
    const url = change((parts) => (parts.password = ""));
    const message = "missing authentication credentials: required password";
    expect(await catchError(neon(url)`select 1`)).toMatchObject({ message });
    expect(await catchError(neon(variables.DATABASE_URL, { authToken: "a.b.c" })`select 1`)).toMatchObject({
      message,
    });
  });

  test.for([
    ["", "invalid connection string"],
    ["nonsense", "invalid connection string"],
    ["https://a:b@host/postgres", "incorrect scheme"],
    ["postgresql://:b@host/postgres", "missing username"],
    ["postgresql://%E0%A4%A:b@host/postgres", "invalid connection string"],
  ] as const)("when it is %j", async ([value, message]) => {
    const response = await post(`{"query":"select 1"}`, { "Neon-Connection-String": value });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ message });
  });

  test("when there is none", async () => {
    const response = await fetch(endpoint, { method: "POST", body: `{"query":"select 1"}` });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ message: "invalid header: neon-connection-string" });
  });
});

describe("without the driver's headers", () => {
  const query = `
    select 1 as int4, 9007199254740993 as int8, 0.5::float8 as float8, 'NaN'::float4 as nan, 1.50 as numeric, true as flag,
           null as nothing, 'x' as text, '{"n": 1.0}'::jsonb as json, array[1, null] as numbers, '[0:1]={3,4}'::int[] as shifted,
           array[['a', 'NULL'], ['b"\\', 'x,{y}']] as texts, array['{"n": 1.0}'::jsonb] as jsons, '{}'::text[] as none`;
  const rowText =
    `{"int4":1,"int8":"9007199254740993","float8":0.5,"nan":"NaN","numeric":"1.50","flag":true,"nothing":null,"text":"x",` +
    `"json":{"n": 1.0},"numbers":[1,null],"shifted":[3,4],"texts":[["a","NULL"],["b\\"\\\\","x,{y}"]],"jsons":[{"n": 1.0}],"none":[]}`;

  test("rows are objects and values are JSON", async () => {
    const response = await post(JSON.stringify({ query }));
    expect(response.status).toBe(200);
    const text = await response.text();
    expect(text).toContain(`"rows":[${rowText}]`);
    expect(JSON.parse(text)).toMatchObject({ command: "SELECT", rowCount: 1, rowAsArray: false });
  });

  test("each header changes its own half", async () => {
    const body = JSON.stringify({ query: "select 1 as a, true as b" });
    const raw = await post(body, { "Neon-Raw-Text-Output": "true" });
    expect(await raw.json()).toMatchObject({ rows: [{ a: "1", b: "t" }], rowAsArray: false });
    const array = await post(body, { "Neon-Array-Mode": "true" });
    expect(await array.json()).toMatchObject({ rows: [[1, true]], rowAsArray: true });
  });

  test("a query in a batch chooses array mode for itself", async () => {
    const queries = [{ query: "select 1 as a", arrayMode: true }, { query: "select 1 as a" }];
    const response = await post(JSON.stringify({ queries }));
    expect(await response.json()).toMatchObject({ results: [{ rows: [[1]] }, { rows: [{ a: 1 }] }] });
  });

  test("parameters may be any JSON", async () => {
    const params = [1, true, null, "x", [1, [2], null, 'a"\\'], { a: [1] }];
    const response = await post(
      JSON.stringify({ query: "select $1::int, $2::bool, $3::int, $4::text, $5::text, $6::jsonb", params }),
      { "Neon-Array-Mode": "true" },
    );
    expect(await response.json()).toMatchObject({
      rows: [[1, true, null, "x", '{1,{2},NULL,"a\\"\\\\"}', { a: [1] }]],
    });
  });
});

describe("a request is refused", () => {
  test.for(["{", "[]", "null", `"select 1"`, `{"query":1}`, `{"query":"select 1","params":{}}`, `{"queries":[1]}`])(
    "with 400 for the body %s",
    async (body) => {
      const response = await post(body);
      expect(response.status).toBe(400);
      expect(await response.json()).toMatchObject({
        message: expect.stringMatching(/^could not parse the HTTP request body: ./),
        code: "",
      });
    },
  );

  test("with 400 for a zero byte in the query, which would end it early", async () => {
    const response = await post(JSON.stringify({ query: "select 1\0" }));
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ message: "the query contains a zero byte" });
  });

  test("with 400 for an unknown isolation level", async () => {
    const response = await post(`{"queries":[]}`, { "Neon-Batch-Isolation-Level": "toString" });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ message: "invalid isolation level" });
  });

  test("with 405 and Allow for another method", async () => {
    const response = await fetch(endpoint);
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("POST");
    await response.body?.cancel();
  });

  test("with 404 for another path", async () => {
    const response = await fetch(new URL("/", endpoint), { method: "POST", body: "" });
    expect(response.status).toBe(404);
    await response.body?.cancel();
  });

  test("with 413 when it is too large", async () => {
    const response = await post(" ".repeat(64 * 1024 * 1024 + 1));
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({ message: "request is too large (max is 67108864 bytes)" });
  });
});

describe("a session leaves nothing to the next one", () => {
  test("of its settings", async () => {
    await owner`set statement_timeout = '7s'`;
    await owner`set timezone = 'Asia/Tokyo'`;
    expect(await owner`show statement_timeout`).toEqual([{ statement_timeout: "0" }]);
    expect(await owner`show timezone`).toEqual([{ TimeZone: "UTC" }]);
    expect(await reader`show statement_timeout`).toEqual([{ statement_timeout: "5s" }]);
  });

  test("of a transaction that was never ended", async () => {
    const id = await insertRun();
    await owner`begin`;
    await owner.query("do $$ begin perform 1; end $$");
    expect(await owner`select count(*)::int as count from crew_runs where id = ${id}`).toEqual([{ count: 1 }]);
    const [row] = await owner`select pg_current_xact_id_if_assigned() as id`;
    expect(row).toEqual({ id: null });
  });

  test("of its temporary tables", async () => {
    await owner`create temporary table left_behind (a int)`;
    expect(await catchError(owner`select * from left_behind`)).toMatchObject({ code: "42P01" });
  });

  test("of its role", async () => {
    await owner`set role crew_runs_owner`;
    await reader`reset role`;
    await reader`reset session authorization`;
    expect(await reader`select current_user as role`).toEqual([{ role: "crew_runs_reader" }]);
    expect(await owner`select current_user as role`).toEqual([{ role: "crew_runs_owner" }]);
  });
});

describe("the reader", () => {
  test("reads the table", async () => {
    const id = await insertRun();
    expect(await reader`select status from crew_runs where id = ${id}`).toEqual([{ status: "pending" }]);
  });

  test("is read-only by default", async () => {
    expect(await catchError(reader`delete from crew_runs`)).toMatchObject({ code: "25006" });
  });

  test.for([
    "insert into crew_runs (id, correlation_id, owner_id, status) values (gen_random_uuid(), 'c', 'o', 'pending')",
    "update crew_runs set owner_id = 'me'",
    "delete from crew_runs",
    "truncate crew_runs",
    "select * from crew_runs for update",
    "lock table crew_runs",
    "drop table crew_runs",
    "alter table crew_runs add column x int",
    "create table mine (a int)",
    "create schema mine",
    "create role mine",
    "set role crew_runs_owner",
    "select * from pg_authid",
    "copy crew_runs to '/tmp/crew_runs'",
  ])("is not allowed, even in a transaction that writes: %s", async (text) => {
    expect(
      await catchError(reader.transaction([reader`set transaction read write`, reader.query(text)])),
    ).toMatchObject({
      code: "42501",
    });
  });

  test("cannot read another table", async () => {
    await owner`create table if not exists somebody_elses (a int)`;
    expect(await catchError(reader`select * from somebody_elses`)).toMatchObject({
      code: "42501",
      message: "permission denied for table somebody_elses",
    });
    await owner`drop table somebody_elses`;
  });
});
