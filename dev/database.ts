// The local database: PGlite with schema.sql applied by the role that stands in for Neon's owner of the database.
// Seeds nothing and opens no port. Statements run one at a time, in this very thread.
import { readFile } from "node:fs/promises";
import { PGlite } from "@electric-sql/pglite";

export type Database = PGlite;

/** Owns the tables, may create roles, is no superuser: what `neondb_owner` is on Neon. */
export const ownerRole = "crew_runs_owner";

/** What the Worker logs in as; created by schema.sql. */
export const readerRole = "crew_runs_reader";

/** PGlite's own superuser, which no connection string can name. */
export const superuser = "postgres";

const schemaFile = new URL("../schema.sql", import.meta.url);

const createOwner = `
  do $$
  begin
    if not exists (select from pg_roles where rolname = '${ownerRole}') then
      create role ${ownerRole} login createrole;
    end if;
    execute format('alter database %I owner to ${ownerRole}', current_database());
  end
  $$;
`;

/**
 * Starts a database whose schema is up to date.
 *
 * @param options.dataDirectory a folder that keeps the data; in memory if left out
 * @returns the database; `close()` ends it
 * @throws what PGlite throws if the folder is in use, or holds the data of another version
 */
export async function startDatabase(options: { dataDirectory?: string } = {}): Promise<Database> {
  const [database, schema] = await Promise.all([
    PGlite.create(options.dataDirectory === undefined ? {} : { dataDir: options.dataDirectory }),
    readFile(schemaFile, "utf8"),
  ]);
  try {
    await database.exec(createOwner);
    await database.exec(`set session authorization ${ownerRole}`);
    await database.exec(schema);
    await database.exec(`set session authorization ${superuser}`);
    return database;
  } catch (error) {
    await database.close();
    throw error;
  }
}
