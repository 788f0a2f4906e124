// The protocol of Neon's HTTP endpoint, as @neondatabase/serverless speaks it: POST /sql with one statement, or with several
// that are one transaction. Values are Postgres's own text, rows are arrays; errors carry Postgres's fields.
// Leaves out features of the driver that this project doesn't use: JSON values, rows as objects, isolation levels, tokens, CORS.
// Beyond the protocol, curl may log in with -u role:password.
import { type IncomingHttpHeaders, type IncomingMessage, type ServerResponse, createServer } from "node:http";
import { text } from "node:stream/consumers";
import { messages } from "@electric-sql/pglite";
import { type Database, type StatementResult, withSession } from "./database.ts";
import { listenOnLoopback } from "./loopback.ts";

export interface SqlEndpoint {
  /** For NEON_FETCH_ENDPOINT. */
  url: string;
  /** For DATABASE_URL. Throws if the role has no password here. */
  databaseUrl(role: string): string;
  /** Ends open connections too. */
  close(): Promise<void>;
}

interface Query {
  query: string;
  params: (string | number | boolean | null)[];
}

const DATABASE_NAME = "postgres";

/** The error of a request that doesn't reach the database. */
class Refusal extends Error {
  readonly code: string;

  constructor(message: string, code = "") {
    super(message);
    this.code = code;
  }
}

/**
 * Starts the endpoint on the loopback interface, on a free port if none is given. The roles in `passwords` and no others
 * may connect. Throws the listen error (`code` EADDRINUSE) if the port is taken.
 */
export async function startSqlEndpoint(
  database: Database,
  { port, passwords }: { port?: number; passwords: Readonly<Record<string, string>> },
): Promise<SqlEndpoint> {
  const server = createServer((request, response) => {
    respond(database, passwords, request)
      .then((body) => send(response, 200, body))
      .catch((error: unknown) => send(response, 400, describeError(error)));
  });
  const { url, close } = await listenOnLoopback(server, port);
  return {
    url: `${url}/sql`,
    databaseUrl(role) {
      const password = passwords[role];
      if (password === undefined) throw new Error(`no password is known for the role ${role}`);
      return `postgresql://${role}:${password}@127.0.0.1/${DATABASE_NAME}`;
    },
    close,
  };
}

async function respond(
  database: Database,
  passwords: Readonly<Record<string, string>>,
  request: IncomingMessage,
): Promise<object | undefined> {
  if (request.method !== "POST" || request.url !== "/sql") throw new Refusal("only POST /sql is served here");
  const role = authenticate(passwords, readConnectionString(request.headers));
  const batchOption = Object.keys(request.headers).find((header) => header.startsWith("neon-batch-"));
  if (batchOption !== undefined) throw new Refusal(`${batchOption} isn't supported here`);
  const payload = JSON.parse(await text(request)) as Query | { queries: Query[] };

  return withSession(database, role, async (run) => {
    // For a client that has left meanwhile, nothing is run.
    if (request.socket.destroyed) return undefined;
    const runQuery = async ({ query, params }: Query) => {
      const texts = params.map((value) => (value === null ? null : String(value)));
      return formatResult(await run(query, texts));
    };
    if (!("queries" in payload)) return runQuery(payload);
    await run("start transaction");
    const results = [];
    for (const query of payload.queries) results.push(await runQuery(query));
    await run("commit");
    return { results };
  });
}

function readConnectionString({ authorization = "", ...headers }: IncomingHttpHeaders): string {
  const given = headers["neon-connection-string"];
  if (given !== undefined || !authorization.startsWith("Basic ")) return String(given);
  return `postgresql://${atob(authorization.slice("Basic ".length))}@127.0.0.1/${DATABASE_NAME}`;
}

/** Returns the role. Errors have Neon's words and Postgres's codes. */
function authenticate(passwords: Readonly<Record<string, string>>, connectionString: string): string {
  const url = URL.parse(connectionString);
  if (url === null) throw new Refusal("invalid connection string");
  const { username: role, password, pathname } = url;
  if (password === "" || passwords[role] !== password) {
    throw new Refusal(`password authentication failed for user '${role}'`, "28P01");
  }
  const databaseName = pathname.slice(1);
  if (databaseName !== DATABASE_NAME) throw new Refusal(`database "${databaseName}" does not exist`, "3D000");
  return role;
}

function formatResult({ fields, rows, commandTag }: StatementResult) {
  // INSERT's tag carries an object id, always 0, before the count; a tag without a count gives NaN, in JSON null.
  const words = commandTag.split(" ");
  return { fields, rows, command: words[0], rowCount: Number.parseInt(words.at(-1) ?? "", 10) };
}

function describeError(error: unknown): object {
  if (error instanceof messages.DatabaseError) return { ...error, message: error.message };
  const { message, code } = error instanceof Refusal ? error : new Refusal(String(error));
  return { message, code, severity: "FATAL" };
}

function send(response: ServerResponse, status: number, body: object | undefined): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
