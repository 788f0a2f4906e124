// What the steps of one request note for its log line and its Server-Timing header. Nothing noted here decides the answer.

type TextNote =
  | "run_id"
  | "code"
  | "why"
  | "stack"
  | "auth"
  | "subject"
  | "cache"
  | "cache_layer"
  | "key_set"
  | "rate_limit"
  | "db_faults";

/** Members of the log line; docs/logging.md documents their names. Never a token, a secret or a value of a record. */
export type Notes = Partial<
  Record<TextNote, string | undefined> & Record<"db_attempts" | "db_ms" | "waited_ms", number>
>;

export interface Trace {
  readonly notes: Notes;
  /** Lets work outlive the answer. The work must not reject. */
  finishLater(work: Promise<unknown>): void;
}
