// The local database: PGlite with schema.sql applied by the role that stands in for Neon's owner of the database.
// Seeds nothing and opens no port. Statements run one at a time, in this very thread.
import { readFile } from "node:fs/promises";
import { PGlite } from "@electric-sql/pglite";

export type Database = PGlite;

/** Owns the tables, may create roles, is no superuser: what `neondb_owner` is on Neon. */
export const OWNER_ROLE = "crew_runs_owner";
/** What the Worker logs in as; schema.sql creates it. */
export const READER_ROLE = "crew_runs_reader";
/** PGlite's own superuser, which no connection string can name. */
export const SUPERUSER = "postgres";

const CREATE_OWNER = `
  do $$
  begin
    if not exists (select from pg_roles where rolname = '${OWNER_ROLE}') then
      create role ${OWNER_ROLE} login createrole;
    end if;
    execute format('alter database %I owner to ${OWNER_ROLE}', current_database());
  end
  $$;
`;

/**
 * Starts a database whose schema is up to date, in memory or in a folder that keeps it. Throws what PGlite throws if the
 * folder is in use or holds the data of another version.
 */
export async function startDatabase(dataDirectory?: string): Promise<Database> {
  const [database, schema] = await Promise.all([
    PGlite.create(dataDirectory),
    readFile(new URL("../schema.sql", import.meta.url), "utf8"),
  ]);
  try {
    await database.exec(CREATE_OWNER);
    await database.exec(`set session authorization ${OWNER_ROLE}`);
    await database.exec(schema);
    await database.exec(`set session authorization ${SUPERUSER}`);
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}
