// Conditional requests (RFC 9110 §13.1.2) and preferences (RFC 7240), read from their headers. Pure.

/** Whether `If-None-Match` names the tag, by the weak comparison that GET asks for. */
export function matches(ifNoneMatch: string | null, etag: string): boolean {
  if (ifNoneMatch === null) return false;
  if (ifNoneMatch === etag || ifNoneMatch.trim() === "*") return true;
  for (const [, tag] of ifNoneMatch.matchAll(/(?:W\/)?("[^"]*")/g)) if (tag === etag) return true;
  return false;
}

/**
 * The seconds of `Prefer: wait=N` (RFC 7240 §4.3), or undefined. The first `wait` counts (§2); what is malformed or unknown
 * is ignored.
 */
export function readWaitSeconds(prefer: string | null): number | undefined {
  if (prefer === null) return undefined;
  // Blanks are folded first: where several parts of a pattern may take them, a long run of them costs its square.
  for (const preference of prefer.replace(/\s+/g, " ").split(",")) {
    const [, name, value] = /^\s*([\w!#$%&'*+.^`|~-]+)\s*(?:=\s*("[^"]*"|[^;\s]*))?\s*(?:;.*)?$/.exec(preference) ?? [];
    if (name?.toLowerCase() !== "wait") continue;
    const digits = /^"?(\d{1,9})"?$/.exec(value ?? "")?.[1];
    return digits === undefined ? undefined : Number(digits);
  }
  return undefined;
}

/** Seconds until an unfinished run is worth asking for again: a tenth of its age, from 1 to 30. */
export function suggestRetrySeconds(createdMs: number, nowMs: number): number {
  return Math.min(30, Math.max(1, Math.round((nowMs - createdMs) / 10_000)));
}
