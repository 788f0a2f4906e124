// Conditional requests (RFC 9110 §13.1.2) and preferences (RFC 7240), parsed from their headers. Each step is linear in the
// header's length.

/** Whether `If-None-Match` names the tag, by weak comparison. `W/` is case-sensitive (§8.8.3). */
export function matches(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  // This splits a tag that contains a comma, but our own tags contain none.
  const tags = ifNoneMatch.split(",").map((tag) => tag.trim());
  return ifNoneMatch.trim() === "*" || tags.includes(etag) || tags.includes(`W/${etag}`);
}

/** The members of a list: commas inside quoted strings, escapes included, don't separate (RFC 9110 §5.6.1, §5.6.4). */
const LIST_MEMBER = /(?:[^,"]|"(?:[^"\\]|\\.)*"?)+/g;
const WAIT = /^ ?wait ?= ?(?:(\d{1,9})|"(\d{1,9})") ?(?:;|$)/i;

/**
 * The seconds of `Prefer: wait=N` (RFC 7240 §4.3), or undefined. The first `wait` counts (§2); malformed and unknown
 * preferences are ignored.
 */
export function readWaitSeconds(prefer: string | undefined): number | undefined {
  // Folded first, so that no pattern meets a long run of blanks.
  for (const [member] of prefer?.replace(/\s+/g, " ").matchAll(LIST_MEMBER) ?? []) {
    if (!/^ ?wait(?:[ =;]|$)/i.test(member)) continue;
    const [, plain, quoted = plain] = WAIT.exec(member) ?? [];
    return quoted === undefined ? undefined : Number(quoted);
  }
  return undefined;
}
