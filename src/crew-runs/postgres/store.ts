// Reads runs from Postgres through Neon's driver, over HTTP. Guarantees one parameterised statement per read, a bound on every
// wait, and a failure whose cause only the log shows.
// The statement decides who may see a run, so that a run of another user and a missing one are the same work.
import { neon, neonConfig } from "@neondatabase/serverless";
import { type Reader, type RequestScope, timeLeftMs } from "../../request.ts";
import type { Settings } from "../../settings.ts";
import { type Run, canSee, makeRun } from "../record.ts";
import { classify, failBy, isWorthRepeating, listSecrets } from "./fault.ts";
import { fetchWithinBudget } from "./reply-budget.ts";

// `to_json` of a time in UTC depends on no setting of the role, and hides no era and no infinity. As text, a column of another
// type, such as char(40) or an enum, has the value that the condition compares.
const time = (column: string) => `to_json(${column} AT TIME ZONE 'UTC') AS ${column}`;
const COLUMNS = `id, correlation_id::text, owner_id::text, status::text, ${time("created_at")}, crew_type::text, \
crew_config, task_input, result::text, error::text, ${time("started_at")}, ${time("completed_at")}`;
const FIND = `SELECT ${COLUMNS} FROM crew_runs WHERE id = $1::uuid AND (owner_id::text = $2 OR $3::boolean)`;
const FIND_FINISHED = `${FIND} AND status::text IN ('completed', 'failed')`;
/** Fails as a read would, for example if a column is missing. */
const PROBE = `SELECT ${COLUMNS} FROM crew_runs LIMIT 0`;

/** Every value stays the text that Postgres writes: the driver's own types would round numbers. */
const AS_TEXT = { getTypeParser: () => (text: string) => text };

const MAX_ATTEMPTS = 3;
const BACKOFF_MS = 150;

/** Each query ends within the request's time. `attempts` is how many there may be while faults are transient; three by default. */
export interface CrewRunStore {
  /**
   * Returns the run, or undefined if there is none that the reader may see. Fails with `database_unavailable`,
   * `record_too_large`, `overloaded`, or `invalid_record` if the row breaks the contract or Postgres can't write a value of it.
   */
  find(id: string, reader: Reader, request: RequestScope, attempts?: number): Promise<Run | undefined>;
  /** As `find`, but an unfinished run stays in the database: undefined. */
  findFinished(id: string, reader: Reader, request: RequestScope, attempts?: number): Promise<Run | undefined>;
  /** Succeeds if runs can be read. One attempt. */
  probe(request: RequestScope): Promise<void>;
}

export function createCrewRunStore(settings: Settings): CrewRunStore {
  const { DATABASE_URL, NEON_FETCH_ENDPOINT, DATABASE_ATTEMPT_TIMEOUT_MS } = settings;
  const secrets = listSecrets(DATABASE_URL);
  neonConfig.fetchFunction = fetchWithinBudget;
  if (NEON_FETCH_ENDPOINT !== undefined) neonConfig.fetchEndpoint = NEON_FETCH_ENDPOINT;
  const sql = neon(DATABASE_URL);

  const readBy =
    (statement: string): CrewRunStore["find"] =>
    async (id, reader, request, attempts = MAX_ATTEMPTS) => {
      const readMs = Date.now();
      const rows = query(statement, [id, reader.subject, reader.isAdmin], request, attempts);
      const run = await rows.then(([row]) => row && makeRun(row, readMs));
      // Defense in depth: under a nondeterministic collation the condition would also match `Alice` for `alice`.
      return run?.id === id && canSee(run, reader) ? run : undefined;
    };

  async function query(statement: string, values: unknown[], request: RequestScope, attempts: number) {
    const { notes, signal } = request;
    const startedMs = Date.now();
    const causes: string[] = [];
    try {
      for (let attempt = 1; ; attempt += 1) {
        notes.db_attempts = (notes.db_attempts ?? 0) + 1;
        try {
          const timeout = AbortSignal.timeout(Math.max(1, Math.min(timeLeftMs(request), DATABASE_ATTEMPT_TIMEOUT_MS)));
          // A redirect would carry the connection string, password included, to another host.
          const fetchOptions = { redirect: "manual", signal: signal ? AbortSignal.any([timeout, signal]) : timeout };
          return await sql.query(statement, values, { types: AS_TEXT, fetchOptions });
        } catch (error) {
          const fault = classify(error, secrets);
          causes.push(`${fault.kind}: ${fault.why}`);
          if (!signal?.aborted) notes.db_faults = [notes.db_faults, fault.kind].filter(Boolean).join(" ");
          const isLast = attempt >= attempts || signal?.aborted || !isWorthRepeating(fault);
          const pauseMs = BACKOFF_MS * attempt * (0.5 + Math.random());
          if (!isLast) await scheduler.wait(Math.min(pauseMs, timeLeftMs(request)));
          if (isLast || timeLeftMs(request) === 0) throw failBy(fault, causes.join("; "));
        }
      }
    } finally {
      notes.db_ms = (notes.db_ms ?? 0) + Date.now() - startedMs;
    }
  }

  return {
    find: readBy(FIND),
    findFinished: readBy(FIND_FINISHED),
    probe: async (request) => void (await query(PROBE, [], request, 1)),
  };
}
