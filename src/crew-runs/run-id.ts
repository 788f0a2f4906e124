// The spellings of a run id. Pure.

const HYPHENATED = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const SIMPLE = /^([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})$/i;
const WRAPPED = /^(?:\{(.{36})\}|urn:uuid:(.{36}))$/;

/**
 * Reads a UUID as pydantic does: canonical, without dashes, in braces, or as `urn:uuid:`; any case, version and variant.
 * Returns the canonical lower-case form (RFC 9562 §4), or undefined. The input is already percent-decoded.
 */
export function readRunId(input: string): string | undefined {
  const [, inBraces, inner = inBraces ?? input] = WRAPPED.exec(input) ?? [];
  if (HYPHENATED.test(inner)) return inner.toLowerCase();
  return SIMPLE.test(input) ? input.replace(SIMPLE, "$1-$2-$3-$4-$5").toLowerCase() : undefined;
}
