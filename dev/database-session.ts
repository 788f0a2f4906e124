// A session of the local database, as a server would give one to a login: its role, that role's settings, and a clean
// slate afterwards. PGlite has one connection: sessions run one after the other, and each ends before the next begins.
// It runs in this thread and heeds no time-out, so a statement that does not return stops the whole process.
import { setImmediate } from "node:timers/promises";
import { messages, protocol } from "@electric-sql/pglite";
import { type Database, SUPERUSER } from "./database.ts";

const { serialize } = protocol;

export interface StatementResult {
  fields: messages.RowDescriptionMessage["fields"];
  /** Each value in Postgres's text form. */
  rows: (string | null)[][];
  /** For example `INSERT 0 1`; empty for an empty statement. */
  commandTag: string;
}

/** Runs one statement. Parameters are texts in Postgres's own spelling. Throws messages.DatabaseError. */
type RunStatement = (text: string, parameters?: (string | null)[]) => Promise<StatementResult>;

/**
 * Opens a session as `role`, hands it to `use`, and resets the connection whatever happened. The role is assumed, not
 * logged in to: the words `set session authorization` would lead out of it. It protects from mistakes, which is what a
 * local database needs.
 */
export function withSession<T>(database: Database, role: string, use: (run: RunStatement) => Promise<T>): Promise<T> {
  return database.runExclusive(async () => {
    // Everything here is synchronous underneath: without this, a queue of sessions would starve the process's sockets.
    await setImmediate();
    const run: RunStatement = (text, parameters = []) => runStatement(database, text, parameters);
    try {
      await run(`set session authorization ${quoteIdentifier(role)}`);
      // Postgres applies what `alter role … set` has left only when a client logs in.
      await run(
        `select set_config(split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1), false)
         from pg_db_role_setting, unnest(setconfig) as setting
         where setrole = $1::regrole
           and setdatabase in (0, (select oid from pg_database where datname = current_database()))`,
        [quoteIdentifier(role)],
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

function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
