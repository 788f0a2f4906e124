// The protocol of Neon's HTTP endpoint, as @neondatabase/serverless speaks it: POST /sql with one statement, or with several
// that are one transaction. Values are Postgres's own text, rows are arrays; errors carry Postgres's fields.
// Leaves out what the driver never asks for in this project: JSON values, rows as objects, isolation levels, tokens, CORS.
import { once } from "node:events";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { messages } from "@electric-sql/pglite";
import type { Database } from "./database.ts";
import { type StatementResult, withSession } from "./database-session.ts";

export interface SqlEndpoint {
  /** What NEON_FETCH_ENDPOINT takes. */
  url: string;
  /** What DATABASE_URL takes. Throws if the role has no password here. */
  databaseUrl(role: string): string;
  /** Ends open connections too. */
  close(): Promise<void>;
}

interface Query {
  query: string;
  params: (string | number | boolean | null)[];
}

/** Neon's own limit for a response. */
const MAX_REPLY_BYTES = 64 * 1024 * 1024;
const DATABASE_NAME = "postgres";

/** A request that does not reach the database. */
class Refusal extends Error {
  readonly status: number;
  readonly code: string | undefined;

  constructor(status: number, message: string, code?: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * Starts the endpoint on the loopback interface, on a free port if none is given. The roles in `passwords` and no others
 * may connect. Throws the listen error (`code` EADDRINUSE) if the port is taken.
 */
export async function startSqlEndpoint(
  database: Database,
  options: { port?: number; passwords: Readonly<Record<string, string>> },
): Promise<SqlEndpoint> {
  const passwords = new Map(Object.entries(options.passwords));
  const server = createServer((request, response) => {
    answer(database, passwords, request)
      .then((body) => send(response, 200, body))
      .catch((error: unknown) => sendError(response, error));
  });
  server.listen(options.port ?? 0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${port}/sql`,
    databaseUrl(role) {
      const password = passwords.get(role);
      if (password === undefined) throw new Error(`no password is known for the role ${role}`);
      return `postgresql://${encodeURIComponent(role)}:${encodeURIComponent(password)}@127.0.0.1/${DATABASE_NAME}`;
    },
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(
  database: Database,
  passwords: ReadonlyMap<string, string>,
  request: IncomingMessage,
): Promise<string> {
  if (request.method !== "POST" || request.url !== "/sql") throw new Refusal(404, "only POST /sql is served here");
  const role = authenticate(passwords, request.headers["neon-connection-string"]);
  const batchOption = Object.keys(request.headers).find((header) => header.startsWith("neon-batch-"));
  if (batchOption !== undefined) throw new Refusal(400, `${batchOption} is not supported here`);
  const payload = parsePayload(await text(request));

  return withSession(database, role, async (run) => {
    // Nobody is waiting any more: what an impatient client has left in the queue is not run.
    if (request.socket.destroyed) return "";
    const answerQuery = async ({ query, params }: Query) =>
      serializeResult(
        await run(
          query,
          params.map((value) => (value === null ? null : String(value))),
        ),
      );
    if (!("queries" in payload)) return answerQuery(payload);
    await run("start transaction");
    const results: string[] = [];
    for (const query of payload.queries) results.push(await answerQuery(query));
    await run("commit");
    return `{"results":[${results.join(",")}]}`;
  });
}

/** Gives the role. Errors are worded like Neon's and coded like Postgres's. */
function authenticate(passwords: ReadonlyMap<string, string>, connectionString: string | string[] | undefined): string {
  const url = URL.parse(String(connectionString));
  if (url === null) throw new Refusal(400, "invalid connection string");
  const role = decodeURIComponent(url.username);
  if (url.password === "" || passwords.get(role) !== decodeURIComponent(url.password)) {
    throw new Refusal(400, `password authentication failed for user '${role}'`, "28P01");
  }
  const databaseName = decodeURIComponent(url.pathname.slice(1));
  if (databaseName !== DATABASE_NAME) throw new Refusal(400, `database "${databaseName}" does not exist`, "3D000");
  return role;
}

function parsePayload(body: string): Query | { queries: Query[] } {
  const isQuery = (value: unknown): value is Query =>
    isObject(value) &&
    typeof value["query"] === "string" &&
    // A zero byte ends a statement's text in Postgres's protocol: what follows would be read as another message.
    !value["query"].includes("\0") &&
    Array.isArray(value["params"]) &&
    value["params"].every((parameter) => parameter === null || typeof parameter !== "object");
  const payload: unknown = JSON.parse(body);
  if (isQuery(payload)) return payload;
  if (isObject(payload) && Array.isArray(payload["queries"]) && payload["queries"].every(isQuery)) {
    return { queries: payload["queries"] };
  }
  throw new Refusal(400, "could not parse the HTTP request body: neither a query nor a batch of queries");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function serializeResult({ fields, rows, commandTag }: StatementResult): string {
  // INSERT's tag carries an object id, always 0, before the count.
  const [command = "", ...counts] = commandTag.split(" ");
  const rowCount = Number.parseInt(counts.at(-1) ?? "", 10);
  return JSON.stringify({
    fields: fields.map((field) => ({ ...field, format: "text" })),
    rows,
    command,
    rowCount: Number.isNaN(rowCount) ? null : rowCount,
    rowAsArray: true,
  });
}

function sendError(response: ServerResponse, error: unknown): void {
  if (error instanceof messages.DatabaseError) {
    send(response, 400, JSON.stringify({ ...error, message: error.message }));
    return;
  }
  const { status, message, code = "" } = error instanceof Refusal ? error : new Refusal(500, String(error));
  send(response, status, JSON.stringify({ message, code, severity: "FATAL" }));
}

function send(response: ServerResponse, status: number, body: string): void {
  if (Buffer.byteLength(body) > MAX_REPLY_BYTES) {
    sendError(response, new Refusal(507, `response is too large (max is ${MAX_REPLY_BYTES} bytes)`));
    return;
  }
  response.writeHead(status, { "content-type": "application/json" }).end(body);
}
