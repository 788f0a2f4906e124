// The alerts of operations.md: recipes for the Query Builder of Workers Logs, in its own words. The table is generated from this data,
// and a test evaluates each recipe on the log lines of the incident that it is for.
import alerts from "./data/alerts.json" with { type: "json" };
import { formatTable } from "./generated.ts";

/** A field of the log line, an operator of the Query Builder, and a value unless the operator needs none. */
export type Condition = [key: string, operator: string, value?: string | number];

export interface Alert {
  title: string;
  /** All of them must be met. */
  filter: Condition[];
  /** Of the lines that meet the filter. */
  calculation: "Count" | "P99";
  /** For P99. */
  field?: string;
  /** The count is a share of the lines that meet these conditions, in percent. */
  of?: Condition[];
  groupBy?: string;
  /** The alert fires at this value or above. */
  threshold: number;
  /** With fewer lines, a share or a percentile says nothing. */
  minimum?: number;
  windowMinutes: number;
  /** What to do first. */
  first: string;
  /** What the alert can't detect. */
  misses: string;
}

export type AlertName = keyof typeof alerts;

export const ALERTS = alerts as unknown as Record<AlertName, Alert>;

export function tabulateAlerts(): string {
  const rows = Object.values(ALERTS).map((alert) => [
    alert.title,
    describe(alert.filter),
    describeCalculation(alert),
    `${alert.windowMinutes} min`,
    alert.first,
    alert.misses,
  ]);
  return formatTable(["alert", "filter", "fires if", "window", "what to do first", "what it can't detect"], rows);
}

const describe = (conditions: Condition[]) =>
  conditions.map(([key, ...rest]) => [`\`${key}\``, ...formatValue(rest)].join(" ")).join(" and ");

const formatValue = ([operator, value]: (string | number | undefined)[]) =>
  value === undefined ? [operator] : [operator, `\`${value}\``];

function describeCalculation({ calculation, field, of, groupBy, threshold, minimum }: Alert): string {
  const result = of ? `Count is at least ${threshold} % of the lines with ${describe(of)}` : undefined;
  const enough = minimum === undefined ? "" : `, of at least ${minimum}`;
  const group = groupBy === undefined ? "" : `; Group By \`${groupBy}\``;
  const name = field === undefined ? calculation : `${calculation} of \`${field}\``;
  return `${result ?? `${name} ≥ ${threshold.toLocaleString("en")}`}${enough}${group}`;
}
