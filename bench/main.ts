// `npm run bench`: measures part after part, prints a table, and writes it to bench/results/latest.md. With the names of
// parts it measures those and writes nothing. Exits with 0 if the measuring worked, whether or not the targets are met.
import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { cpus, release } from "node:os";
import { measureCpu } from "./cpu.ts";
import { measureCrowd } from "./crowd.ts";
import { type LocalStack, startLocalStack } from "./local-stack.ts";
import { type Line, formatTable } from "./report.ts";
import { measureStartUp } from "./start-up.ts";
import { measureStatement } from "./statement.ts";
import { measureTrips } from "./trips.ts";

const PARTS: Record<string, (stack: LocalStack) => Promise<Line[]>> = {
  trips: measureTrips,
  statement: measureStatement,
  crowd: measureCrowd,
  cpu: measureCpu,
  start: measureStartUp,
};
const RESULTS = new URL("results/latest.md", import.meta.url);

async function describeRun(): Promise<string> {
  const manifest = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8")) as {
    dependencies: Record<string, string>;
  };
  const lock = JSON.parse(await readFile(new URL("../package-lock.json", import.meta.url), "utf8")) as {
    packages: Record<string, { version: string }>;
  };
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? "unknown processor"}, Linux ${release().split("-")[0]}`;
  const packages = Object.entries(manifest.dependencies).map((entry) => entry.join(" "));
  const versions = [
    `workerd ${lock.packages["node_modules/workerd"]?.version}`,
    `Node ${process.version}`,
    ...packages,
  ];
  return `${new Date().toISOString().slice(0, 10)}, commit ${readCommit()}. ${machine}. ${versions.join(", ")}.`;
}

function readCommit(): string {
  const cwd = new URL(".", import.meta.url);
  const git = (...args: string[]) => execFileSync("git", args, { cwd, encoding: "utf8" }).trim();
  try {
    const commit = git("rev-parse", "--short", "HEAD");
    return git("status", "--porcelain", "--", "../src") === "" ? commit : `${commit} with changes`;
  } catch {
    return "unknown";
  }
}

async function main(names: string[]): Promise<void> {
  const unknown = names.find((name) => !(name in PARTS));
  if (unknown !== undefined) throw new Error(`no part ${unknown}: ${Object.keys(PARTS).join(" ")}`);
  console.error("… bundle, database");
  const stack = await startLocalStack();
  const lines: Line[] = [];
  for (const [name, measure] of Object.entries(PARTS)) {
    if (names.length > 0 && !names.includes(name)) continue;
    console.error(`… ${name}`);
    lines.push(...(await measure(stack)));
  }
  await stack.close();
  const table = formatTable(lines);
  console.log(table);
  if (names.length > 0) return;
  await writeFile(RESULTS, `# Benchmark\n\n${table}\n\n${await describeRun()} Made by \`npm run bench\`.\n`);
}

try {
  await main(process.argv.slice(2));
  process.exit(0);
} catch (error) {
  console.error(error);
  process.exit(1);
}
