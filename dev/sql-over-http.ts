// The protocol of Neon's HTTP endpoint, as @neondatabase/serverless speaks it: POST /sql with one statement or a batch
// that is one transaction. Raw text and array mode, or JSON values and objects; errors carry Postgres's own fields.
// Leaves out what Neon does around it: pooling, tokens in place of passwords (`authToken`), CORS, WebSockets.
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { messages } from "@electric-sql/pglite";
import { type Session, type StatementResult, withSession } from "./database-session.ts";
import type { Database } from "./database.ts";
import { type ElementTypes, toJsonText, toParameter } from "./postgres-text.ts";

export interface SqlEndpoint {
  /** What NEON_FETCH_ENDPOINT takes. */
  url: string;
  /** What DATABASE_URL takes. @throws if the role has no password here */
  databaseUrl(role: string): string;
  /** Ends open connections too. */
  close(): Promise<void>;
}

/** Neon's own limit for a request and for a response. */
const maxBytes = 64 * 1024 * 1024;

/** The parameter count is 16 bits wide in Postgres's protocol. */
const maxParameters = 65_535;

const isolationLevels: Readonly<Record<string, string>> = {
  ReadUncommitted: "read uncommitted",
  ReadCommitted: "read committed",
  RepeatableRead: "repeatable read",
  Serializable: "serializable",
};

/** Postgres's error fields, in the order in which Neon sends them. */
const errorFields = [
  "code",
  "detail",
  "hint",
  "position",
  "internalPosition",
  "internalQuery",
  "severity",
  "where",
  "table",
  "column",
  "schema",
  "dataType",
  "constraint",
  "file",
  "line",
  "routine",
] as const;

interface Query {
  text: string;
  parameters: (string | null)[];
  arrayMode: boolean | undefined;
}

interface Batch {
  queries: Query[];
}

interface Credentials {
  role: string;
  password: string;
  databaseName: string;
  applicationName: string;
}

class Refusal extends Error {
  readonly status: number;
  readonly fields: { code?: string; severity?: string };
  readonly headers: Record<string, string>;

  constructor(
    status: number,
    message: string,
    fields: { code?: string; severity?: string } = {},
    headers: Record<string, string> = {},
  ) {
    super(message);
    this.status = status;
    this.fields = fields;
    this.headers = headers;
  }
}

/**
 * Starts the endpoint on the loopback interface.
 *
 * @param options.port a free one if left out
 * @param options.passwords by role: these roles and no others may connect
 * @throws if the port is taken (`code` EADDRINUSE)
 */
export async function startSqlEndpoint(
  database: Database,
  options: { port?: number; passwords: Readonly<Record<string, string>> },
): Promise<SqlEndpoint> {
  const passwords = new Map(Object.entries(options.passwords));
  const databaseName = await readDatabaseName(database);

  const server = createServer((request, response) => {
    answer(request)
      .then((body) => send(response, 200, body))
      .catch((error: unknown) => sendError(response, error));
  });

  async function answer(request: IncomingMessage): Promise<string> {
    requireSqlPost(request);
    const credentials = readCredentials(request);
    const transaction = readTransactionMode(request);
    const rawText = isOn(request, "neon-raw-text-output");
    const arrayMode = isOn(request, "neon-array-mode");
    const payload = readPayload(await readBody(request));
    authenticate(credentials);

    return withSession(database, credentials, async (session) => {
      // Nobody is waiting any more: what an impatient client has left in the queue is not run.
      if (request.socket.destroyed) {
        return "";
      }
      const run = async (query: Query) =>
        serializeResult(session, await session.run(query), rawText, query.arrayMode ?? arrayMode);

      if (!("queries" in payload)) {
        return run(payload);
      }
      await session.run({ text: `start transaction ${transaction}` });
      const results: string[] = [];
      for (const query of payload.queries) {
        results.push(await run(query));
      }
      await session.run({ text: "commit" });
      return `{"results":[${results.join(",")}]}`;
    });
  }

  function authenticate(credentials: Credentials): void {
    if (passwords.get(credentials.role) !== credentials.password) {
      // Neon's proxy words it like this but leaves the code empty; Postgres's own says what it is.
      throw new Refusal(400, `password authentication failed for user '${credentials.role}'`, {
        code: "28P01",
        severity: "FATAL",
      });
    }
    if (credentials.databaseName !== databaseName) {
      throw new Refusal(400, `database "${credentials.databaseName}" does not exist`, {
        code: "3D000",
        severity: "FATAL",
      });
    }
  }

  server.listen(options.port ?? 0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;

  return {
    url: `http://127.0.0.1:${port}/sql`,
    databaseUrl(role) {
      const password = passwords.get(role);
      if (password === undefined) {
        throw new Error(`no password is known for the role ${role}`);
      }
      const [user, secret, name] = [role, password, databaseName].map(encodeURIComponent);
      return `postgresql://${user}:${secret}@127.0.0.1/${name}`;
    },
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function readDatabaseName(database: Database): Promise<string> {
  const { rows } = await database.query<{ name: string }>("select current_database() as name");
  const [row] = rows;
  if (row === undefined) {
    throw new Error("the database does not know its own name");
  }
  return row.name;
}

function requireSqlPost(request: IncomingMessage): void {
  if (new URL(request.url ?? "/", "http://localhost").pathname !== "/sql") {
    throw new Refusal(404, "only /sql is served here");
  }
  if (request.method !== "POST") {
    throw new Refusal(405, "only POST is understood here", {}, { allow: "POST" });
  }
}

function isOn(request: IncomingMessage, header: string): boolean {
  return request.headers[header] === "true";
}

function readCredentials(request: IncomingMessage): Credentials {
  const header = request.headers["neon-connection-string"];
  if (typeof header !== "string") {
    throw new Refusal(400, "invalid header: neon-connection-string");
  }
  const url = URL.parse(header);
  if (url === null) {
    throw new Refusal(400, "invalid connection string");
  }
  if (url.protocol !== "postgres:" && url.protocol !== "postgresql:") {
    throw new Refusal(400, "incorrect scheme");
  }
  const role = decode(url.username);
  if (role === "") {
    throw new Refusal(400, "missing username");
  }
  // Like Neon's proxy where it is not set up to trust a token's issuer.
  if (url.password === "" || request.headers.authorization !== undefined) {
    throw new Refusal(400, "missing authentication credentials: required password");
  }
  return {
    role,
    password: decode(url.password),
    databaseName: decode(url.pathname.slice(1)),
    applicationName: url.searchParams.get("application_name") ?? "",
  };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new Refusal(400, "invalid connection string");
  }
}

/** The words that follow `start transaction`. They matter to a batch only, but a wrong level is refused always. */
function readTransactionMode(request: IncomingMessage): string {
  const modes: string[] = [];
  const level = request.headers["neon-batch-isolation-level"];
  if (level !== undefined) {
    const words =
      typeof level === "string" && Object.hasOwn(isolationLevels, level) ? isolationLevels[level] : undefined;
    if (words === undefined) {
      throw new Refusal(400, "invalid isolation level");
    }
    modes.push(`isolation level ${words}`);
  }
  if (isOn(request, "neon-batch-read-only")) {
    modes.push("read only");
  }
  if (isOn(request, "neon-batch-deferrable")) {
    modes.push("deferrable");
  }
  return modes.join(", ");
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  // Left whole when the loop is left early: destroying it would end the connection before the refusal is out.
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBytes) {
      throw new Refusal(413, `request is too large (max is ${maxBytes} bytes)`, {}, { connection: "close" });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function readPayload(body: string): Query | Batch {
  let payload: unknown;
  try {
    payload = JSON.parse(body);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Refusal(400, `could not parse the HTTP request body: ${reason}`);
  }
  if (isRecord(payload) && Array.isArray(payload["queries"])) {
    return { queries: payload["queries"].map(readQuery) };
  }
  return readQuery(payload);
}

function readQuery(value: unknown): Query {
  const query = isRecord(value) ? value : {};
  const { query: text, params = [], arrayMode } = query;
  if (
    typeof text !== "string" ||
    !Array.isArray(params) ||
    (arrayMode !== undefined && arrayMode !== null && typeof arrayMode !== "boolean")
  ) {
    throw new Refusal(400, "could not parse the HTTP request body: neither a query nor a batch of queries");
  }
  // A zero byte ends a statement's text in Postgres's protocol: what follows would be read as another message.
  if (text.includes("\0")) {
    throw new Refusal(400, "the query contains a zero byte");
  }
  if (params.length > maxParameters) {
    throw new Refusal(400, `too many parameters (max is ${maxParameters})`);
  }
  return { text, parameters: params.map(toParameter), arrayMode: arrayMode ?? undefined };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

async function serializeResult(
  session: Session,
  { fields, rows, commandTag }: StatementResult,
  rawText: boolean,
  arrayMode: boolean,
): Promise<string> {
  const elementTypes = rawText ? new Map<number, number>() : await readElementTypes(session, fields);
  const names = fields.map(({ name }) => JSON.stringify(name));

  let length = 0;
  const rowTexts = rows.map((row) => {
    const values = row.map((value, index) => {
      if (value === null) {
        return "null";
      }
      return rawText ? JSON.stringify(value) : toJsonText(value, fields[index]?.dataTypeID ?? 0, elementTypes);
    });
    const text = arrayMode
      ? `[${values.join(",")}]`
      : `{${values.map((value, index) => `${names[index]}:${value}`).join(",")}}`;
    length += text.length;
    if (length > maxBytes) {
      throw new Refusal(507, `response is too large (max is ${maxBytes} bytes)`);
    }
    return text;
  });

  const fieldTexts = fields.map((field) =>
    JSON.stringify({
      name: field.name,
      dataTypeID: field.dataTypeID,
      tableID: field.tableID,
      columnID: field.columnID,
      dataTypeSize: field.dataTypeSize,
      dataTypeModifier: field.dataTypeModifier,
      format: "text",
    }),
  );
  // INSERT's tag carries an object id, always 0, before the count.
  const [command = "", ...counts] = commandTag.split(" ");
  const count = Number(counts[command === "INSERT" ? 1 : 0]);
  const rowCount = Number.isInteger(count) ? count : null;
  // Put together by hand: JSON columns go out as the text that they are, not through JavaScript's numbers.
  const parts = [
    `"fields":[${fieldTexts.join(",")}]`,
    `"rows":[${rowTexts.join(",")}]`,
    `"command":${JSON.stringify(command)}`,
    `"rowCount":${rowCount}`,
    `"rowAsArray":${arrayMode}`,
  ];
  return `{${parts.join(",")}}`;
}

async function readElementTypes(session: Session, fields: StatementResult["fields"]): Promise<ElementTypes> {
  const { rows } = await session.run({
    text: "select oid, typelem from pg_catalog.pg_type where typcategory = 'A' and oid = any ($1::oid[])",
    parameters: [`{${fields.map(({ dataTypeID }) => dataTypeID).join(",")}}`],
  });
  return new Map(rows.map(([arrayType, elementType]) => [Number(arrayType), Number(elementType)]));
}

function sendError(response: ServerResponse, error: unknown): void {
  if (error instanceof messages.DatabaseError) {
    const fields = errorFields.map((field) => [field, error[field] ?? null]);
    send(response, 400, JSON.stringify({ message: error.message, ...Object.fromEntries(fields) }));
    return;
  }
  const refusal = error instanceof Refusal ? error : new Refusal(500, `internal error: ${String(error)}`);
  const fields = errorFields.map((field) => [field, field === "code" || field === "severity" ? "" : null]);
  const body = JSON.stringify({
    message: refusal.message,
    ...Object.fromEntries(fields),
    ...refusal.fields,
  });
  send(response, refusal.status, body, refusal.headers);
}

function send(response: ServerResponse, status: number, body: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
}
