// docs/faults.md and the suites agree: each line of the table is shown by a test, and no test shows a line that is not there
// (expectAsDocumented sees to that).
import { expect, test } from "vitest";
import { FAULT_TABLE } from "./support/fault-table.ts";

const SOURCES = Object.values(
  import.meta.glob<string>(["./*.test.ts", "./*/*.test.ts", "./*/*/*.test.ts"], {
    query: "?raw",
    import: "default",
    eager: true,
  }),
);

test.each(FAULT_TABLE)("a test shows: $fault", ({ fault, client, log, lasts }) => {
  expect(SOURCES.filter((text) => text.includes(`"${fault}"`))).not.toEqual([]);
  for (const cell of [client, log, lasts]) expect(cell).not.toBe("");
});

test("each fault has one line", () => {
  expect(new Set(FAULT_TABLE.map(({ fault }) => fault)).size).toBe(FAULT_TABLE.length);
});
