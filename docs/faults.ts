// Every fault: the response, the log line, how long it lasts. The table in troubleshooting.md is generated from this data, and the
// test that shows a fault takes its expectations from it.
import faults from "./data/faults.json" with { type: "json" };

export interface DocumentedFault {
  fault: string;
  status: number;
  code?: string;
  /** Each response header contains this value. */
  headers?: Record<string, string>;
  /** Each member of the log line contains this value. */
  log: Record<string, string>;
  /** What else the members contain, in words. */
  logNote?: string;
  lasts: string;
}

export type FaultName = keyof typeof FAULTS;

export const FAULTS = faults satisfies Record<string, DocumentedFault>;

/** The table, as Markdown. */
export function tabulateFaults(): string {
  const rows = Object.values<DocumentedFault>(FAULTS).map(
    ({ fault, status, code, headers = {}, log, logNote, lasts }) => {
      const client = [
        [status, code].filter(Boolean).join(" "),
        ...Object.entries(headers).map((header) => header.join(": ")),
      ];
      const members = Object.entries(log).map((member) => member.join("="));
      const quote = (words: string[]) => words.map((word) => `\`${word.trim()}\``).join(" ");
      return [fault, quote(client), [quote(members), logNote].filter(Boolean).join(" and "), lasts];
    },
  );
  const table = [["fault", "response", "log", "how long"], ["---", "---", "---", "---"], ...rows];
  return table.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
