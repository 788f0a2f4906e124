// Reads runs from Postgres through Neon's driver, over HTTP. Guarantees one parameterised statement a read, a bound on every
// wait, and a failure that says what went wrong to the log only. Who may see a run is decided in the statement, so that a
// run of somebody else and no run at all are the same work and the same answer.
import type { NeonQueryFunction } from "@neondatabase/serverless";
import type { Exchange } from "../exchange.ts";
import { type Result, fail, succeed } from "../failure.ts";
import type { Settings } from "../settings.ts";

/** What the statement asks of a reader. */
export interface Viewer {
  subject: string;
  isAdmin: boolean;
}

export type Row = Record<string, string | null>;

const time = (column: string) =>
  `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS ${column}`;
const VISIBLE = "FROM crew_runs WHERE id = $1::uuid AND (owner_id::text = $2 OR $3::boolean)";

// Some writers put a missing value into a JSON column as the JSON value null.
const json = (column: string) => `NULLIF(${column}::text, 'null') AS ${column}`;

// Everything is cast to text in SQL: the driver's own types would round numbers and microseconds.
const FIND = `SELECT id::text, correlation_id::text, owner_id::text, status::text, ${time("created_at")}, crew_type::text, \
${json("crew_config")}, ${json("task_input")}, result::text, error::text, ${time("started_at")}, ${time("completed_at")} ${VISIBLE}`;

// All that a writer can change, reduced to a few bytes by the database: the body stays where it is.
const FIND_VERSION = `SELECT md5(ROW(correlation_id, owner_id, status, created_at, crew_type, crew_config, task_input, \
result, error, started_at, completed_at)::text) AS version ${VISIBLE}`;

const PROBE = "SELECT 1 AS reachable FROM crew_runs LIMIT 0";

const MAX_ATTEMPTS = 3;
const BACKOFF_MS = 150;
const RETRY_AFTER_SECONDS = 5;
/** Neon's own limit for a reply is 64 MB; an isolate has 128 MB. */
const MAX_REPLY_BYTES = 67_108_864;

/**
 * What can go wrong, by how the driver (1.2) shows it. `passing` faults are worth another attempt.
 * - timeout: our signal fired; a TimeoutError wrapped as `sourceError`, or raw while the body was read
 * - connection_lost: fetch failed; wrapped as `sourceError`, or a raw TypeError or Error while the body was read
 * - endpoint_error: a status other than 200 and 400; `code` undefined, the status in the message. A compute that is
 *   waking up or suspended is a 500
 * - invalid_reply: no JSON (SyntaxError), or JSON of another shape (TypeError)
 * - server_busy: SQLSTATE class 08, 53 or 57P0x: the server is starting, stopping or full
 * - refused: SQLSTATE class 28 or 3D, or a 4xx of the endpoint: the credentials or the database's name
 * - sql_error: any other SQLSTATE
 */
interface Fault {
  kind:
    | "timeout"
    | "connection_lost"
    | "endpoint_error"
    | "invalid_reply"
    | "reply_too_large"
    | "server_busy"
    | "refused"
    | "sql_error";
  passing: boolean;
  why: string;
}

type Sql = NeonQueryFunction<false, true>;

interface SendInit extends RequestInit {
  endpoint?: string | undefined;
}

class ReplyTooLarge extends Error {}

export class CrewRunStore {
  readonly #settings: Settings;
  #sql: Sql | undefined;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /** The run's row, or undefined where there is none that the viewer may see. Fails with `database_unavailable`. */
  async find(id: string, viewer: Viewer, exchange: Exchange): Promise<Result<Row | undefined>> {
    return this.#query(FIND, [id, viewer.subject, viewer.isAdmin], exchange, MAX_ATTEMPTS);
  }

  /** A short text that changes with the run, or undefined as in `find`. One attempt: the caller asks again anyway. */
  async findVersion(
    id: string,
    viewer: Viewer,
    exchange: Exchange,
  ): Promise<Result<string | null | undefined>> {
    const found = await this.#query(FIND_VERSION, [id, viewer.subject, viewer.isAdmin], exchange, 1);
    return found.ok ? succeed(found.value?.["version"]) : found;
  }

  /** Succeeds where the table can be read. One attempt. */
  async probe(exchange: Exchange): Promise<Result<unknown>> {
    return this.#query(PROBE, [], exchange, 1);
  }

  async #query(
    text: string,
    values: unknown[],
    exchange: Exchange,
    attempts: number,
  ): Promise<Result<Row | undefined>> {
    const { REQUEST_TIMEOUT_MS, DATABASE_ATTEMPT_TIMEOUT_MS } = this.#settings;
    const startedMs = Date.now();
    const deadlineMs = startedMs + REQUEST_TIMEOUT_MS;
    const faults: Fault[] = [];
    for (let attempt = 1; ; attempt += 1) {
      const timeoutMs = Math.min(DATABASE_ATTEMPT_TIMEOUT_MS, deadlineMs - Date.now());
      const reply = await this.#attempt(text, values, timeoutMs);
      const pauseMs = BACKOFF_MS * attempt * (0.5 + Math.random());
      const fault = "fault" in reply ? reply.fault : undefined;
      if (fault !== undefined) faults.push(fault);
      if (fault?.passing && attempt < attempts && Date.now() + pauseMs < deadlineMs) {
        await scheduler.wait(pauseMs);
        continue;
      }
      const notes = exchange.notes;
      notes.db_attempts = (notes.db_attempts ?? 0) + attempt;
      notes.db_ms = (notes.db_ms ?? 0) + Date.now() - startedMs;
      if (faults.length > 0) notes.db_faults = faults.map(({ kind }) => kind).join(" ");
      if (!("fault" in reply)) return succeed(reply.row);
      const why = faults.map((each) => `${each.kind}: ${each.why}`).join("; ");
      return fail({ reason: "database_unavailable", why, retryAfterSeconds: RETRY_AFTER_SECONDS });
    }
  }

  async #attempt(
    text: string,
    values: unknown[],
    timeoutMs: number,
  ): Promise<{ row: Row | undefined } | { fault: Fault }> {
    try {
      this.#sql ??= await connect(this.#settings.DATABASE_URL);
      const fetchOptions: SendInit = {
        signal: AbortSignal.timeout(Math.max(1, timeoutMs)),
        endpoint: this.#settings.NEON_FETCH_ENDPOINT,
      };
      const { rows } = await this.#sql.query(text, values, { fetchOptions, types: RAW_TEXT });
      return { row: rows[0] as Row | undefined };
    } catch (error) {
      return { fault: classify(error, this.#settings.DATABASE_URL) };
    }
  }
}

const RAW_TEXT = { getTypeParser: () => (text: string) => text };

/** The driver is a third of the bundle and of the start: it is evaluated at the first query, which a kept run never makes. */
async function connect(url: string): Promise<Sql> {
  const { neon, neonConfig } = await import("@neondatabase/serverless");
  neonConfig.fetchFunction = send;
  return neon(url, { fullResults: true, disableWarningInBrowsers: true });
}

/** The driver's way out. Its own `fetchEndpoint` is one for the whole isolate; ours comes with the call. */
async function send(url: string, { endpoint, ...init }: SendInit): Promise<Response> {
  const response = await fetch(endpoint ?? url, { ...init, redirect: "manual" });
  const length = response.headers.get("content-length");
  if (length !== null && Number(length) > MAX_REPLY_BYTES) {
    await response.body?.cancel();
    throw new ReplyTooLarge();
  }
  return length === null
    ? new Response(response.body?.pipeThrough(limit(MAX_REPLY_BYTES)), response)
    : response;
}

function limit(maxBytes: number): TransformStream<Uint8Array, Uint8Array> {
  let left = maxBytes;
  return new TransformStream({
    transform(chunk, controller) {
      left -= chunk.byteLength;
      if (left < 0) controller.error(new ReplyTooLarge());
      else controller.enqueue(chunk);
    },
  });
}

function classify(error: unknown, secret: string): Fault {
  const source: unknown = error instanceof Error && "sourceError" in error ? error.sourceError : error;
  const { name, message } = source instanceof Error ? source : new Error(String(source));
  const why = message.replaceAll(secret, "DATABASE_URL").slice(0, 200);
  const fault = (kind: Fault["kind"], passing: boolean): Fault => ({ kind, passing, why });

  if (source instanceof ReplyTooLarge) return fault("reply_too_large", false);
  if (name === "TimeoutError" || name === "AbortError") return fault("timeout", true);
  if (source !== error) return fault("connection_lost", true);
  const code = source instanceof Error && "code" in source ? source.code : undefined;
  if (typeof code === "string" && code !== "") {
    if (/^(08|53|57P0)/.test(code)) return fault("server_busy", true);
    if (/^(28|3D)/.test(code)) return fault("refused", false);
    return { ...fault("sql_error", false), why: `${code} ${why}` };
  }
  if (name === "NeonDbError") {
    const status = Number(/HTTP status (\d{3})/.exec(message)?.[1]);
    if (/password|authenticat/i.test(message)) return fault("refused", false);
    return status < 500 && status !== 429 && status !== 408
      ? fault("refused", false)
      : fault("endpoint_error", true);
  }
  if (name === "SyntaxError") return fault("invalid_reply", true);
  return fault(/lost|reset|closed|disconnected/i.test(message) ? "connection_lost" : "invalid_reply", true);
}
