// `npm run test:mutants [-- WORD]`: applies each small harmful change of mutants.ts to a copy of the project and runs the tests
// that should notice it, then all others if they don't. WORD chooses the changes whose file or text contains it. A change that
// no test notices, or that only tests notice which its row doesn't name, is listed; so is a run without a verdict: one that took
// too long, failed only because tests timed out, or failed before a test.
// `--check` only checks that each change still applies, once, and that its tests exist.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MUTANTS } from "./mutants.ts";

const ROOT = join(import.meta.dirname, "../..");
const LEFT_OUT = /\/(node_modules|\.git|\.wrangler|dist|bench)(\/|$)/;
/** For a machine that does other work, too. */
const NAMED_TIMEOUT_MS = 300_000;
const ALL_TIMEOUT_MS = 1_200_000;

const word = process.argv[2] ?? "";
const isCheck = word === "--check";
const chosen = MUTANTS.filter(([file, from]) => isCheck || file.includes(word) || from.includes(word));

const pathsOf = (tests: string) => tests.split(" ").map((name) => `test/${name}.test.ts`);
const namedPaths = [...new Set(chosen.flatMap(([, , , tests]) => pathsOf(tests)))];

const problems = namedPaths.filter((path) => !existsSync(join(ROOT, path))).map((path) => `${path} doesn't exist`);
for (const [file, from, to] of chosen) {
  const source = await readFile(join(ROOT, file), "utf8").catch(() => "");
  const occurrences = source.split(from).length - 1;
  if (occurrences !== 1) problems.push(`${file}: ${JSON.stringify(from)} occurs ${occurrences} times, not once`);
  if (from === to) problems.push(`${file}: ${JSON.stringify(from)} isn't changed`);
}
if (chosen.length === 0) problems.push(`no change is in a file or text with ${word}`);
if (problems.length > 0) {
  console.error(`${problems.join("\n")}\nCorrect or remove these rows of test/mutants/mutants.ts.`);
  process.exitCode = 1;
} else if (!isCheck) await runAll();

async function runAll(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "mutants-"));
  try {
    await cp(ROOT, directory, { recursive: true, filter: (path) => !LEFT_OUT.test(path.slice(ROOT.length)) });
    await symlink(join(ROOT, "node_modules"), join(directory, "node_modules"));

    const unchanged = await judge(directory, namedPaths, ALL_TIMEOUT_MS);
    if (unchanged.verdict !== "passed") throw new Error(`the tests fail without a change: ${unchanged.detail}`);
    console.log(`${namedPaths.length} test files pass without a change`);

    const listed: string[] = [];
    const startedMs = Date.now();
    for (const [index, [file, from, to, tests]] of chosen.entries()) {
      const path = join(directory, file);
      const source = await readFile(path, "utf8");
      await writeFile(
        path,
        source.replace(from, () => to),
      );
      const named = await judge(directory, pathsOf(tests), NAMED_TIMEOUT_MS);
      const all = named.verdict === "passed" ? await judge(directory, [], ALL_TIMEOUT_MS) : undefined;
      await writeFile(path, source);
      const outcome = describe(named.verdict, all?.verdict);
      const change = `${file}: ${from.trim()} → ${to.trim()}`;
      if (outcome !== "noticed") listed.push(`${outcome}: ${change}\n  ${all?.detail ?? named.detail}`);
      const done = index + 1;
      const leftMinutes = (((Date.now() - startedMs) / done) * (chosen.length - done)) / 60_000;
      console.log(`${done}/${chosen.length}, ${Math.ceil(leftMinutes)} min left: ${outcome}: ${change}`);
    }
    console.log(`\n${chosen.length - listed.length} of ${chosen.length} changes were noticed by the tests named`);
    if (listed.length > 0) {
      console.log(`\n${listed.join("\n")}`);
      process.exitCode = 1;
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function describe(named: Verdict, all: Verdict | undefined): string {
  if (named === "failed") return "noticed";
  if (all === "passed") return "SURVIVED";
  return all === "failed" ? "NOTICED BY OTHERS" : "NO VERDICT";
}

type Verdict = "passed" | "failed" | "unknown";

interface Report {
  testResults: {
    name: string;
    message: string;
    assertionResults: { status: string; fullName: string; failureMessages: string[] }[];
  }[];
}

/** Runs test files; without any, those of `npm test`. A test that only took too long doesn't count as failed. */
async function judge(directory: string, paths: readonly string[], timeout: number) {
  const reportPath = join(directory, "report.json");
  await rm(reportPath, { force: true });
  const tests = paths.length > 0 ? paths : ["--project=workerd", "--project=node"];
  const options = ["run", "--bail=1", "--reporter=json", `--outputFile.json=${reportPath}`, ...tests];
  const { status } = spawnSync(process.execPath, ["node_modules/vitest/vitest.mjs", ...options], {
    cwd: directory,
    stdio: "ignore",
    timeout,
  });
  if (status === 0) return { verdict: "passed" as Verdict, detail: "" };
  if (status === null) return { verdict: "unknown" as Verdict, detail: `took more than ${timeout} ms` };
  const report = JSON.parse(await readFile(reportPath, "utf8").catch(() => '{"testResults":[]}')) as Report;
  const failed = report.testResults.flatMap(({ assertionResults }) =>
    assertionResults.filter((result) => result.status === "failed"),
  );
  const real = failed.filter(({ failureMessages }) => !failureMessages.join().includes("timed out in"));
  const messages = report.testResults.map(({ name, message }) => message && `${name}: ${message}`).filter(Boolean);
  const details = [...(real.length > 0 ? real : failed).map(({ fullName }) => fullName), ...messages];
  const detail = `${real.length === 0 ? "no test failed, except by time: " : ""}${details.join("; ")}`;
  return { verdict: (real.length > 0 ? "failed" : "unknown") as Verdict, detail: detail.slice(0, 500) };
}
