import { expect, test } from "vitest";
import benchmark from "../bench/results/latest.md?raw";
import faults from "../docs/faults.md?raw";
import settings from "../docs/settings.md?raw";
import readme from "../README.md?raw";

const firstTable = (page: string) => /(?:^\|.*\n)+/m.exec(page)?.[0] ?? "no table";

test.each([
  ["settings", settings],
  ["faults", faults],
  ["figures of the latest benchmark", benchmark],
])("the README's table of %s is that of its page", (_, page) => {
  expect(readme).toContain(firstTable(page));
});
