// Conditional requests (RFC 9110 §13.1.2) and preferences (RFC 7240), read from their headers. Pure.

/** Whether `If-None-Match` names the tag, by the weak comparison that GET asks for. `W/` is case-sensitive (§8.8.3). */
export function matches(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  // A tag with a comma inside comes apart here; its parts are no tag of ours.
  const tags = ifNoneMatch.split(",").map((tag) => tag.trim());
  return ifNoneMatch.trim() === "*" || tags.includes(etag) || tags.includes(`W/${etag}`);
}

/** The members of a list: commas inside quoted strings, escapes included, do not separate (RFC 9110 §5.6.1, §5.6.4). */
const LIST_MEMBER = /(?:[^,"]|"(?:[^"\\]|\\.)*"?)+/g;
const WAIT = /^ ?wait ?= ?(?:(\d{1,9})|"(\d{1,9})") ?(?:;|$)/i;

/**
 * The seconds of `Prefer: wait=N` (RFC 7240 §4.3), or undefined. The first `wait` counts (§2); what is malformed or unknown
 * is ignored.
 */
export function readWaitSeconds(prefer: string | undefined): number | undefined {
  // Each step is linear in the header's length: blanks are folded, so that no pattern meets a long run of them.
  for (const [member] of (prefer ?? "").replace(/\s+/g, " ").matchAll(LIST_MEMBER)) {
    if (!/^ ?wait(?:[ =;]|$)/i.test(member)) continue;
    const [, plain, quoted = plain] = WAIT.exec(member) ?? [];
    return quoted === undefined ? undefined : Number(quoted);
  }
  return undefined;
}

/** Seconds until an unfinished run is worth asking for again: a tenth of its age, from 1 to 30. */
export function suggestRetrySeconds(createdMs: number, nowMs: number): number {
  return Math.min(30, Math.max(1, Math.round((nowMs - createdMs) / 10_000)));
}
