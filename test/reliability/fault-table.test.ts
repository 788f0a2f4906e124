// docs/faults.md and the suites agree: each line of the table is shown by a test, and no test shows a line that is not there
// (expectAsDocumented sees to that).
import { expect, test } from "vitest";
import { faultTable } from "./fault-table.ts";

const sources = import.meta.glob<string>(["./*.test.ts", "../auth/*.test.ts", "../crew-runs/*.test.ts"], {
  query: "?raw",
  import: "default",
  eager: true,
});

test.each(faultTable)("a test shows: $fault", ({ fault }) => {
  const shown = Object.values(sources).filter((text) => text.includes(`"${fault}"`));
  expect(shown).not.toEqual([]);
});

test("each fault has one line, with all its cells", () => {
  expect(new Set(faultTable.map(({ fault }) => fault)).size).toBe(faultTable.length);
  for (const { client, log, lasts } of faultTable) {
    for (const cell of [client, log, lasts]) expect(cell).not.toBe("");
  }
});
