// Reads runs from Postgres through Neon's driver, over HTTP. Guarantees one parameterised statement a read, a bound on every
// wait, and a failure that says what went wrong to the log only.
// Who may see a run is decided in the statement, so that a run of somebody else and no run at all are the same work.
import type { NeonQueryFunction } from "@neondatabase/serverless";
import type { Reader } from "../reader.ts";
import type { Settings } from "../settings.ts";
import type { Trace } from "../trace.ts";
import { classify, failBy, isWorthRepeating } from "./fault.ts";
import { fetchWithinBudget } from "./reply-budget.ts";

// `to_json` of a time in UTC depends on no setting of the role, and hides no era and no infinity. As text, a column of another
// type, such as char(40) or an enum, has the value that the condition compares.
const time = (column: string) => `to_json(${column} AT TIME ZONE 'UTC') AS ${column}`;
const FIND = `SELECT id, correlation_id::text, owner_id::text, status::text, ${time("created_at")}, crew_type::text, \
crew_config, task_input, result::text, error::text, ${time("started_at")}, ${time("completed_at")} \
FROM crew_runs WHERE id = $1::uuid AND (owner_id::text = $2 OR $3::boolean)`;
const ONLY_FINISHED = " AND status::text IN ('completed', 'failed')";

const PROBE = "SELECT 1 AS reachable FROM crew_runs LIMIT 0";

/** Every value stays the text that Postgres writes: the driver's own types would round numbers. */
const AS_TEXT = { getTypeParser: () => (text: string) => text };

const MAX_ATTEMPTS = 3;
const BACKOFF_MS = 150;

interface Conditions {
  /** Leaves an unfinished run's row in the database: it is then as if there were none. */
  onlyFinished?: boolean;
  /** How often to try at most, while faults are passing; three times by default. */
  attempts?: number | undefined;
  /** Ends the read early. */
  signal?: AbortSignal;
}

export type CrewRunStore = ReturnType<typeof createCrewRunStore>;

export function createCrewRunStore(settings: Settings) {
  const { DATABASE_URL, DATABASE_ATTEMPT_TIMEOUT_MS, REQUEST_TIMEOUT_MS } = settings;
  let sql: NeonQueryFunction<false, false> | undefined;

  /**
   * The run's row, or undefined where there is none that the reader may see. Fails with `database_unavailable`,
   * `record_too_large`, `overloaded`, or `invalid_record` where Postgres cannot write a value of the row.
   */
  async function find(id: string, { subject, isAdmin }: Reader, trace: Trace, conditions: Conditions = {}) {
    const text = conditions.onlyFinished === true ? FIND + ONLY_FINISHED : FIND;
    const [row] = await query(text, [id, subject, isAdmin], trace, conditions);
    return row;
  }

  /** Succeeds where the table can be read. One attempt. */
  const probe = async (trace: Trace) => query(PROBE, [], trace, { attempts: 1 });

  /** All attempts together end within REQUEST_TIMEOUT_MS. */
  async function query(text: string, values: unknown[], { notes }: Trace, conditions: Conditions) {
    const { attempts = MAX_ATTEMPTS, signal } = conditions;
    const askedMs = Date.now();
    const deadlineMs = askedMs + REQUEST_TIMEOUT_MS;
    const causes: string[] = [];
    try {
      for (let attempt = 1; ; attempt += 1) {
        notes.db_attempts = (notes.db_attempts ?? 0) + 1;
        try {
          return await tryQuery(text, values, deadlineMs - Date.now(), signal);
        } catch (error) {
          const fault = classify(error, DATABASE_URL);
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

  async function tryQuery(text: string, values: unknown[], leftMs: number, signal: AbortSignal | undefined) {
    sql ??= await connect(settings);
    const timeout = AbortSignal.timeout(Math.max(1, Math.min(leftMs, DATABASE_ATTEMPT_TIMEOUT_MS)));
    const ends = signal === undefined ? timeout : AbortSignal.any([timeout, signal]);
    // A redirect would carry the connection string, password included, to another host.
    return sql.query(text, values, { types: AS_TEXT, fetchOptions: { redirect: "manual", signal: ends } });
  }

  return { find, probe };
}

/** The driver is a third of the bundle and of the start: it is evaluated at the first query, which a kept run never makes. */
async function connect({ DATABASE_URL, NEON_FETCH_ENDPOINT }: Settings) {
  const { neon, neonConfig } = await import("@neondatabase/serverless");
  neonConfig.fetchFunction = fetchWithinBudget;
  if (NEON_FETCH_ENDPOINT !== undefined) neonConfig.fetchEndpoint = NEON_FETCH_ENDPOINT;
  return neon(DATABASE_URL);
}
