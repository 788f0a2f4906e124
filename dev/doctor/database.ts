// The database as the Worker will use it: through Neon's driver, as the Worker's role. Checks that the role can read the record's
// columns in their types and write nothing, because a leaked connection string can do what the role can.
// Reads the catalogues only, never rows. No finding contains the connection string.
import { readFile } from "node:fs/promises";
import { NeonDbError, neon, neonConfig } from "@neondatabase/serverless";
import { listSecrets } from "../../src/crew-runs/postgres/fault.ts";
import type { Settings } from "../../src/settings.ts";
import { type Finding, bad, explainError, hint, ok, skipped } from "../checklist.ts";
import type { ConfigFile } from "./config.ts";

/** Sends one statement; returns its rows by column name. */
type Query = (text: string) => Promise<Record<string, unknown>[]>;

/** A sleeping compute takes up to a few seconds to wake; anything longer is a fault. */
const TIMEOUT_MS = 20_000;
const MAX_REASON_LENGTH = 300;

/** By the type in schema.sql. The Worker casts the other columns to text, so they may have any type. */
const FITTING_TYPES: Record<string, RegExp> = {
  uuid: /^uuid$/,
  jsonb: /^jsonb?$/,
  // A time without a zone would be read in the role's zone.
  timestamptz: /^timestamp(\(\d\))? with time zone$/,
};

const COLUMNS = `
  select format('%I.%I', n.nspname, c.relname) as relation, a.attname::text as name, c.relrowsecurity as "hasRowSecurity",
    format_type(a.atttypid, a.atttypmod) as type, has_column_privilege(c.oid, a.attnum, 'SELECT') as "isReadable"
  from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
  where c.oid = to_regclass('crew_runs') and a.attnum > 0 and not a.attisdropped`;
const POWERS = `
  select attribute as name from pg_roles, lateral (values ('superuser', rolsuper), ('createrole', rolcreaterole),
    ('createdb', rolcreatedb), ('bypassrls', rolbypassrls)) as attributes (attribute, has)
  where rolname = current_user and has
  union all select 'member of ' || rolname from pg_roles where rolname <> current_user and pg_has_role(oid, 'member')
    and not (select rolsuper from pg_roles where rolname = current_user)
  order by name`;
const WRITABLE = `
  with own as (select oid, nspname from pg_namespace
    where nspname !~ '^(pg_|information_schema$)' and has_schema_privilege(oid, 'USAGE'))
  select format('%I.%I', own.nspname, c.relname) as name from pg_class c join own on own.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and (has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
    or has_any_column_privilege(c.oid, 'INSERT, UPDATE'))
  union all select format('schema %I', nspname) from own where has_schema_privilege(oid, 'CREATE')
  order by name`;

const ownEndpoint = neonConfig.fetchEndpoint;

/** Connects, then checks placement, table and role. */
export async function* checkDatabase(settings: Settings, config: ConfigFile): AsyncGenerator<Finding> {
  neonConfig.fetchEndpoint = settings.NEON_FETCH_ENDPOINT ?? ownEndpoint;
  const sql = neon(settings.DATABASE_URL);
  const role = quoteRole(settings.DATABASE_URL);
  const query: Query = (text) => sql.query(text, [], { fetchOptions: { signal: AbortSignal.timeout(TIMEOUT_MS) } });
  try {
    const startedMs = Date.now();
    const [server] = await query("select current_user as role, current_setting('server_version') as version");
    const elapsedMs = Date.now() - startedMs;
    yield ok(`PostgreSQL ${String(server?.["version"])} accepts ${String(server?.["role"])} after ${elapsedMs} ms`);
    yield* checkPlacement(settings, config);
    yield* await checkTable(query, role);
    const rights = await checkRights(query, role);
    yield rights;
    if (rights.mark === "ok") yield await checkTimeout(query, settings);
  } catch (error) {
    yield explainFailure(error, settings);
    yield skipped("table and role aren't checked");
  }
}

/** The role, as remedies write it. It may be a second one: docs/operations.md#change-the-password. */
function quoteRole(databaseUrl: string): string {
  const name = decodeURIComponent(new URL(databaseUrl).username);
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

/** Distinguishes a missing response, a response of something else, and Postgres's rejection. */
function explainFailure(error: unknown, { DATABASE_URL, NEON_FETCH_ENDPOINT }: Settings): Finding {
  const role = quoteRole(DATABASE_URL);
  const { sourceError } = error instanceof NeonDbError ? error : {};
  // A driver's or a server's message may echo its input.
  const reason = listSecrets(DATABASE_URL)
    .reduce((text, secret) => text.replaceAll(secret, "…"), explainError(sourceError ?? error))
    .slice(0, MAX_REASON_LENGTH);
  const where = NEON_FETCH_ENDPOINT === undefined ? "" : " at NEON_FETCH_ENDPOINT";
  if (sourceError !== undefined || !(error instanceof NeonDbError || error instanceof SyntaxError)) {
    const remedy = "Check the host in DATABASE_URL (or NEON_FETCH_ENDPOINT), and whether the compute can start.";
    return bad(`the database doesn't respond${where}: ${reason}`, remedy);
  }
  if (/password|authenticat/i.test(reason)) {
    const remedy = `DATABASE_URL must contain the role's password, percent-encoded. The owner of the database can set a new one:
alter role ${role} login password '…'`;
    return bad(`the database rejects the role: ${reason}`, remedy);
  }
  const remedy = `Check the database's name at the end of DATABASE_URL, its host (or NEON_FETCH_ENDPOINT), and in Neon's console whether
the project is active.`;
  return bad(`the database returns an error${where}: ${reason}`, remedy);
}

/** Neon's host names end in `.REGION.aws.neon.tech`. */
function checkPlacement({ DATABASE_URL }: Settings, { name: file, placement }: ConfigFile): Finding[] {
  const [, name] = /\.([a-z0-9-]+)\.aws\.neon\.tech$/.exec(new URL(DATABASE_URL).hostname) ?? [];
  if (name === undefined) return [];
  const region = `aws:${name}`;
  if (placement !== undefined && "region" in placement && placement.region === region)
    return [ok(`the Worker is placed near the database: ${region}`)];
  const place = placement?.mode === undefined ? "under [placement]" : "under [placement], in place of mode";
  const remedy = `To place the Worker near it, in ${file} ${place}: region = "${region}"`;
  return [hint(`the database is in ${region}`, remedy)];
}

/** Checks that crew_runs, a table or a view, has the columns of schema.sql, in lossless types. */
async function checkTable(query: Query, role: string): Promise<Finding[]> {
  const columns = await query(COLUMNS);
  const [first] = columns;
  if (first === undefined) {
    const remedy = `The owner applies schema.sql: psql "$OWNER_DATABASE_URL" -v ON_ERROR_STOP=1 -f schema.sql
If crew_runs is in another schema: grant usage on schema … to ${role}; alter role ${role} set search_path = …
If your table has another name: docs/adopting-a-table.md`;
    return [bad("the role finds no crew_runs", remedy)];
  }
  const findings = (await readDeclaredColumns()).flatMap(([name, type]) => {
    const found = columns.find((column) => column["name"] === name);
    if (found === undefined) {
      return bad(`the column ${name} is missing`, "Apply schema.sql again, or add the column at the end of the view.");
    }
    if (FITTING_TYPES[type]?.test(String(found["type"])) === false) {
      const remedy = "Alter it, or put a view with a cast before the table: docs/adopting-a-table.md";
      return bad(`the column ${name} is ${String(found["type"])}, not ${type}`, remedy);
    }
    if (found["isReadable"] !== true) {
      return bad(`the role can't read the column ${name}`, `grant select on crew_runs to ${role}`);
    }
    return [];
  });
  if (findings.length === 0) findings.push(ok(`${String(first["relation"])} has every column in its type`));
  if (first["hasRowSecurity"] === true) {
    const remedy = `A run that no policy shows to the role is a 404. To show all:
create policy ${role} on crew_runs for select to ${role} using (true)`;
    findings.push(hint("row-level security is on", remedy));
  }
  return findings;
}

/** From the text of schema.sql, which is the only list of columns. */
async function readDeclaredColumns(): Promise<[name: string, type: string][]> {
  const text = await readFile(new URL("../../schema.sql", import.meta.url), "utf8");
  const columns = text.matchAll(/^(?: {2}|.*add column if not exists )(\w+) +(uuid|text|jsonb|timestamptz)(?=[ ,;])/gm);
  return [...columns].map(([, name = "", type = ""]) => [name, type]);
}

async function checkRights(query: Query, role: string): Promise<Finding> {
  const list = async (text: string) => (await query(text)).map(({ name }) => String(name)).join(", ");
  const powers = await list(POWERS);
  if (powers !== "") {
    const remedy = `Put the connection string of crew_runs_reader into DATABASE_URL; schema.sql creates that role. Create roles by SQL:
those of Neon's console or API are members of neon_superuser.`;
    return bad(`the role is too powerful: ${powers}`, remedy);
  }
  const writable = await list(WRITABLE);
  if (writable === "") return ok("the role can write nothing");
  const remedy = `DATABASE_URL must be that of crew_runs_reader, which schema.sql creates, or of a role like it. If it is, as the owner:
revoke insert, update, delete, truncate on … from public, ${role} (or: revoke create on schema …)`;
  return bad(`the role can write ${writable}`, remedy);
}

/** A statement must be stopped before the Worker gives up and sends the next one. */
async function checkTimeout(query: Query, { DATABASE_ATTEMPT_TIMEOUT_MS }: Settings): Promise<Finding> {
  const [row] = await query(
    "select current_user as role, setting::int as ms from pg_settings where name = 'statement_timeout'",
  );
  const timeoutMs = Number(row?.["ms"]);
  if (timeoutMs > 0 && timeoutMs < DATABASE_ATTEMPT_TIMEOUT_MS) return ok(`statements end after ${timeoutMs} ms`);
  const fittingMs = Math.floor((DATABASE_ATTEMPT_TIMEOUT_MS * 3) / 4);
  const fitting = fittingMs % 1000 === 0 ? `${fittingMs / 1000}s` : `${fittingMs}ms`;
  const end = timeoutMs === 0 ? "never end by themselves" : `end after ${timeoutMs} ms`;
  const remedy = `The Worker would send a slow statement again while the first one still runs. As the owner of the role:
alter role ${String(row?.["role"])} set statement_timeout = '${fitting}'`;
  return bad(
    `statements ${end}; an attempt ends after ${DATABASE_ATTEMPT_TIMEOUT_MS} ms (DATABASE_ATTEMPT_TIMEOUT_MS)`,
    remedy,
  );
}
