// Each documented fault is shown by a test. The other way round, the compiler refuses a test of a fault that is not documented.
import { expect, test } from "vitest";
import { FAULTS } from "../docs/faults.ts";

const SOURCES = Object.values(
  import.meta.glob<string>(["./*.test.ts", "./*/*.test.ts", "./*/*/*.test.ts"], {
    query: "?raw",
    import: "default",
    eager: true,
  }),
);

test.each(Object.keys(FAULTS))("a test shows the fault %s", (name) => {
  expect(SOURCES.filter((text) => text.includes("expectFault") && text.includes(`"${name}"`))).not.toEqual([]);
});
