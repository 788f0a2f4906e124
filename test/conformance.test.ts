// docs/conformance.md names tests that exist.
import { expect, test } from "vitest";
import { STANDARDS } from "../docs/conformance.ts";

const SOURCES = import.meta.glob<string>(["./*.test.ts", "./*/*.test.ts", "./*/*/*.test.ts"], {
  query: "?raw",
  import: "default",
  eager: true,
});

test.each(STANDARDS)("the tests of $name exist", ({ rules }) => {
  for (const { rule, tests, notCovered } of rules) {
    expect(tests === undefined, rule).toBe(notCovered !== undefined);
    for (const each of tests ?? []) {
      const [file = "", ...title] = each.split(": ");
      const source = SOURCES[`./${file}.test.ts`] ?? "";
      const quoted = ['"', "`"].map((quote) => `${quote}${title.join(": ")}${quote}`);
      expect(
        quoted.filter((text) => source.includes(text)),
        each,
      ).not.toEqual([]);
    }
  }
});
