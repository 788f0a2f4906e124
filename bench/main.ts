// `npm run bench`: measures part after part, prints a table, and writes it and a picture of it to bench/results. With the names of
// parts it measures only those and writes nothing. Exits with 0 if the measuring worked, whether or not the targets are met.
import { execFileSync } from "node:child_process";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { cpus, release } from "node:os";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { ROOT_DIRECTORY } from "../dev/wrangler.ts";
import { readPackages } from "./bundle.ts";
import { cpu } from "./cpu.ts";
import { crowd } from "./crowd.ts";
import { findWrk } from "./load.ts";
import { startBenchStack } from "./bench-stack.ts";
import type { Options, Part } from "./part.ts";
import { drawPicture } from "./picture.ts";
import { makeProgress } from "./progress.ts";
import { type Line, formatTable } from "./report.ts";
import { startUp } from "./start-up.ts";
import { statement } from "./statement.ts";
import { trips } from "./trips.ts";

const PARTS: Record<string, Part> = { trips, statement, crowd, cpu, start: startUp };
const RESULTS = join(ROOT_DIRECTORY, "bench/results");
/** What an interrupted run has measured: for `--resume`. */
const UNFINISHED = join(ROOT_DIRECTORY, "dist/bench.json");
const SETUP_SECONDS = 20;
/** A part that takes longer hangs. */
const LIMIT_FACTOR = 5;

const USAGE = `npm run bench -- [PART…] [OPTION…]

Without a part, measures all and writes bench/results/latest.md and latest.svg.

${Object.entries(PARTS)
  .map(([name, part]) => `  ${name.padEnd(18)}${part.describe}`)
  .join("\n")}

  --wrk             loads warm Workers with wrk, too
  --against TREE    measures the CPU time of another source tree's Worker, too: a folder or a commit; may be repeated
  --quick           a fifth of the rounds; writes nothing
  --resume          doesn't repeat the parts that an interrupted run of the same commit and options has measured
  --help            prints this
`;

interface Run {
  names: string[];
  options: Options;
  isResumed: boolean;
  /** The programs, and their versions. */
  description: string;
}

class UsageError extends Error {}

async function readRun(args: string[]): Promise<Run | undefined> {
  const flag = { type: "boolean", default: false } as const;
  const options = {
    wrk: flag,
    against: { type: "string", multiple: true, default: [] as string[] },
    quick: flag,
    resume: flag,
    help: flag,
  } as const;
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
  if (values.help) return undefined;
  const unknown = positionals.find((name) => !(name in PARTS));
  if (unknown !== undefined) throw new UsageError(`There is no part ${unknown}.`);
  const wrk = values.wrk ? await findWrk() : undefined;
  if (values.wrk && wrk === undefined) throw new UsageError("wrk isn't installed.");
  const { against, quick: isQuick, resume: isResumed } = values;
  return {
    names: Object.keys(PARTS).filter((name) => positionals.length === 0 || positionals.includes(name)),
    options: { isQuick, against, clients: wrk === undefined ? ["autocannon"] : ["autocannon", "wrk"] },
    isResumed,
    description: await describeRun(wrk, against),
  };
}

async function describeRun(wrk: string | undefined, against: readonly string[]): Promise<string> {
  const packages = await readPackages(ROOT_DIRECTORY, ["workerd"]);
  const versions = [`Node ${process.version}`, ...(wrk === undefined ? [] : [wrk]), packages].join(", ");
  const machine = `${cpus().length} × ${cpus()[0]?.model.trim() ?? "unknown processor"}, Linux ${release().split("-")[0]}`;
  const compared = against.map((source) => `, next to ${basename(source)}`).join("");
  return `Commit ${readCommit()}${compared}. ${machine}. ${versions}.`;
}

function readCommit(): string {
  const git = (...args: string[]) => execFileSync("git", args, { cwd: ROOT_DIRECTORY, encoding: "utf8" }).trim();
  try {
    const commit = git("rev-parse", "--short", "HEAD");
    return git("status", "--porcelain", "--", "src") === "" ? commit : `${commit} with changes`;
  } catch {
    return "unknown";
  }
}

async function measure({ names, options, isResumed, description }: Run): Promise<Line[]> {
  const key = JSON.stringify([description, options]);
  const kept = isResumed ? await readUnfinished(key) : {};
  const parts = Object.entries(PARTS).filter(([name]) => names.includes(name) && !(name in kept));
  const { stderr } = process;
  const progress = makeProgress(
    [
      { name: "setup", seconds: SETUP_SECONDS },
      ...parts.map(([name, part]) => ({ name, seconds: part.seconds(options) })),
    ],
    {
      isTerminal: stderr.isTTY,
      write: (text) => stderr.write(text),
      readSeconds: () => performance.now() / 1_000,
    },
  );
  progress.begin();
  const stack = await startBenchStack(options.against);
  for (const [name, part] of parts) {
    const advance = progress.begin();
    const limit = setTimeout(() => fail(`${name} hangs`), LIMIT_FACTOR * part.seconds(options) * 1_000);
    kept[name] = await part.measure(stack, options, advance);
    clearTimeout(limit);
    await mkdir(join(UNFINISHED, ".."), { recursive: true });
    await writeFile(UNFINISHED, JSON.stringify({ key, kept }));
  }
  progress.end();
  await stack.close();
  return names.flatMap((name) => kept[name] ?? []);
}

async function readUnfinished(key: string): Promise<Record<string, Line[]>> {
  const text = await readFile(UNFINISHED, "utf8").catch(() => "{}");
  const { key: found, kept = {} } = JSON.parse(text) as { key?: string; kept?: Record<string, Line[]> };
  if (found === key) return kept;
  throw new UsageError("There is no interrupted run of this commit with these options.");
}

async function writeResults(lines: readonly Line[], description: string): Promise<void> {
  const made = `${new Date().toISOString().slice(0, 10)}. ${description} Made with \`npm run bench\`; [what the figures mean](../README.md).`;
  await writeFile(join(RESULTS, "latest.md"), `# Benchmark\n\n${formatTable(lines)}\n\n${made}\n`);
  await writeFile(join(RESULTS, "latest.svg"), drawPicture(lines.flatMap(({ row }) => row ?? [])));
  await rm(UNFINISHED, { force: true });
}

function fail(error: unknown): never {
  console.error(error);
  process.exit(1);
}

try {
  const run = await readRun(process.argv.slice(2));
  if (run === undefined) console.log(USAGE);
  else {
    const lines = await measure(run);
    console.log(formatTable(lines));
    const isWhole = run.names.length === Object.keys(PARTS).length && !run.options.isQuick;
    if (isWhole) await writeResults(lines, run.description);
  }
  process.exit(0);
} catch (error) {
  const isMisuse = error instanceof UsageError || (error as NodeJS.ErrnoException).code?.startsWith("ERR_PARSE_ARGS");
  fail(isMisuse ? `${(error as Error).message}\nnpm run bench -- --help prints what can be chosen.` : error);
}
