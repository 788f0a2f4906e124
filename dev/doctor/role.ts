// Whether the Worker's role can read its one table, and write nothing: that is what a leaked connection string is worth.
import { type Finding, bad, hint, ok } from "../checklist.ts";
import type { Ask } from "./table.ts";

const OWN_SCHEMAS =
  "n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and has_schema_privilege(n.oid, 'USAGE')";
const RELATIONS = `pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and ${OWN_SCHEMAS} and not exists (
    select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')`;

/** Each yields one column `name`. */
const POWERS = `select attribute as name from pg_roles, lateral (values ('superuser', rolsuper),
    ('createrole', rolcreaterole), ('createdb', rolcreatedb), ('bypassrls', rolbypassrls)) as attributes (attribute, has)
  where rolname = current_user and has
  union all select 'member of ' || rolname from pg_roles where rolname <> current_user and pg_has_role(oid, 'member')
    and not (select rolsuper from pg_roles where rolname = current_user)`;
const WRITABLE = `select format('%I.%I', n.nspname, c.relname) as name from ${RELATIONS} and (
    has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') or has_any_column_privilege(c.oid, 'INSERT, UPDATE'))
  union all select format('schema %I', n.nspname) from pg_namespace n
    where ${OWN_SCHEMAS} and has_schema_privilege(n.oid, 'CREATE')`;
const READABLE = `select format('%I.%I', n.nspname, c.relname) as name from ${RELATIONS}
  and c.oid is distinct from to_regclass('crew_runs') and has_any_column_privilege(c.oid, 'SELECT')`;

/** Throws what `ask` throws when the database no longer answers. */
export async function checkRole(ask: Ask): Promise<Finding[]> {
  const list = async (text: string) => (await ask(`${text} order by name`)).map(({ name }) => String(name)).join(", ");
  const powers = await list(POWERS);
  if (powers !== "") {
    return [
      bad(
        `the role is too powerful: ${powers}`,
        `Put the connection string of crew_runs_reader into DATABASE_URL; schema.sql makes that role. Make roles in SQL: those from
Neon's console or API are members of neon_superuser.`,
      ),
    ];
  }
  const writable = await list(WRITABLE);
  const readable = await list(READABLE);
  return [
    writable === ""
      ? ok("the role can write nothing")
      : bad(
          `the role can write ${writable}`,
          `Is it the owner's? DATABASE_URL must be that of crew_runs_reader, which schema.sql makes. Else, as the owner:
revoke insert, update, delete, truncate on … from public, crew_runs_reader (or: revoke create on schema …)`,
        ),
    ...(readable === ""
      ? []
      : [hint(`the role can also read ${readable}`, "As the owner: revoke select on … from public, crew_runs_reader")]),
  ];
}
