// Spans of time, by a clock that may jump and that stands still between I/O; and waits with an end.

/**
 * Whether `sinceMs` is less than `spanMs` ago. A moment in the future isn't: a clock that jumps back must not lengthen any
 * bound. All values are milliseconds, `sinceMs` and `nowMs` since the epoch.
 */
export function isRecent(sinceMs: number, spanMs: number, nowMs = Date.now()): boolean {
  return nowMs >= sinceMs && nowMs - sinceMs < spanMs;
}

/** What is left of a span of `spanMs` that began at `sinceMs`; 0 if it is over, or if it hasn't begun by a clock that jumped. */
export function remainingMs(sinceMs: number, spanMs: number, nowMs = Date.now()): number {
  return isRecent(sinceMs, spanMs, nowMs) ? sinceMs + spanMs - nowMs : 0;
}

/** The result of `work`. Rejects after `milliseconds`; the work goes on. */
export const within = async <T>(milliseconds: number, work: Promise<T>): Promise<T> =>
  Promise.race([work, scheduler.wait(milliseconds).then(() => Promise.reject(new Error("too slow")))]);
