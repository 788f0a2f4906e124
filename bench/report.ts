// The results as Markdown: the same text on the terminal and in bench/results/latest.md. Formats, measures nothing.

import type { EndToEnd } from "./end-to-end.ts";
import type { GrowthSeries, ManyResult } from "./growth.ts";
import type { RequestResult } from "./requests.ts";
import type { Calls, StartUp, UpstreamCalls } from "./start-up.ts";
import type { Spread } from "./statistics.ts";

export type Results = {
  machine: string;
  date: string;
  versions: string;
  commit: string;
  requests: RequestResult[];
  bundle?: { workerBytes: number; tutorialBytes: number };
  startUp?: StartUp;
  upstreamCalls?: { worker: UpstreamCalls; tutorial: UpstreamCalls };
  growth: GrowthSeries[];
  manyRuns?: ManyResult[];
  manyTokens?: ManyResult[];
  endToEnd?: EndToEnd;
};

/** The targets that are not of a request. */
export const targets = {
  bundleKilobytes: { target: 80, aim: 72 },
  startUp: { target: 0.6, aim: 0.5 },
  upstreamCalls: "0 / 1 / 1",
};

export const toKilobytes = (bytes: number): number => bytes / 1024;

const number = (value: number, digits: number): string => value.toFixed(digits);
const range = ({ median, min, max }: Spread): string =>
  `**${number(median, 2)}** (${number(min, 2)}–${number(max, 2)})`;

function judge(value: number, { target, aim }: { target: number; aim?: number }): string {
  if (value > target) return "missed";
  return aim === undefined || value <= aim ? "met" : "met, aim not yet";
}

const limitOf = ({ target, aim }: { target: number; aim?: number }): string =>
  aim === undefined ? `≤ ${target}` : `≤ ${target}, then ${aim}`;

const sum = ({ sql, keySet }: Calls): number => sql + keySet;
const formatCalls = ({ kept, other, cold }: UpstreamCalls): string => [kept, other, cold].map(sum).join(" / ");

/** Columns are padded as the formatter does it, so that the written file passes its check. */
function table(head: string[], rows: string[][]): string {
  const widths = head.map((cell, column) => Math.max(3, ...[head, ...rows].map((row) => (row[column] ?? cell).length)));
  const line = (cells: string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}

function formatTargets(results: Results): string {
  const limits = {
    memory: "the same bytes from memory, by a bare hono route",
    forward: "one subrequest, its text forwarded",
  };
  const rows = results.requests.map(({ requestCase, ratio, tutorialRatio }) => [
    requestCase.title,
    limits[requestCase.limit],
    limitOf(requestCase),
    range(ratio),
    judge(ratio.median, requestCase),
    number(tutorialRatio.median, 2),
  ]);
  if (results.bundle) {
    const { workerBytes, tutorialBytes } = results.bundle;
    const kilobytes = toKilobytes(workerBytes);
    rows.push([
      "bundle, gzip, minified",
      "",
      `≤ ${targets.bundleKilobytes.target} KB, then ${targets.bundleKilobytes.aim}`,
      `**${number(kilobytes, 1)} KB**`,
      judge(kilobytes, targets.bundleKilobytes),
      `${number(toKilobytes(tutorialBytes), 1)} KB`,
    ]);
  }
  if (results.startUp) {
    const { ratio, workerMilliseconds, tutorialMilliseconds } = results.startUp;
    rows.push([
      "CPU at start, above an empty Worker",
      "the tutorial",
      limitOf(targets.startUp),
      `${range(ratio)}; ${number(workerMilliseconds, 0)} ms`,
      judge(ratio.median, targets.startUp),
      `1; ${number(tutorialMilliseconds, 0)} ms`,
    ]);
  }
  if (results.upstreamCalls) {
    const calls = formatCalls(results.upstreamCalls.worker);
    rows.push([
      "upstream calls: kept run / other run / cold isolate with a shared key set",
      "",
      targets.upstreamCalls,
      `**${calls}**`,
      calls === targets.upstreamCalls ? "met" : "missed",
      formatCalls(results.upstreamCalls.tutorial),
    ]);
  }
  return table(["request", "against", "target", "measured, median (min–max)", "verdict", "tutorial"], rows);
}

function formatCosts(results: readonly RequestResult[]): string {
  const rows = results.flatMap(({ requestCase, costs }) =>
    costs.map(({ name, cost }) => [
      requestCase.title,
      name,
      number(cost.cpuMicroseconds, 0),
      number(cost.requestsPerSecond, 0),
      number(cost.p50Milliseconds, 2),
      number(cost.p99Milliseconds, 2),
    ]),
  );
  return table(["request", "Worker", "CPU µs", "requests/s", "p50 ms", "p99 ms"], rows);
}

function formatGrowth({ title, points }: GrowthSeries): string {
  const rows = points.map(({ label, kept, unfinished }) => [
    label,
    ...[kept, unfinished].flatMap(({ cost, ratio }) => [
      number(cost.cpuMicroseconds, 0),
      number(ratio.median, 2),
      number(cost.requestsPerSecond, 0),
      `${number(cost.p50Milliseconds, 2)} / ${number(cost.p99Milliseconds, 2)}`,
    ]),
  ]);
  return table(
    [
      title,
      "kept: CPU µs",
      "× memory",
      "requests/s",
      "p50 / p99 ms",
      "unfinished, polled: CPU µs",
      "× forward",
      "requests/s",
      "p50 / p99 ms",
    ],
    rows,
  );
}

const formatMany = (title: string, results: readonly ManyResult[]): string =>
  table(
    [title, "CPU µs", "× memory, median (min–max)", "isolate MB"],
    results.map(({ label, cpuMicroseconds, ratio, megabytes }) => [
      label,
      number(cpuMicroseconds, 0),
      range(ratio),
      number(megabytes, 0),
    ]),
  );

function formatStartUp(startUp: StartUp): string {
  return table(
    ["CPU ms at start, above an empty Worker", "this Worker", "tutorial", "ratio, median (min–max)"],
    [
      [
        "to the first answer (a 401)",
        number(startUp.workerMilliseconds, 1),
        number(startUp.tutorialMilliseconds, 1),
        range(startUp.ratio),
      ],
      [
        "to the first run that is read",
        number(startUp.workerFirstRunMilliseconds, 1),
        number(startUp.tutorialFirstRunMilliseconds, 1),
        range(startUp.firstRunRatio),
      ],
    ],
  );
}

/** The whole report. Parts that were not measured are left out. */
export function formatResults(results: Results): string {
  const { machine, date, versions, commit } = results;
  const parts = [
    "# Benchmark: close to the limit",
    `${date}, commit ${commit}. ${machine}. ${versions}. Made by \`npm run bench\`.`,
    `CPU time of workerd per request, all its threads, user and system, as the system counts it. A ratio is made within a round, in which the Workers are loaded in turn; shown are the median of the rounds and the extremes. All Workers are bundled by \`wrangler deploy --dry-run --minify\` and run under bare workerd, with the upstream and the load in processes of their own.`,
    "## Targets",
    formatTargets(results),
  ];
  if (results.requests.length > 0) parts.push("## Cost of a request", formatCosts(results.requests));
  if (results.startUp) parts.push("## Start", formatStartUp(results.startUp));
  if (results.growth.length > 0 || results.manyRuns || results.manyTokens) {
    parts.push(
      "## How cost grows",
      "From 1 MB on, moving the bytes through the loopback interface outweighs what a Worker does with a kept run, and takes one of two values a factor of three apart: the ratio to memory says little there.",
      ...results.growth.map(formatGrowth),
    );
  }
  if (results.manyRuns) parts.push(formatMany("kept runs", results.manyRuns));
  if (results.manyTokens) parts.push(formatMany("tokens", results.manyTokens));
  if (results.endToEnd) {
    const rows = results.endToEnd.map(({ title, p50Milliseconds, p99Milliseconds }) => [
      title,
      number(p50Milliseconds, 2),
      number(p99Milliseconds, 2),
    ]);
    parts.push(
      "## End to end, with Postgres (PGlite)",
      "One request at a time. The database's own time is in it; PGlite is slower than a server.",
      table(["request", "p50 ms", "p99 ms"], rows),
    );
  }
  return `${parts.join("\n\n")}\n`;
}
