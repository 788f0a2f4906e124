// The lines of the report: the text of the table, and the rows of the picture. Pure.
import { check, median, quantile } from "./statistics.ts";

export interface Line {
  what: string;
  measured: string;
  target: string;
  verdict: string;
  row?: Row;
}

/** What the picture shows of a line: in round trips, in microseconds (`warm`) or in milliseconds (`slow`). */
export interface Row {
  panel: "trips" | "warm" | "slow";
  label: string;
  own: number;
  minimal: number;
  target: number | undefined;
}

interface Comparison {
  /** What a ratio is made of: this Worker's costs, and those that they are compared with, one per round. */
  own: readonly number[];
  base: readonly number[];
  format: (cost: number) => string;
  /** The highest ratio that meets it. */
  target: number | undefined;
}

/** A ratio within each round: its median, the middle half of the rounds, and the median costs. */
export function describeRatio(what: string, { own, base, format, target }: Comparison): Line {
  const ratios = own.map((cost, round) => cost / (base[round] ?? Number.NaN));
  const [low, middle, high] = [0.25, 0.5, 0.75].map((fraction) => quantile(ratios, fraction).toFixed(2));
  return {
    what,
    measured: `**${middle}** (${low}–${high}); ${format(median(own))} of ${format(median(base))}`,
    target: target === undefined ? "" : `≤ ${target}`,
    verdict: target === undefined ? "" : check(ratios, target),
  };
}

/** A count, or another number without a spread. */
export function describeCount(what: string, value: number, limit?: number, details = ""): Line {
  const measured = `**${value}**${details && `; ${details}`}`;
  if (limit === undefined) return { what, measured, target: "", verdict: "" };
  return { what, measured, target: `≤ ${limit}`, verdict: value <= limit ? "met" : "missed" };
}

export function formatTable(lines: readonly Line[]): string {
  const rows = [
    ["what", "measured", "target", "verdict"],
    ...lines.map(({ what, measured, target, verdict }) => [what, measured, target, verdict]),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const written = rows.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`);
  return written.toSpliced(1, 0, `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`).join("\n");
}
