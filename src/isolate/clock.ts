// Whether a moment is recent, by a clock that may jump.

/**
 * Whether `sinceMs` is less than `spanMs` ago. A moment in the future isn't: a clock that jumps back must not lengthen any
 * bound. All values are milliseconds, `sinceMs` and `nowMs` since the epoch.
 */
export function isRecent(sinceMs: number, spanMs: number, nowMs = Date.now()): boolean {
  return nowMs >= sinceMs && nowMs - sinceMs < spanMs;
}
