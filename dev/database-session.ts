// A session of the local database, as a server would give one to a login: its role, that role's settings, and a clean
// slate afterwards. PGlite has one connection: sessions run one after the other, and each ends before the next begins.
// It runs in this thread and heeds no time-out, so a statement that does not return stops the whole process.
import { setImmediate } from "node:timers/promises";
import { messages, protocol } from "@electric-sql/pglite";
import { type Database, superuser } from "./database.ts";

const { serialize } = protocol;

/** A parameter travels as text in Postgres's own spelling, or is null. */
export interface Statement {
  text: string;
  parameters?: readonly (string | null)[];
}

export interface StatementResult {
  fields: messages.RowDescriptionMessage["fields"];
  /** Each value in Postgres's text form. */
  rows: (string | null)[][];
  /** For example `INSERT 0 1`; empty for an empty statement. */
  commandTag: string;
}

export interface Session {
  /** @throws messages.DatabaseError with the fields of Postgres's error */
  run(statement: Statement): Promise<StatementResult>;
}

/**
 * Opens a session as `role`, hands it to `use`, and resets the connection whatever happened.
 *
 * The role is assumed, not logged in to: the words `set session authorization` would lead out of it. It protects from
 * mistakes, which is what a local database needs.
 */
export function withSession<T>(
  database: Database,
  login: { role: string; applicationName: string },
  use: (session: Session) => Promise<T>,
): Promise<T> {
  return database.runExclusive(async () => {
    // Everything here is synchronous underneath: without this, a queue of sessions would starve the process's sockets.
    await setImmediate();
    const session: Session = { run: (statement) => runStatement(database, statement) };
    try {
      await session.run({ text: `set session authorization ${quoteIdentifier(login.role)}` });
      // Postgres applies what `alter role … set` has left only when a client logs in.
      await session.run({
        text: `select set_config(name, value, false)
               from (select 'application_name' as name, $1 as value
                     union all
                     select split_part(setting, '=', 1), substr(setting, strpos(setting, '=') + 1)
                     from pg_db_role_setting, unnest(setconfig) as setting
                     where setrole = $2::regrole
                       and setdatabase in (0, (select oid from pg_database where datname = current_database()))
                    ) as settings`,
        parameters: [login.applicationName, quoteIdentifier(login.role)],
      });
      return await use(session);
    } finally {
      if (database.isInTransaction()) {
        await session.run({ text: "rollback" });
      }
      await session.run({ text: `set session authorization ${superuser}` });
      await session.run({ text: "discard all" });
    }
  });
}

async function runStatement(database: Database, { text, parameters = [] }: Statement): Promise<StatementResult> {
  const request = Buffer.concat([
    serialize.parse({ text }),
    serialize.bind({ values: [...parameters] }),
    serialize.describe({ type: "P" }),
    serialize.execute({}),
    // Ends a COPY FROM STDIN, which would otherwise read on past the end of this buffer and take PGlite down.
    // Outside of COPY, Postgres ignores it.
    serialize.copyFail("COPY is not available here"),
    serialize.sync(),
  ]);

  const result: StatementResult = { fields: [], rows: [], commandTag: "" };
  let error: messages.DatabaseError | undefined;
  for (const message of (await database.execProtocol(request, { throwOnError: false })).messages) {
    if (message instanceof messages.DatabaseError) {
      error ??= message;
    } else if (message instanceof messages.RowDescriptionMessage) {
      result.fields = message.fields;
    } else if (message instanceof messages.DataRowMessage) {
      result.rows.push(message.fields);
    } else if (message instanceof messages.CommandCompleteMessage) {
      result.commandTag = message.text;
    }
  }
  if (error !== undefined) {
    throw error;
  }
  return result;
}

function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
