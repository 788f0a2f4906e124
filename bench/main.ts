// `npm run bench`: builds the bundles, starts everything that is needed, measures part after part, prints the report
// and writes it to bench/results. Exits with 0 when the measuring worked, whatever it found: targets are judged in the
// report. See README.md in this folder.

import { execFileSync } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { cpus, release } from "node:os";
import { parseArgs } from "node:util";
import { projectDirectory } from "./bundle.ts";
import { drawChart } from "./chart.ts";
import { measureEndToEnd } from "./end-to-end.ts";
import { measureGrowth, measureManyRuns, measureManyTokens, type SeriesName } from "./growth.ts";
import type { Effort } from "./measure.ts";
import { profileCase } from "./profile.ts";
import { formatResults, type Results } from "./report.ts";
import { measureRequests, requestCases } from "./requests.ts";
import { setStage, type Stage } from "./stage.ts";
import { countUpstreamCalls, measureStartUp } from "./start-up.ts";
import { readWorkerdVersion } from "./workerd.ts";

const seriesNames: readonly SeriesName[] = ["sizes", "agents", "connections"];
const caseNames = requestCases.map(({ name }) => name);
const partNames = [...caseNames, "bundle", "start", "calls", ...seriesNames, "runs", "tokens", "end-to-end"];

const usage = `npm run bench -- [options]

  --quick          a short run for working, about 1.5 minutes; prints, writes nothing
  --only NAME      one part, or several with commas; prints, writes nothing
                   ${partNames.join(" ")}
  --worker PATH    measures another Worker: a folder with a wrangler.toml, a finished bundle's folder, or its one file;
                   prints, writes nothing
  --profile CASE   a CPU profile of a request instead: ${caseNames.join(" ")};
                   CASE@tutorial, CASE@memory or CASE@forward for the other Workers
`;

type Plan = {
  requests: Effort;
  growth: Effort;
  many: Effort;
  starts: number;
  /** Kept runs, and tokens. */
  crowd: number;
  endToEnd: { rounds: number; amount: number };
};

const fullPlan: Plan = {
  requests: { rounds: 41, sliceSeconds: 0.2, warmUpSeconds: 1.5 },
  growth: { rounds: 7, sliceSeconds: 0.15, warmUpSeconds: 0.5 },
  many: { rounds: 11, sliceSeconds: 0.25, warmUpSeconds: 0.7 },
  starts: 13,
  crowd: 10_000,
  endToEnd: { rounds: 3, amount: 300 },
};

const quickPlan: Plan = {
  requests: { rounds: 11, sliceSeconds: 0.1, warmUpSeconds: 0.7 },
  growth: { rounds: 2, sliceSeconds: 0.1, warmUpSeconds: 0.15 },
  many: { rounds: 3, sliceSeconds: 0.2, warmUpSeconds: 0.3 },
  starts: 5,
  crowd: 1_000,
  endToEnd: { rounds: 1, amount: 100 },
};

async function measure(stage: Stage, plan: Plan, isWanted: (part: string) => boolean): Promise<Results> {
  const say = (text: string): void => console.error(`… ${text}`);
  const results: Results = { ...(await describeRun()), requests: [], growth: [] };
  const { worker, tutorial } = stage.bundles;
  if (isWanted("bundle")) {
    results.bundle = { workerBytes: worker.gzipBytes, tutorialBytes: tutorial.gzipBytes };
  }
  if (isWanted("calls")) {
    say("upstream calls");
    results.upstreamCalls = {
      worker: await countUpstreamCalls(stage, "worker"),
      tutorial: await countUpstreamCalls(stage, "tutorial"),
    };
  }
  if (isWanted("start")) {
    say(`${plan.starts} starts of each Worker`);
    results.startUp = await measureStartUp(stage, plan.starts);
  }
  const cases = requestCases.filter(({ name }) => isWanted(name));
  if (cases.length > 0) {
    say(`requests: ${cases.map(({ name }) => name).join(", ")}`);
    results.requests = await measureRequests(stage, cases, plan.requests);
  }
  for (const series of seriesNames.filter(isWanted)) {
    say(`growth with ${series}`);
    results.growth.push(await measureGrowth(stage, series, plan.growth));
  }
  if (isWanted("runs")) {
    say("many kept runs");
    results.manyRuns = await measureManyRuns(stage, plan.crowd, plan.many);
  }
  if (isWanted("tokens")) {
    say("many tokens");
    results.manyTokens = await measureManyTokens(stage, plan.crowd, plan.many);
  }
  if (isWanted("end-to-end")) {
    say("end to end with Postgres");
    results.endToEnd = await measureEndToEnd(stage, plan.endToEnd.rounds, plan.endToEnd.amount);
  }
  return results;
}

async function describeRun(): Promise<Pick<Results, "machine" | "date" | "versions" | "commit">> {
  const manifest = JSON.parse(await readFile(`${projectDirectory}package.json`, "utf8")) as {
    dependencies: Record<string, string>;
  };
  const versions = Object.entries(manifest.dependencies).map((entry) => entry.join(" "));
  const [processor] = cpus();
  return {
    machine: `${cpus().length} × ${processor?.model ?? "unknown processor"}, Linux ${release().split(".", 2).join(".")}`,
    date: new Date().toISOString().slice(0, 10),
    versions: [`workerd ${await readWorkerdVersion()}`, `Node ${process.version}`, ...versions].join(", "),
    commit: readCommit(),
  };
}

function readCommit(): string {
  const git = (...args: string[]): string =>
    execFileSync("git", args, { cwd: projectDirectory, stdio: ["ignore", "pipe", "ignore"] })
      .toString()
      .trim();
  try {
    const commit = git("rev-parse", "--short", "HEAD");
    return git("status", "--porcelain", "--", "src") === "" ? commit : `${commit} with changes`;
  } catch {
    return "none";
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string" },
      worker: { type: "string" },
      profile: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(usage);
    return;
  }
  if (values.profile !== undefined) {
    await profileCase(values.profile, { workerPath: values.worker, seconds: values.quick ? 1.5 : 4 });
    return;
  }
  const only = values.only?.split(",");
  const unknown = only?.find((name) => !partNames.includes(name));
  if (unknown !== undefined) throw new Error(`no part ${unknown}: ${partNames.join(" ")}`);

  console.error("… bundles, upstream, database");
  const stage = await setStage({ workerPath: values.worker, minify: true });
  const plan = values.quick ? quickPlan : fullPlan;
  const results = await measure(stage, plan, (part) => only === undefined || only.includes(part));
  await stage.close();

  const report = formatResults(results);
  console.log(report);
  if (values.quick || only !== undefined || values.worker !== undefined) return;
  const directory = `${projectDirectory}bench/results`;
  await mkdir(directory, { recursive: true });
  await writeFile(`${directory}/latest.md`, report);
  await writeFile(`${directory}/latest.svg`, drawChart(results));
  console.error("written to bench/results/latest.md and latest.svg");
}

try {
  await main();
  process.exit(0);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
