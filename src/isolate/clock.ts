// Spans of time, by a clock that may jump and that stands still between I/O; and waits with an end.

/**
 * Whether `sinceMs` is less than `spanMs` ago. A moment in the future isn't: a clock that jumps back must not lengthen any
 * bound. Both values are milliseconds, `sinceMs` since the epoch.
 */
export const isRecent = (sinceMs: number, spanMs: number): boolean =>
  Date.now() >= sinceMs && Date.now() - sinceMs < spanMs;

/** The result of `work`. Rejects after `milliseconds`; the work goes on. */
export const within = async <T>(milliseconds: number, work: Promise<T>): Promise<T> =>
  Promise.race([work, scheduler.wait(milliseconds).then(() => Promise.reject(new Error("too slow")))]);
