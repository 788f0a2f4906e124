// Reads runs from Postgres through Neon's driver, over HTTP. Guarantees one parameterised statement per read, a bound on every
// wait, and a failure whose cause only the log shows.
// The statement decides who may see a run, so that a run of another user and a missing one are the same work.
import { neon, neonConfig } from "@neondatabase/serverless";
import type { Reader } from "../../auth/reader.ts";
import type { Settings } from "../../settings.ts";
import type { Trace } from "../../trace.ts";
import { type Run, canSee, makeRun } from "../record.ts";
import { classify, failBy, isWorthRepeating, listSecrets } from "./fault.ts";
import { fetchWithinBudget } from "./reply-budget.ts";

// `to_json` of a time in UTC depends on no setting of the role, and hides no era and no infinity. As text, a column of another
// type, such as char(40) or an enum, has the value that the condition compares.
const time = (column: string) => `to_json(${column} AT TIME ZONE 'UTC') AS ${column}`;
const FIND = `SELECT id, correlation_id::text, owner_id::text, status::text, ${time("created_at")}, crew_type::text, \
crew_config, task_input, result::text, error::text, ${time("started_at")}, ${time("completed_at")} \
FROM crew_runs WHERE id = $1::uuid AND (owner_id::text = $2 OR $3::boolean)`;
const FIND_FINISHED = `${FIND} AND status::text IN ('completed', 'failed')`;

const PROBE = "SELECT 1 AS reachable FROM crew_runs LIMIT 0";

/** Every value stays the text that Postgres writes: the driver's own types would round numbers. */
const AS_TEXT = { getTypeParser: () => (text: string) => text };

const MAX_ATTEMPTS = 3;
const BACKOFF_MS = 150;

interface QueryOptions {
  trace: Trace;
  /** The maximum of attempts, while faults are transient; three by default. */
  attempts?: number | undefined;
  /** Ends the read early. */
  signal?: AbortSignal | undefined;
}

export type CrewRunStore = ReturnType<typeof createCrewRunStore>;

export function createCrewRunStore(settings: Settings) {
  const { DATABASE_URL, NEON_FETCH_ENDPOINT, DATABASE_ATTEMPT_TIMEOUT_MS, REQUEST_TIMEOUT_MS } = settings;
  const secrets = listSecrets(DATABASE_URL);
  neonConfig.fetchFunction = fetchWithinBudget;
  if (NEON_FETCH_ENDPOINT !== undefined) neonConfig.fetchEndpoint = NEON_FETCH_ENDPOINT;
  const sql = neon(DATABASE_URL);

  async function read(statement: string, id: string, reader: Reader, options: QueryOptions): Promise<Run | undefined> {
    const readMs = Date.now();
    const rows = query(statement, [id, reader.subject, reader.isAdmin], options);
    const run = await rows.then(([row]) => row && makeRun(row, readMs));
    // Defence in depth: under a nondeterministic collation the condition would also match `Alice` for `alice`.
    return run?.id === id && canSee(run, reader) ? run : undefined;
  }

  /** All attempts together end within REQUEST_TIMEOUT_MS. */
  async function query(statement: string, values: unknown[], { trace, attempts = MAX_ATTEMPTS, signal }: QueryOptions) {
    const { notes } = trace;
    const startedMs = Date.now();
    const deadlineMs = startedMs + REQUEST_TIMEOUT_MS;
    const causes: string[] = [];
    try {
      for (let attempt = 1; ; attempt += 1) {
        notes.db_attempts = (notes.db_attempts ?? 0) + 1;
        try {
          const leftMs = Math.max(1, Math.min(deadlineMs - Date.now(), DATABASE_ATTEMPT_TIMEOUT_MS));
          const timeout = AbortSignal.timeout(leftMs);
          const ends = signal === undefined ? timeout : AbortSignal.any([timeout, signal]);
          // A redirect would carry the connection string, password included, to another host.
          const fetchOptions = { redirect: "manual", signal: ends };
          return await sql.query(statement, values, { types: AS_TEXT, fetchOptions });
        } catch (error) {
          const fault = classify(error, secrets);
          causes.push(`${fault.kind}: ${fault.why}`);
          if (!signal?.aborted) notes.db_faults = [notes.db_faults, fault.kind].filter(Boolean).join(" ");
          const pauseMs = BACKOFF_MS * attempt * (0.5 + Math.random());
          const isLast = attempt >= attempts || Date.now() + pauseMs >= deadlineMs || signal?.aborted;
          if (isLast || !isWorthRepeating(fault)) throw failBy(fault, causes.join("; "));
          await scheduler.wait(pauseMs);
        }
      }
    } finally {
      notes.db_ms = (notes.db_ms ?? 0) + Date.now() - startedMs;
    }
  }

  return {
    /**
     * Returns the run, or undefined if there is none that the reader may see. Fails with `database_unavailable`,
     * `record_too_large`, `overloaded`, or `invalid_record` if Postgres can't write a value of the row.
     */
    find: async (id: string, reader: Reader, options: QueryOptions) => read(FIND, id, reader, options),

    /** As `find`, but an unfinished run stays in the database: undefined. */
    findFinished: async (id: string, reader: Reader, options: QueryOptions) => read(FIND_FINISHED, id, reader, options),

    /** Succeeds if the table can be read. One attempt. */
    probe: async (trace: Trace) => query(PROBE, [], { trace, attempts: 1 }),
  };
}
