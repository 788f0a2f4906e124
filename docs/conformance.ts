// Which rule of which RFC is shown by which test, and which rules are not covered. The tables of conformance.md are generated from
// this data; a test checks that each named test exists.
import standards from "./data/conformance.json" with { type: "json" };

interface Rule {
  section: string;
  rule: string;
  /** `FILE: TITLE`, the file without `test/` and `.test.ts`, the title as it is in the source. */
  tests?: string[];
  /** Why there is none. */
  notCovered?: string;
}

interface Standard {
  name: string;
  title: string;
  url: string;
  rules: Rule[];
}

export const STANDARDS: readonly Standard[] = standards;

/** The tables, as Markdown. */
export function tabulateConformance(): string {
  const sections = STANDARDS.map(({ name, title, url, rules }) => {
    const rows = rules.map(({ section, rule, tests, notCovered }) => {
      const shown = tests?.map(linkTest).join("<br>") ?? `**Not covered:** ${notCovered}`;
      return `| ${section} | ${rule} | ${shown} |`;
    });
    return [`## [${name}](${url}): ${title}`, "", "| section | rule | test |", "| --- | --- | --- |", ...rows].join(
      "\n",
    );
  });
  return sections.join("\n\n");
}

function linkTest(test: string): string {
  const [file = "", ...title] = test.split(": ");
  return `[${file}](../test/${file}.test.ts): ${title.join(": ").replaceAll("|", "\\|")}`;
}
