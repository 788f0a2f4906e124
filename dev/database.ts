// The local database: PGlite with schema.sql applied by the role that stands in for Neon's owner of the database, and
// sessions as a server would give them to a login. Seeds nothing and opens no port.
// Statements run one at a time, in this thread, without time-outs: one that doesn't return stops the whole process.
import { readFile } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import { PGlite, messages, protocol } from "@electric-sql/pglite";

export type Database = PGlite;

export interface StatementResult {
  fields: messages.RowDescriptionMessage["fields"];
  /** Each value in Postgres's text form. */
  rows: (string | null)[][];
  /** For example `INSERT 0 1`; empty for an empty statement. */
  commandTag: string;
}

/** Runs one statement. Parameters are texts in Postgres's own spelling. Throws messages.DatabaseError. */
type RunStatement = (text: string, parameters?: (string | null)[]) => Promise<StatementResult>;

/** Owns the tables and may create roles, but isn't a superuser, like `neondb_owner` on Neon. */
export const OWNER_ROLE = "crew_runs_owner";
/** The Worker's role; schema.sql creates it. */
export const READER_ROLE = "crew_runs_reader";
/** PGlite's own superuser, which no connection string can name. */
const SUPERUSER = "postgres";

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
 * Starts a database whose schema is up to date, in memory or in a folder. Throws PGlite's error if the folder is in
 * use or has the data of another version.
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

/**
 * Opens a session as `role`, hands it to `use`, and resets the connection whatever happened; sessions wait for each other.
 * The role is assumed, not logged in to: the words `set session authorization` would lead out of it. It protects from
 * mistakes, which is enough for a local database.
 */
export function withSession<T>(database: Database, role: string, use: (run: RunStatement) => Promise<T>): Promise<T> {
  return database.runExclusive(async () => {
    // Everything here is synchronous underneath: without this, a queue of sessions would starve the process's sockets.
    await setImmediate();
    const run: RunStatement = (text, parameters = []) => runStatement(database, text, parameters);
    try {
      await run(`set session authorization ${role}`);
      // Postgres applies the settings of `alter role … set` only when a client logs in.
      await run(
        `select set_config(split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1), false)
         from pg_db_role_setting, unnest(setconfig) as setting
         where setrole = $1::regrole
           and setdatabase in (0, (select oid from pg_database where datname = current_database()))`,
        [role],
      );
      return await use(run);
    } finally {
      if (database.isInTransaction()) await run("rollback");
      await run(`set session authorization ${SUPERUSER}`);
      await run("discard all");
    }
  });
}

async function runStatement(database: Database, text: string, parameters: (string | null)[]): Promise<StatementResult> {
  const { serialize } = protocol;
  const request = Buffer.concat([
    serialize.parse({ text }),
    serialize.bind({ values: parameters }),
    serialize.describe({ type: "P" }),
    serialize.execute({}),
    // Ends a COPY FROM STDIN, which would otherwise read on past the end of this buffer and take PGlite down.
    serialize.copyFail("COPY is not available here"),
    serialize.sync(),
  ]);
  const result: StatementResult = { fields: [], rows: [], commandTag: "" };
  for (const message of (await database.execProtocol(request, { throwOnError: false })).messages) {
    if (message instanceof messages.DatabaseError) throw message;
    if (message instanceof messages.RowDescriptionMessage) result.fields = message.fields;
    else if (message instanceof messages.DataRowMessage) result.rows.push(message.fields);
    else if (message instanceof messages.CommandCompleteMessage) result.commandTag = message.text;
  }
  return result;
}
