// What the steps of one request note for its log line. Write-only: nothing noted here decides what is answered.

/** Members of the log line; docs/logging.md documents their names. Never a token, a secret or a value of a record. */
export interface Notes {
  run_id?: string;
  code?: string;
  why?: string | undefined;
  stack?: string;
  auth?: "remembered" | "verified";
  subject?: string | undefined;
  cache?: "hit" | "miss";
  cache_layer?: "isolate" | "data_centre";
  key_set?: string;
  rate_limit?: "failed";
  db_attempts?: number;
  db_ms?: number;
  db_faults?: string;
  waited_ms?: number;
}

export interface Trace {
  readonly notes: Notes;
  /** Lets work outlive the answer. It must not reject: nobody would hear. */
  finishLater(work: Promise<unknown>): void;
}
