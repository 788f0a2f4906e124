// Every fault: the log line, the response, the cause and the remedy. The tables in troubleshooting.md are generated from this data,
// and the test that shows a fault takes its expectations from it.
import faults from "./data/faults.json" with { type: "json" };
import { formatTable } from "./generated.ts";

export interface DocumentedFault {
  /** The table that it belongs to. */
  where: string;
  status: number;
  code?: string;
  /** Each response header contains this value. */
  headers?: Record<string, string>;
  /** Each field of the log line contains this value. */
  log: Record<string, string>;
  /** What else the fields contain, in words. */
  logNote?: string;
  cause: string;
  /** What the operator does about it, if anything. */
  remedy?: string;
  /** How long it lasts, with the default settings. */
  lasts?: string;
}

export type FaultName = keyof typeof FAULTS;

export const FAULTS = faults satisfies Record<string, DocumentedFault>;

/** The tables as Markdown, by name. A column that is empty or the same in all rows is left out. */
export function tabulateFaults(): Record<string, string> {
  const tables: Record<string, string[][]> = {};
  for (const { where, ...fault } of Object.values<DocumentedFault>(FAULTS))
    (tables[where] ??= []).push(listCells(fault));
  return Object.fromEntries(Object.entries(tables).map(([where, rows]) => [`faults-${where}`, formatColumns(rows)]));
}

const HEADINGS = ["log", "response", "cause", "what to do", "how long"];

function listCells({ status, code, headers = {}, log, logNote, ...words }: Omit<DocumentedFault, "where">): string[] {
  const quote = (texts: string[]) => texts.map((text) => `\`${text.trim()}\``).join(" ");
  const fields = quote(Object.entries(log).map((field) => field.join("=")));
  const head = [
    [status, code].filter(Boolean).join(" "),
    ...Object.entries(headers).map((header) => header.join(": ")),
  ];
  return [
    [fields, logNote].filter(Boolean).join(" and "),
    quote(head),
    words.cause,
    words.remedy ?? "",
    words.lasts ?? "",
  ];
}

function formatColumns(rows: string[][]): string {
  const isShown = (_: string, column: number) => new Set(rows.map((cells) => cells[column])).size > 1;
  return formatTable(
    HEADINGS.filter(isShown),
    rows.map((cells) => cells.filter(isShown)),
  );
}
