// The database as the Worker will meet it: through Neon's driver and HTTP protocol, as the Worker's own role.
// Asks the catalogues and tries one INSERT of no rows; changes nothing. No finding holds the connection string.
import { NeonDbError, type NeonQueryFunction, neon, neonConfig } from "@neondatabase/serverless";
import type { Settings } from "../../src/settings.ts";
import { type Finding, bad, hint, ok, skipped } from "../checklist.ts";
import type { ClockReading } from "./clock.ts";
import { describeFetchError } from "./issuer.ts";
import { checkRole } from "./role.ts";
import { type DeclaredColumn, readDeclaredTable } from "./schema.ts";

/** A sleeping compute takes up to a few seconds; what takes longer is no wake-up. */
const timeoutMs = 20_000;

const ownEndpoint = neonConfig.fetchEndpoint;

/** Sends one statement; gives its rows by column name. */
export type Ask = (text: string, values?: unknown[]) => Promise<Record<string, unknown>[]>;

export async function checkDatabase(
  settings: Settings,
  placementRegion: string | undefined,
  clocks: ClockReading[],
): Promise<Finding[]> {
  const sql = connect(settings);
  const ask: Ask = (text, values = []) =>
    sql.query(text, values, { fetchOptions: { signal: AbortSignal.timeout(timeoutMs) } });
  const findings: Finding[] = [];
  try {
    findings.push(...(await checkAnswer(ask, settings, clocks)));
  } catch (error) {
    return [explainRefusal(error, settings), skipped("table, columns and role")];
  }
  findings.push(...suggestPlacement(settings, placementRegion));
  findings.push(...(await checkTable(ask)));
  findings.push(...(await checkRole(ask, sql)));
  return findings;
}

function connect(settings: Settings): NeonQueryFunction<false, false> {
  neonConfig.fetchEndpoint = settings.NEON_FETCH_ENDPOINT ?? ownEndpoint;
  return neon(settings.DATABASE_URL);
}

async function checkAnswer(ask: Ask, settings: Settings, clocks: ClockReading[]): Promise<Finding[]> {
  const firstMs = Date.now();
  await ask("select 1");
  const startedMs = Date.now();
  const [row] = await ask(
    `select current_user::text as role, current_setting('server_version_num')::int as version,
            (extract(epoch from clock_timestamp()) * 1000)::float8 as now`,
  );
  const endedMs = Date.now();
  clocks.push({ name: "the database", startedMs, endedMs, theirMs: Number(row?.["now"]) });
  const wakeMs = startedMs - firstMs;
  const answer = ok(`the database answers as ${String(row?.["role"])}: ${wakeMs} ms, then ${endedMs - startedMs} ms`);
  const version = Math.floor(Number(row?.["version"]) / 10_000);
  const slow = hint(
    `the first answer took longer than DATABASE_ATTEMPT_TIMEOUT_MS (${settings.DATABASE_ATTEMPT_TIMEOUT_MS})`,
    `A sleeping compute wakes up meanwhile and the Worker tries again, up to REQUEST_TIMEOUT_MS (${settings.REQUEST_TIMEOUT_MS}) in all.`,
  );
  return [
    answer,
    ...(wakeMs > settings.DATABASE_ATTEMPT_TIMEOUT_MS ? [slow] : []),
    version >= 15
      ? ok(`PostgreSQL ${version}`)
      : bad(`PostgreSQL ${version}`, "schema.sql is for 15 and newer: upgrade, or move to a new Neon project."),
  ];
}

function explainRefusal(error: unknown, settings: Settings): Finding {
  const where = settings.NEON_FETCH_ENDPOINT === undefined ? "" : " at NEON_FETCH_ENDPOINT";
  const text = (reason: string) => `the database does not answer${where}: ${conceal(reason, settings)}`;
  const source = error instanceof NeonDbError ? error.sourceError : undefined;
  if (error instanceof NeonDbError && source === undefined) {
    const { code, message } = error;
    if (code === "28P01" || code === "28000" || /password|authenticat/i.test(message)) {
      return bad(
        text(message),
        `DATABASE_URL must hold the role's own password, percent-encoded. A new one, as the owner of the database:
alter role crew_runs_reader login password '…'`,
      );
    }
    if (code === "3D000") return bad(text(message), "The last part of DATABASE_URL must name the database.");
    return bad(text(message), "Is this the host of the Neon project, and is the compute allowed to start?");
  }
  return bad(
    text(describeFetchError(source ?? error)),
    "Is the host in DATABASE_URL (or NEON_FETCH_ENDPOINT) right, and reachable from here?",
  );
}

/** A driver's or a server's message may echo what it was given. */
function conceal(message: string, { DATABASE_URL }: Settings): string {
  const { password } = new URL(DATABASE_URL);
  return message
    .replaceAll(DATABASE_URL, "DATABASE_URL")
    .replaceAll(password, "…")
    .replaceAll(decodeURIComponent(password), "…")
    .slice(0, 300);
}

/** Neon's host names end in `.REGION.aws.neon.tech`. */
function suggestPlacement({ DATABASE_URL }: Settings, placementRegion: string | undefined): Finding[] {
  const [, region, cloud] = /\.([a-z0-9-]+)\.(aws|azure)\.neon\.tech$/.exec(new URL(DATABASE_URL).hostname) ?? [];
  if (region === undefined || cloud === undefined) return [];
  const wanted = `${cloud}:${region}`;
  if (placementRegion === wanted) return [ok(`the Worker is placed near the database: ${wanted}`)];
  return [hint(`the database is in ${wanted}`, `In wrangler.toml, in place of mode = "smart": region = "${wanted}"`)];
}

const relationKinds: Record<string, string> = {
  r: "table",
  p: "partitioned table",
  v: "view",
  m: "materialized view",
  f: "foreign table",
};

async function checkTable(ask: Ask): Promise<Finding[]> {
  const [relation] = await ask(
    `select c.oid::text, n.nspname::text as schema, c.relkind::text as kind, c.relrowsecurity as "hasRowSecurity"
     from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.oid = to_regclass('crew_runs')`,
  );
  if (relation === undefined) return [await explainMissingTable(ask)];
  const kind = relationKinds[String(relation["kind"])] ?? "relation";
  const isTable = kind.endsWith("table");
  const findings = [ok(`the ${kind} ${String(relation["schema"])}.crew_runs`)];

  const declared = await readDeclaredTable();
  const columns = await ask(
    `select a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type, a.attnotnull as "isRequired",
            t.typtype = 'e' as "isEnum", has_column_privilege(a.attrelid, a.attnum, 'SELECT') as "isReadable"
     from pg_attribute a join pg_type t on t.oid = a.atttypid
     where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped`,
    [relation["oid"]],
  );
  const problems = declared.columns.flatMap((column) => {
    const found = columns.find(({ name }) => name === column.name);
    return compareColumn(column, found, isTable) ?? [];
  });
  if (problems.length === 0) findings.push(ok(`its ${declared.columns.length} columns and their types`));
  findings.push(...problems);

  if (isTable) findings.push(...(await checkConstraints(ask, relation["oid"], declared.constraints)));
  if (relation["hasRowSecurity"] === true) findings.push(await checkPolicies(ask, relation["oid"]));
  return findings;
}

async function explainMissingTable(ask: Ask): Promise<Finding> {
  const elsewhere = await ask(
    `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relname = 'crew_runs' and c.relkind in ('r', 'p', 'v', 'm', 'f')`,
  );
  if (elsewhere.length === 0) {
    return bad(
      "there is no crew_runs",
      `As the owner of the database: psql "$OWNER_DATABASE_URL" -f schema.sql, or paste it into Neon's SQL editor.
You have such a table under another name? docs/adopting-a-table.md`,
    );
  }
  const [{ name } = {}] = elsewhere;
  return bad(
    `crew_runs is not found, but there is ${String(name)}`,
    `The role must have USAGE on that schema, and the schema must be in its search path:
grant usage on schema … to crew_runs_reader; alter role crew_runs_reader set search_path = …, public`,
  );
}

/** The Worker casts everything to text, so it reads what is like the declared type as well; times and ids it does not. */
const alike: Record<string, RegExp> = {
  text: /^(text|character varying|character\(|"char"|citext)/,
  jsonb: /^jsonb$/,
  uuid: /^uuid$/,
  timestamptz: /^timestamp(\(\d\))? with time zone$/,
};

function compareColumn(
  declared: DeclaredColumn,
  found: Record<string, unknown> | undefined,
  isTable: boolean,
): Finding | undefined {
  const { name, type, isRequired } = declared;
  if (found === undefined) {
    return bad(
      `the column ${name} is missing`,
      isTable ? "Apply schema.sql again: it adds what is missing." : "Add it to the view: docs/adopting-a-table.md",
    );
  }
  const isAlike = alike[type]?.test(String(found["type"])) || (type === "text" && found["isEnum"] === true);
  if (!isAlike) {
    return bad(
      `the column ${name} is ${String(found["type"])}, not ${type}`,
      "Alter it, or put a view with a cast before the table: docs/adopting-a-table.md",
    );
  }
  if (isTable && isRequired && found["isRequired"] !== true) {
    return bad(`the column ${name} may be null`, `alter table crew_runs alter column ${name} set not null`);
  }
  if (found["isReadable"] !== true) {
    return bad(`the role cannot read the column ${name}`, "grant select on crew_runs to crew_runs_reader");
  }
  return undefined;
}

async function checkConstraints(ask: Ask, oid: unknown, names: readonly string[]): Promise<Finding[]> {
  const rows = await ask("select conname::text as name from pg_constraint where conrelid = $1::oid", [oid]);
  const present = new Set(rows.map(({ name }) => name));
  const missing = names.filter((name) => !present.has(name));
  const [key] = await ask(
    `select exists (select from pg_index where indrelid = $1::oid and indisunique and indnkeyatts = 1 and indpred is null
       and indkey[0] = (select attnum from pg_attribute where attrelid = $1::oid and attname = 'id')) as "isUnique"`,
    [oid],
  );
  return [
    missing.length === 0
      ? ok(`its ${names.length} constraints`)
      : bad(`constraints are missing: ${missing.join(", ")}`, "Apply schema.sql again: it adds what is missing."),
    key?.["isUnique"] === true
      ? ok("its id is unique and indexed")
      : bad("the column id has no unique index", "alter table crew_runs add primary key (id)"),
  ];
}

async function checkPolicies(ask: Ask, oid: unknown): Promise<Finding> {
  const rows = await ask(
    `select polname from pg_policy where polrelid = $1::oid and polcmd in ('r', '*') and polpermissive
       and exists (select from unnest(polroles) as r where r = 0 or pg_has_role(current_user, r, 'member'))`,
    [oid],
  );
  if (rows.length > 0) return hint("row-level security is on, and a policy lets the role read: rows it hides are 404s");
  return bad(
    "row-level security is on, and no policy lets the role read: every run will be a 404",
    "create policy crew_runs_reader on crew_runs for select to crew_runs_reader using (true)",
  );
}
