// Everything that the Worker writes to the console while a file's tests run, away from the terminal and found by request. The
// `request_id` shows which line belongs to which request, because tests of one file may run at the same time.
import { afterAll, beforeAll, vi } from "vitest";

export interface CaughtLines {
  /** The lines of a request; one, unless something is wrong. */
  of(requestId: string | null): Record<string, unknown>[];
  /** Every text so far. */
  all(): readonly string[];
}

export function catchLines(): CaughtLines {
  const texts: string[] = [];
  beforeAll(() => {
    for (const method of ["debug", "error", "info", "log", "warn"] as const) {
      vi.spyOn(console, method).mockImplementation((...words: unknown[]) => {
        texts.push(words.map(String).join(" "));
      });
    }
  });
  afterAll(() => {
    vi.restoreAllMocks();
  });
  return {
    of: (requestId) =>
      texts
        .filter((text) => text.startsWith("{"))
        .map((text): Record<string, unknown> => JSON.parse(text))
        .filter((line) => line["request_id"] === requestId),
    all: () => texts,
  };
}
