// Whether the Worker's role can read its one table and nothing else, and write nothing: what a leaked connection string
// would be worth. Temporary tables do not count: PUBLIC may make them in every database, and a session lasts one statement.
import { NeonDbError, type NeonQueryFunction } from "@neondatabase/serverless";
import { type Finding, bad, hint, ok, skipped } from "../checklist.ts";
import type { Ask } from "./database.ts";

const maxNames = 5;

interface Question {
  /** Yields a column `name`: what the role should not be able to do, or to reach. */
  text: string;
  whenNone: string;
  whenSome: (names: string) => string;
  remedy: (role: string) => string;
}

const ownNamespaces = "n.nspname !~ '^pg_' and n.nspname <> 'information_schema'";
/** What an extension brings is granted by the extension, to everybody. */
const fromExtension = (catalogue: string, oid: string) =>
  `exists (select from pg_depend d where d.classid = '${catalogue}'::regclass and d.objid = ${oid} and d.deptype = 'e')`;

/** Whether it is a role of the right kind at all: what it may do in detail is of no interest before. */
const kindQuestions: Question[] = [
  {
    text: `select format('the database %I', datname) as name from pg_database join pg_roles on pg_roles.oid = datdba
           where datname = current_database() and rolname = current_user
           union all
           select format('%I.%I', n.nspname, c.relname)
           from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles r on r.oid = c.relowner
           where c.relkind in ('r', 'p', 'v', 'm', 'f') and ${ownNamespaces} and r.rolname = current_user`,
    whenNone: "the role owns nothing",
    whenSome: (names) => `the role owns ${names}: this is not the Worker's role`,
    remedy:
      () => `Put the connection string of crew_runs_reader into DATABASE_URL. schema.sql makes that role; as the owner:
alter role crew_runs_reader login password '…'`,
  },
  {
    text: `select attribute as name from pg_roles, lateral (values
             ('superuser', rolsuper), ('createrole', rolcreaterole), ('createdb', rolcreatedb),
             ('replication', rolreplication), ('bypassrls', rolbypassrls)) as attributes (attribute, has)
           where rolname = current_user and has`,
    whenNone: "the role has no attribute that lifts it above others",
    whenSome: (names) => `the role has ${names}`,
    remedy: () => "Give the Worker a role of its own: schema.sql makes crew_runs_reader, which has none of this.",
  },
  {
    text: `select rolname::text as name from pg_roles
           where rolname <> current_user and pg_has_role(current_user, oid, 'member')
             and not (select rolsuper from pg_roles where rolname = current_user)`,
    whenNone: "the role is a member of no other",
    whenSome: (names) => `the role is a member of ${names}, and has what those have`,
    remedy: (
      role,
    ) => `Roles made in Neon's console or API are members of neon_superuser; roles made in SQL are not. Use the
one that schema.sql makes, or: revoke … from ${role}`,
  },
];

const rightQuestions: Question[] = [
  {
    text: `select format('%I', datname) as name from pg_database where datname = current_database()
             and has_database_privilege(oid, 'CREATE')
           union all
           select format('schema %I', n.nspname) from pg_namespace n
           where ${ownNamespaces} and has_schema_privilege(n.oid, 'CREATE')`,
    whenNone: "the role can create nothing",
    whenSome: (names) => `the role can create in ${names}`,
    remedy: (role) => `As the owner: revoke create on schema … from public, ${role} (or on database …)`,
  },
  {
    text: `select format('%I.%I (%s)', n.nspname, c.relname, string_agg(lower(p), ', ' order by p)) as name
           from pg_class c join pg_namespace n on n.oid = c.relnamespace,
                unnest(array['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) as p
           where c.relkind in ('r', 'p', 'v', 'm', 'f') and ${ownNamespaces}
             and has_schema_privilege(n.oid, 'USAGE') and not ${fromExtension("pg_class", "c.oid")}
             and (has_table_privilege(c.oid, p)
                  or p in ('INSERT', 'UPDATE', 'REFERENCES') and has_any_column_privilege(c.oid, p))
           group by n.nspname, c.relname
           union all
           select format('%I.%I (sequence)', n.nspname, c.relname)
           from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where c.relkind = 'S' and ${ownNamespaces} and has_schema_privilege(n.oid, 'USAGE')
             and case when c.relkind = 'S' then has_sequence_privilege(c.oid, 'USAGE, UPDATE') end`,
    whenNone: "the role can write nothing",
    whenSome: (names) => `the role can write ${names}`,
    remedy: (role) => `As the owner: revoke all on all tables in schema public from public, ${role};
grant select on crew_runs to ${role}`,
  },
  {
    text: `select format('%I.%I', n.nspname, c.relname) as name
           from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where c.relkind in ('r', 'p', 'v', 'm', 'f') and ${ownNamespaces}
             and c.oid is distinct from to_regclass('crew_runs') and has_schema_privilege(n.oid, 'USAGE')
             and has_any_column_privilege(c.oid, 'SELECT') and not ${fromExtension("pg_class", "c.oid")}`,
    whenNone: "the role can read nothing else",
    whenSome: (names) => `the role can also read ${names}`,
    remedy: (role) => `As the owner: revoke select on … from public, ${role}`,
  },
  {
    text: `select format('%I.%I', n.nspname, p.proname) as name
           from pg_proc p join pg_namespace n on n.oid = p.pronamespace
           where p.prosecdef and ${ownNamespaces} and has_schema_privilege(n.oid, 'USAGE')
             and has_function_privilege(p.oid, 'EXECUTE') and not ${fromExtension("pg_proc", "p.oid")}`,
    whenNone: "the role can call no function that runs with another's rights",
    whenSome: (names) => `the role can call ${names}, which run with their owner's rights`,
    remedy: (role) => `As the owner: revoke execute on function … from public, ${role}`,
  },
];

/** @throws what the driver throws when the database no longer answers */
export async function checkRole(ask: Ask, sql: NeonQueryFunction<false, false>): Promise<Finding[]> {
  const [row] = await ask(
    "select quote_ident(current_user) as role, to_regclass('crew_runs') is not null as \"isThere\"",
  );
  const role = String(row?.["role"]);
  const findings: Finding[] = [];
  for (const question of kindQuestions) {
    const finding = await answer(ask, question, role);
    findings.push(finding);
    if (finding.mark === "bad") return [...findings, skipped("what else the role can do: put this right first")];
  }
  for (const question of rightQuestions) findings.push(await answer(ask, question, role));
  if (row?.["isThere"] === true) findings.push(await attemptInsert(sql, role));
  findings.push(...(await checkDefaults(ask, role)));
  return findings;
}

async function answer(ask: Ask, { text, whenNone, whenSome, remedy }: Question, role: string): Promise<Finding> {
  const names = (await ask(`${text} order by name`)).map(({ name }) => String(name));
  return names.length === 0 ? ok(whenNone) : bad(whenSome(listNames(names)), remedy(role));
}

function listNames(names: readonly string[]): string {
  const rest = names.length - maxNames;
  return names.slice(0, maxNames).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}

/** Inserts no rows: the right is checked all the same. The role's read-only default is lifted first, as any client could. */
async function attemptInsert(sql: NeonQueryFunction<false, false>, role: string): Promise<Finding> {
  try {
    await sql.transaction([
      sql`set transaction read write`,
      sql`insert into crew_runs (id, correlation_id, owner_id, status) select gen_random_uuid(), '', '', '' where false`,
    ]);
  } catch (error) {
    if (error instanceof NeonDbError && error.code === "42501") return ok("an INSERT was refused");
    // A view that cannot be written refuses everybody.
    if (error instanceof NeonDbError && error.code === "55000") return ok("an INSERT was refused");
    return hint(`an INSERT failed for another reason: ${error instanceof NeonDbError ? error.code : "no answer"}`);
  }
  return bad("an INSERT was not refused", `As the owner: revoke insert on crew_runs from public, ${role}`);
}

async function checkDefaults(ask: Ask, role: string): Promise<Finding[]> {
  const [row] = await ask(
    `select current_setting('default_transaction_read_only') = 'on' as "isReadOnly",
            current_setting('statement_timeout') <> '0' as "isBounded"`,
  );
  const missing = [
    ...(row?.["isReadOnly"] === true ? [] : ["default_transaction_read_only = on"]),
    ...(row?.["isBounded"] === true ? [] : ["statement_timeout = '5s'"]),
  ];
  if (missing.length === 0) return [ok("its sessions are read-only, and its statements bounded in time")];
  return [
    hint(
      "schema.sql gives its role safer defaults",
      missing.map((each) => `alter role ${role} set ${each}`).join("\n"),
    ),
  ];
}
