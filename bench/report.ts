// The lines of the report, and their layout.
import { type Verdict, check, median, quantile } from "./statistics.ts";

export interface Line {
  what: string;
  target: string;
  measured: string;
  verdict: string;
}

/** A ratio from interleaved rounds: its median and the middle half of the rounds. */
export function describeRatio(what: string, ratios: readonly number[], target: number, aim?: number): Line {
  const [low, middle, high] = [quantile(ratios, 0.25), median(ratios), quantile(ratios, 0.75)];
  const verdict = check(ratios, target);
  return {
    what,
    target: `≤ ${target}${aim === undefined ? "" : `, aim ${aim}`}`,
    measured: `**${middle.toFixed(2)}** (${low.toFixed(2)}–${high.toFixed(2)})`,
    verdict: aim === undefined || verdict !== "met" ? verdict : `met, aim ${check(ratios, aim)}`,
  };
}

/** A count, or another number without a spread. */
export function describeCount(what: string, value: number, limit: number, details = ""): Line {
  const verdict: Verdict = value <= limit ? "met" : "missed";
  return { what, target: `≤ ${limit}`, measured: `**${value}**${details && `, ${details}`}`, verdict };
}

export function formatTable(lines: readonly Line[]): string {
  const rows = [
    ["what", "target", "measured", "verdict"],
    ...lines.map(({ what, target, measured, verdict }) => [what, target, measured, verdict]),
  ];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const written = rows.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`);
  return written.toSpliced(1, 0, `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`).join("\n");
}
