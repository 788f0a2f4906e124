// One request, as the steps below its route see it. Types, and the time that it has left. Knows nothing of HTTP.

type Text = "auth" | "subject" | "key_set" | "rate_limit" | "run_id" | "cache" | "cache_layer" | "db_faults";
type Texts = Record<Text | "code" | "why" | "stack", string | undefined>;
type Numbers = Record<"db_attempts" | "db_ms" | "waited_ms", number>;

/**
 * Fields of the log line, which docs/troubleshooting.md documents. Never a token, a secret or a value of a record. No note decides
 * the response.
 */
export type Notes = Partial<Texts & Numbers>;

/** The user on whose behalf a run is read. */
export interface Reader {
  /** The subject of the access token: the owner of the runs that the reader may see. */
  subject: string;
  /** Admins may see every run. */
  isAdmin: boolean;
}

export interface RequestScope {
  /** For the response and the log. */
  readonly id: string;
  /**
   * Returns the request's origin, where it finds and leaves entries of the data-center cache; empty if its Host is unusable. A
   * function, because a run in the isolate's memory needs none.
   */
  readonly readOrigin: () => string;
  /** When it began, in milliseconds since the epoch. */
  startedMs: number;
  /**
   * Attempts, pauses and polls end within this time of the start. 0 until a route sets it, and once it gives up. Then only a lookup
   * in the data-center cache may follow, under a second.
   */
  timeoutMs: number;
  /** Fires when the client leaves. Only long polls set it. */
  signal?: AbortSignal;
  readonly notes: Notes;
}

/** What Hono's context carries: `logRequests` sets it. */
export interface AppEnv {
  Variables: { request: RequestScope };
}

/** The milliseconds that the request has left, of `spanMs` since its start; 0 if none. If the clock jumps back, it starts anew. */
export function timeLeftMs(request: RequestScope, spanMs = request.timeoutMs): number {
  const nowMs = Date.now();
  request.startedMs = Math.min(request.startedMs, nowMs);
  return Math.max(0, request.startedMs + spanMs - nowMs);
}

/** Lets work outlive the response and the client, for 30 seconds at most. The work must not reject. */
export type WaitUntil = (work: Promise<unknown>) => void;
