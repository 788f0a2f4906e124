// Whether crew_runs, a table or a view, has the columns that the Worker reads, in types that its statement turns into the
// record without loss. Leaves the values to the Worker, which checks each record.
import { readFile } from "node:fs/promises";
import { type Finding, bad, hint, ok } from "../checklist.ts";

/** Sends one statement; gives its rows by column name. */
export type Ask = (text: string) => Promise<Record<string, unknown>[]>;

interface ColumnRow {
  relation: string;
  name: string;
  type: string;
  isReadable: boolean;
  hasRowSecurity: boolean;
}

/** By the type in schema.sql. The Worker casts the others to text, so any type will do for them. */
const FITTING_TYPES: Record<string, RegExp> = {
  uuid: /^uuid$/,
  jsonb: /^jsonb?$/,
  // Without a zone, a time would be read in the role's own.
  timestamptz: /^timestamp(\(\d\))? with time zone$/,
};

/** Throws what `ask` throws when the database no longer answers. */
export async function checkTable(ask: Ask): Promise<Finding[]> {
  const columns = (await ask(
    `select format('%I.%I', n.nspname, c.relname) as relation, a.attname::text as name,
            format_type(a.atttypid, a.atttypmod) as type, c.relrowsecurity as "hasRowSecurity",
            has_column_privilege(c.oid, a.attnum, 'SELECT') as "isReadable"
     from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
     where c.oid = to_regclass('crew_runs') and a.attnum > 0 and not a.attisdropped`,
  )) as unknown as ColumnRow[];
  const [first] = columns;
  if (first === undefined) {
    return [
      bad(
        "the role finds no crew_runs",
        `Apply schema.sql as the owner: psql "$OWNER_DATABASE_URL" -f schema.sql. Is it there, in another schema? Then:
grant usage on schema … to crew_runs_reader; alter role crew_runs_reader set search_path = …
You have such a table under another name? docs/adopting-a-table.md`,
      ),
    ];
  }
  const declared = await readDeclaredColumns();
  const problems = declared.flatMap(([name, type]) => {
    const found = columns.find((column) => column.name === name);
    if (found === undefined) {
      return bad(`the column ${name} is missing`, "Apply schema.sql again, or add it to the view.");
    }
    if (FITTING_TYPES[type]?.test(found.type) === false) {
      const remedy = "Alter it, or put a view with a cast before the table: docs/adopting-a-table.md";
      return bad(`the column ${name} is ${found.type}, not ${type}`, remedy);
    }
    if (!found.isReadable) {
      return bad(`the role cannot read the column ${name}`, "grant select on crew_runs to crew_runs_reader");
    }
    return [];
  });
  if (first.hasRowSecurity) {
    const remedy = `A run that no policy shows to the role is a 404. To show all:
create policy crew_runs_reader on crew_runs for select to crew_runs_reader using (true)`;
    problems.push(hint("row-level security is on", remedy));
  }
  return [ok(`${first.relation} is there`), ...problems];
}

/** From the text of schema.sql, so that nothing has to repeat it. */
async function readDeclaredColumns(): Promise<[name: string, type: string][]> {
  const text = await readFile(new URL("../../schema.sql", import.meta.url), "utf8");
  const columns = text.matchAll(/^(?: {2}|.*add column if not exists )(\w+) +(uuid|text|jsonb|timestamptz)(?=[ ,;])/gm);
  return [...columns].map(([, name = "", type = ""]) => [name, type]);
}
