// The lines of console.ts, by the name that some tests still use.
import { listLines, listLogLines } from "./console.ts";

export interface CaughtLines {
  /** The lines of a request; one, unless something is wrong. */
  of(requestId: string | null): Record<string, unknown>[];
  /** Every text so far. */
  all(): readonly string[];
}

export function catchLines(): CaughtLines {
  return { of: listLogLines, all: () => listLines().map(({ text }) => text) };
}
