// Reads runs from Postgres through Neon's driver, over HTTP. Guarantees one parameterised statement a read, a bound on every
// wait, and a failure that says what went wrong to the log only.
// Who may see a run is decided in the statement, so that a run of somebody else and no run at all are the same work.
import type { NeonQueryFunction } from "@neondatabase/serverless";
import type { Settings } from "../settings.ts";
import type { Trace } from "../trace.ts";
import { classify, failBy, isWorthRepeating } from "./fault.ts";
import type { Viewer } from "./record.ts";
import { fetchWithinBudget } from "./reply-budget.ts";

// Everything is text: the driver's own types would round numbers and microseconds. `to_json` of a time in UTC, which the
// driver makes a string, depends on no setting of the role and hides no era and no infinity. Some writers put a missing value
// into a JSON column as JSON null.
const time = (column: string) => `to_json(${column} AT TIME ZONE 'UTC') AS ${column}`;
const json = (column: string) => `NULLIF(${column}::text, 'null') AS ${column}`;
const FIND = `SELECT id::text, correlation_id::text, owner_id::text, status::text, ${time("created_at")}, crew_type::text, \
${json("crew_config")}, ${json("task_input")}, result::text, error::text, ${time("started_at")}, ${time("completed_at")} \
FROM crew_runs WHERE id = $1::uuid AND (owner_id::text = $2 OR $3::boolean) \
AND (NOT $4::boolean OR status::text IN ('completed', 'failed'))`;

const PROBE = "SELECT 1 AS reachable FROM crew_runs LIMIT 0";

const MAX_ATTEMPTS = 3;
const BACKOFF_MS = 150;

export type Row = Record<string, unknown>;

interface Conditions {
  /** Leaves an unfinished run's row in the database: it is then as if there were none. */
  onlyFinished?: boolean;
  /** Three attempts at faults that pass, unless told otherwise. */
  attempts?: number;
  /** Ends the read where the asker no longer wants it. */
  signal?: AbortSignal;
}

export class CrewRunStore {
  readonly #settings: Settings;
  #sql: NeonQueryFunction<false, false> | undefined;

  constructor(settings: Settings) {
    this.#settings = settings;
  }

  /**
   * The run's row, or undefined where there is none that the reader may see. Fails with `database_unavailable`,
   * `record_too_large`, `overloaded`, or `invalid_record` where Postgres cannot write a value of the row.
   */
  async find(id: string, reader: Viewer, trace: Trace, conditions: Conditions = {}): Promise<Row | undefined> {
    const { onlyFinished = false } = conditions;
    const [row] = await this.#query(FIND, [id, reader.subject, reader.isAdmin, onlyFinished], trace, conditions);
    return row;
  }

  /** Succeeds where the table can be read. One attempt. */
  async probe(trace: Trace): Promise<void> {
    await this.#query(PROBE, [], trace, { attempts: 1 });
  }

  /** All attempts together end within REQUEST_TIMEOUT_MS. */
  async #query(text: string, values: unknown[], { notes }: Trace, conditions: Conditions): Promise<Row[]> {
    const { attempts = MAX_ATTEMPTS, signal } = conditions;
    const askedMs = Date.now();
    const deadlineMs = askedMs + this.#settings.REQUEST_TIMEOUT_MS;
    const causes: string[] = [];
    try {
      for (let attempt = 1; ; attempt += 1) {
        notes.db_attempts = (notes.db_attempts ?? 0) + 1;
        try {
          return await this.#attempt(text, values, deadlineMs - Date.now(), signal);
        } catch (error) {
          const fault = classify(error, this.#settings.DATABASE_URL);
          causes.push(`${fault.kind}: ${fault.why}`);
          notes.db_faults = notes.db_faults === undefined ? fault.kind : `${notes.db_faults} ${fault.kind}`;
          const pauseMs = BACKOFF_MS * attempt * (0.5 + Math.random());
          const isLast = attempt >= attempts || Date.now() + pauseMs >= deadlineMs || signal?.aborted;
          if (isLast || !isWorthRepeating(fault)) throw failBy(fault, causes.join("; "));
          await scheduler.wait(pauseMs);
        }
      }
    } finally {
      notes.db_ms = (notes.db_ms ?? 0) + Date.now() - askedMs;
    }
  }

  async #attempt(text: string, values: unknown[], leftMs: number, signal?: AbortSignal): Promise<Row[]> {
    this.#sql ??= await connect(this.#settings);
    const timeout = AbortSignal.timeout(Math.max(1, Math.min(leftMs, this.#settings.DATABASE_ATTEMPT_TIMEOUT_MS)));
    const ends = signal === undefined ? timeout : AbortSignal.any([timeout, signal]);
    // A redirect would carry the connection string, password included, to whoever is named.
    return this.#sql.query(text, values, { fetchOptions: { redirect: "manual", signal: ends } });
  }
}

/** The driver is a third of the bundle and of the start: it is evaluated at the first query, which a kept run never makes. */
async function connect({ DATABASE_URL, NEON_FETCH_ENDPOINT }: Settings): Promise<NeonQueryFunction<false, false>> {
  const { neon, neonConfig } = await import("@neondatabase/serverless");
  neonConfig.fetchFunction = fetchWithinBudget;
  if (NEON_FETCH_ENDPOINT !== undefined) neonConfig.fetchEndpoint = NEON_FETCH_ENDPOINT;
  return neon(DATABASE_URL);
}
