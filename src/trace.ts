// What the steps of one request note for its log line and its Server-Timing header. No note decides the response.

type FailureNote = "code" | "why" | "stack";
type GateNote = "auth" | "subject" | "key_set" | "rate_limit";
type RunNote = "run_id" | "cache" | "cache_layer" | "db_faults";
type NumberNote = "db_attempts" | "db_ms" | "waited_ms";

/** Members of the log line; docs/troubleshooting.md documents their names. Never a token, a secret or a value of a record. */
export type Notes = Partial<Record<FailureNote | GateNote | RunNote, string | undefined> & Record<NumberNote, number>>;

export interface Trace {
  readonly notes: Notes;
  /** Lets work outlive the response. The work must not reject. */
  finishLater(work: Promise<unknown>): void;
}
