// Every fault: the response, the log line, how long it lasts. The table in troubleshooting.md is generated from this data, and the
// test that shows a fault takes its expectations from it.
import type { FailureCode } from "../src/failure.ts";

export interface DocumentedFault {
  fault: string;
  status: number;
  code?: FailureCode;
  /** Each response header contains this value. */
  headers?: Record<string, string>;
  /** Each member of the log line contains this value. */
  log: Record<string, string>;
  /** What else the members contain, in words. */
  logNote?: string;
  lasts: string;
}

export type FaultName = keyof typeof FAULTS;

export const FAULTS = {
  transient_recovered: {
    fault: "database: a transient fault on the first one or two attempts",
    status: 200,
    log: { db_faults: "" },
    logNote: "a kind for each",
    lasts: "0.1 to 0.7 s longer; if the compute is waking up, as long as that takes",
  },
  connection_lost: {
    fault: "database: connection lost",
    status: 503,
    code: "database_unavailable",
    headers: { "Retry-After": "5" },
    log: { db_faults: "connection_lost" },
    lasts: "three attempts in about 0.5 s; the next request tries again",
  },
  database_timeout: {
    fault: "database: no response in time",
    status: 503,
    code: "database_unavailable",
    headers: { "Retry-After": "5" },
    log: { db_faults: "timeout" },
    lasts: "attempts of 4 s each, 9 s in all; the next request tries again",
  },
  endpoint_error: {
    fault: "database: the endpoint responds with an error",
    status: 503,
    code: "database_unavailable",
    headers: { "Retry-After": "5" },
    log: { db_faults: "endpoint_error" },
    lasts: "three attempts in about 0.5 s; the next request tries again",
  },
  invalid_reply: {
    fault: "database: a reply that is not a result",
    status: 503,
    code: "database_unavailable",
    headers: { "Retry-After": "5" },
    log: { db_faults: "invalid_reply" },
    lasts: "three attempts in about 0.5 s; the next request tries again",
  },
  reply_too_large: {
    fault: "database: a record beyond 16 MB",
    status: 500,
    code: "record_too_large",
    log: { db_faults: "reply_too_large" },
    lasts: "one attempt; until the record is smaller; other runs aren't affected",
  },
  overloaded: {
    fault: "database: too many large records at once",
    status: 503,
    code: "overloaded",
    headers: { "Retry-After": "1" },
    log: { db_faults: "overloaded" },
    lasts: "one attempt; about a second, until other replies have arrived",
  },
  invalid_value: {
    fault: "database: a value that Postgres can't serialise",
    status: 500,
    code: "invalid_record",
    log: { db_faults: "invalid_value" },
    lasts: "one attempt; until the row is corrected; other runs aren't affected",
  },
  statement_timeout: {
    fault: "database: a statement takes too long",
    status: 503,
    code: "database_unavailable",
    headers: { "Retry-After": "5" },
    log: { db_faults: "statement_timeout" },
    lasts: "one attempt; a wait goes on",
  },
  server_busy: {
    fault: "database: full, starting or stopping",
    status: 503,
    code: "database_unavailable",
    headers: { "Retry-After": "5" },
    log: { db_faults: "server_busy" },
    lasts: "three attempts in about 0.5 s; the next request tries again",
  },
  refused: {
    fault: "database: wrong password or database name",
    status: 503,
    code: "database_unavailable",
    headers: { "Retry-After": "5" },
    log: { db_faults: "refused" },
    lasts: "one attempt; until the setting is corrected",
  },
  quota_exhausted: {
    fault: "database: Neon's allowance is used up",
    status: 503,
    code: "database_unavailable",
    headers: { "Retry-After": "5" },
    log: { db_faults: "quota_exhausted" },
    lasts: "one attempt; until the plan or the month changes",
  },
  sql_error: {
    fault: "database: the statement fails",
    status: 503,
    code: "database_unavailable",
    headers: { "Retry-After": "5" },
    log: { db_faults: "sql_error" },
    lasts: "one attempt; until the table is corrected",
  },
  recovers_during_wait: {
    fault: "database: fails during a wait and recovers",
    status: 200,
    headers: { "Preference-Applied": "wait=" },
    log: { db_faults: "endpoint_error" },
    lasts: "the wait goes on",
  },
  fails_to_end_of_wait: {
    fault: "database: still fails when a wait is over",
    status: 503,
    code: "database_unavailable",
    headers: { "Retry-After": "5" },
    log: { db_faults: "endpoint_error" },
    lasts: "the wait, and then three attempts within 9 s",
  },
  refuses_during_wait: {
    fault: "database: refuses or fails a statement during a wait",
    status: 503,
    code: "database_unavailable",
    headers: { "Retry-After": "5" },
    log: { db_faults: "" },
    logNote: "the kind",
    lasts: "ends the wait at once",
  },
  invalid_record: {
    fault: "a row that doesn't fit the schema",
    status: 500,
    code: "invalid_record",
    log: { why: "" },
    logNote: "the fields, never their values",
    lasts: "one attempt; until the row is corrected; other runs aren't affected",
  },
  key_set_connection_lost: {
    fault: "key set: the connection is lost, no key known",
    status: 503,
    code: "key_set_unavailable",
    headers: { "Retry-After": "3" },
    log: { why: "Network connection lost" },
    lasts:
      "for 3 s the response comes at once, without a request to the issuer; ends within 3 s of the issuer's recovery",
  },
  key_set_timeout: {
    fault: "key set: no response in time, no key known",
    status: 503,
    code: "key_set_unavailable",
    headers: { "Retry-After": "3" },
    log: { why: "TimeoutError" },
    lasts: "3 s for the fetch, then as above; requests already waiting still time out after 3 s",
  },
  key_set_status: {
    fault: "key set: a status other than 200, no key known",
    status: 503,
    code: "key_set_unavailable",
    headers: { "Retry-After": "3" },
    log: { why: "the key endpoint returned" },
    lasts: "as above",
  },
  key_set_invalid: {
    fault: "key set: a reply that is not a key set, no key known",
    status: 503,
    code: "key_set_unavailable",
    headers: { "Retry-After": "3" },
    log: { why: "" },
    logNote: "the reason",
    lasts: "as above",
  },
  key_set_fault_known_key: {
    fault: "key set: any fault, the token's key known",
    status: 200,
    log: { key_set: "" },
    logNote: "the reason",
    lasts:
      "up to `JWKS_MAX_STALE_SECONDS` (4 h) after the last good fetch, then as if no key were known; after a failed fetch no request waits",
  },
  key_set_fault_unknown_key: {
    fault: "key set: any fault, the token's key unknown",
    status: 503,
    code: "key_set_unavailable",
    headers: { "Retry-After": "3" },
    log: { why: "" },
    logNote: "the reason",
    lasts: "as if no key were known; other requests aren't affected",
  },
  new_key_within_cooldown: {
    fault: "the issuer signs with a new key within ten seconds of a fetch",
    status: 401,
    code: "invalid_token",
    headers: { "WWW-Authenticate": 'Bearer error="invalid_token"' },
    log: { why: "bad_signature: unknown_key" },
    lasts: "until that fetch is 10 s old",
  },
  both_down_cached_run: {
    fault: "both down, a finished run that was read within an hour",
    status: 200,
    headers: { Age: "", "Cache-Status": "crew-runs; hit" },
    log: { cache: "hit" },
    lasts: "for `FINISHED_RUN_TTL_SECONDS` (1 h) after it was read",
  },
  no_data_center_cache: {
    fault: "the data-center cache fails or doesn't exist",
    status: 200,
    headers: { "Cache-Status": "crew-runs; hit" },
    log: { cache: "hit" },
    lasts: "runs and keys are cached in the isolate only; a failing cache is read again after a minute",
  },
  misconfigured: {
    fault: "a setting is missing or malformed",
    status: 500,
    code: "misconfigured",
    log: { why: "" },
    logNote: "each variable with its rule, never its value",
    lasts: "until it is corrected; `/health` is 200, `/ready` 503",
  },
} as const satisfies Record<string, DocumentedFault>;

/** The table, as Markdown. */
export function tabulateFaults(): string {
  const rows = Object.values<DocumentedFault>(FAULTS).map(
    ({ fault, status, code, headers = {}, log, logNote, lasts }) => {
      const client = [
        [status, code].filter(Boolean).join(" "),
        ...Object.entries(headers).map((header) => header.join(": ")),
      ];
      const members = Object.entries(log).map((member) => member.join("="));
      const quote = (words: string[]) => words.map((word) => `\`${word.trim()}\``).join(" ");
      return [fault, quote(client), [quote(members), logNote].filter(Boolean).join(" and "), lasts];
    },
  );
  const table = [["fault", "response", "log", "how long"], ["---", "---", "---", "---"], ...rows];
  return table.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
