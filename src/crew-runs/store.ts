// Reads runs from Postgres through Neon's driver, over HTTP. Guarantees one parameterised statement a read, a bound on every
// wait, and a failure that says what went wrong to the log only. Who may see a run is decided in the statement, so that a
// run of somebody else and no run at all are the same work and the same answer.
import type { NeonQueryFunction } from "@neondatabase/serverless";
import type { Exchange } from "../exchange.ts";
import { type Failure, fail } from "../failure.ts";
import type { Settings } from "../settings.ts";

/** What the statement asks of a reader. */
export interface Viewer {
  subject: string;
  isAdmin: boolean;
}

export type Row = Record<string, string | null>;

/** What a query found. `passing`: another one may soon succeed. */
export type Found = { ok: true; value: Row | undefined } | { ok: false; failure: Failure; passing: boolean };

const time = (column: string, name = column) =>
  `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS ${name}`;
// Some writers put a missing value into a JSON column as the JSON value null.
const json = (column: string) => `NULLIF(${column}::text, 'null') AS ${column}`;

// Everything is cast to text in SQL: the driver's own types would round numbers and microseconds.
const COLUMNS = `id::text, correlation_id::text, owner_id::text, status::text, ${time("created_at")}, crew_type::text, \
${json("crew_config")}, ${json("task_input")}, result::text, error::text, ${time("started_at")}, ${time("completed_at")}`;
const NAMES =
  "correlation_id, owner_id, status, created_at, crew_type, crew_config, task_input, result, error, started_at, completed_at";
// One statement for every read. The version is all that a writer can change, reduced to a few bytes by the database: while it
// is the one that the asker holds, an unfinished run's columns stay there. OFFSET 0 keeps it from being computed twice.
const FIND = `SELECT run.version, run.created, shown.* FROM (SELECT id, ${NAMES}, ${time("created_at", "created")}, \
md5(ROW(${NAMES})::text) AS version FROM crew_runs WHERE id = $1::uuid AND (owner_id::text = $2 OR $3::boolean) OFFSET 0) AS run \
LEFT JOIN LATERAL (SELECT ${COLUMNS}) AS shown \
ON run.version IS DISTINCT FROM $4::text OR run.status::text IN ('completed', 'failed')`;

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

  /**
   * The run's row with its `version`, or undefined where there is none that the viewer may see. Of an unfinished run whose
   * version is `knownVersion`, only `version` and `created`; the other columns are null. With `waitEndMs`, the read is one
   * of a wait: before that end it is one attempt, because the caller asks again anyway. Fails with `database_unavailable`.
   */
  async find(
    id: string,
    viewer: Viewer,
    knownVersion: string | undefined,
    exchange: Exchange,
    waitEndMs?: number,
  ): Promise<Found> {
    const values = [id, viewer.subject, viewer.isAdmin, knownVersion ?? null];
    const attempts = waitEndMs === undefined || Date.now() >= waitEndMs ? MAX_ATTEMPTS : 1;
    return this.#query(FIND, values, exchange, attempts, waitEndMs ?? exchange.startedMs);
  }

  /** Succeeds where the table can be read. One attempt. */
  async probe(exchange: Exchange): Promise<Found> {
    return this.#query(PROBE, [], exchange, 1, exchange.startedMs);
  }

  /** All attempts together end within REQUEST_TIMEOUT_MS of `startMs`. */
  async #query(text: string, values: unknown[], exchange: Exchange, attempts: number, startMs: number): Promise<Found> {
    const { REQUEST_TIMEOUT_MS, DATABASE_ATTEMPT_TIMEOUT_MS } = this.#settings;
    const askedMs = Date.now();
    const deadlineMs = startMs + REQUEST_TIMEOUT_MS;
    const faults: Fault[] = [];
    for (let attempt = 1; ; attempt += 1) {
      const timeoutMs = Math.min(DATABASE_ATTEMPT_TIMEOUT_MS, deadlineMs - Date.now());
      const reply = await this.#attempt(text, values, timeoutMs);
      const pauseMs = BACKOFF_MS * attempt * (0.5 + Math.random());
      if ("fault" in reply) {
        faults.push(reply.fault);
        if (reply.fault.passing && attempt < attempts && Date.now() + pauseMs < deadlineMs) {
          await scheduler.wait(pauseMs);
          continue;
        }
      }
      const { notes } = exchange;
      notes.db_attempts = (notes.db_attempts ?? 0) + attempt;
      notes.db_ms = (notes.db_ms ?? 0) + Date.now() - askedMs;
      for (const { kind } of faults) {
        notes.db_faults = notes.db_faults === undefined ? kind : `${notes.db_faults} ${kind}`;
      }
      if (!("fault" in reply)) return { ok: true, value: reply.row };
      const why = faults.map((each) => `${each.kind}: ${each.why}`).join("; ");
      const failure = { reason: "database_unavailable", why, retryAfterSeconds: RETRY_AFTER_SECONDS } as const;
      return { ...fail(failure), passing: reply.fault.passing };
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
        redirect: "manual",
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
async function send(url: string, init: SendInit): Promise<Response> {
  const response = await fetch(init.endpoint ?? url, init);
  const length = response.headers.get("content-length");
  if (length !== null && Number(length) > MAX_REPLY_BYTES) {
    await response.body?.cancel();
    throw new ReplyTooLarge();
  }
  return length === null || response.headers.has("content-encoding")
    ? new Response(response.body?.pipeThrough(limit(MAX_REPLY_BYTES)), { status: response.status })
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

function classify(error: unknown, databaseUrl: string): Fault {
  const source = (error instanceof Error && "sourceError" in error && error.sourceError) || error;
  const { name, message } = source instanceof Error ? source : new Error(String(source));
  const { password } = new URL(databaseUrl);
  const why = message.replaceAll(databaseUrl, "DATABASE_URL").replaceAll(password, "***").slice(0, 200);
  const fault = (kind: Fault["kind"], passing: boolean): Fault => ({ kind, passing, why });

  if (source instanceof ReplyTooLarge) return fault("reply_too_large", false);
  if (name === "TimeoutError" || name === "AbortError") return fault("timeout", true);
  if (source !== error) return fault("connection_lost", true);
  if (source instanceof Error && "code" in source && typeof source.code === "string" && source.code !== "") {
    if (/^(08|53|57P0)/.test(source.code)) return fault("server_busy", true);
    if (/^(28|3D)/.test(source.code)) return fault("refused", false);
    return { ...fault("sql_error", false), why: `${source.code} ${why}` };
  }
  if (name === "NeonDbError") {
    if (/password|authenticat/i.test(message)) return fault("refused", false);
    const status = Number(/HTTP status (\d{3})/.exec(message)?.[1]);
    if (status === 507) return fault("reply_too_large", false);
    return status < 500 && status !== 429 && status !== 408 ? fault("refused", false) : fault("endpoint_error", true);
  }
  if (name === "SyntaxError") return fault("invalid_reply", true);
  return fault(/lost|reset|closed|disconnected/i.test(message) ? "connection_lost" : "invalid_reply", true);
}
