// `npm run test:mutants [-- WORD]`: applies each small harmful change of mutants.ts to a copy of the project and runs the tests
// that should notice it, then all of `npm test` if they don't. WORD chooses the changes whose file or text contains it. Lists each
// change that no test notices, or only tests that its row doesn't name; and each run without a verdict: one that took too long,
// failed only because tests timed out, or failed before a test.
// `--check` only checks that each change still applies, once, and that its tests exist.
import { existsSync } from "node:fs";
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type TestModule, type TestSpecification, type Vitest, createVitest } from "vitest/node";
import { MUTANTS } from "./mutants.ts";

const ROOT = join(import.meta.dirname, "../..");
const LEFT_OUT = /\/(node_modules|\.git|\.wrangler|dist|bench)(\/|$)/;
/** For a machine that does other work, too. */
const TIMEOUT_MS = 900_000;
const OPTIONS = { watch: false, project: ["workerd", "node"], reporters: [{}] };

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
} else if (!isCheck) {
  await runAll();
  // vitest may leave something behind that keeps the process running.
  process.exit();
}

async function runAll(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "mutants-"));
  try {
    await cp(ROOT, directory, { recursive: true, filter: (path) => !LEFT_OUT.test(path.slice(ROOT.length)) });
    await symlink(join(ROOT, "node_modules"), join(directory, "node_modules"));
    process.chdir(directory);
    process.env["WRANGLER_LOG"] = "none";
    await tryAll(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function tryAll(directory: string): Promise<void> {
  let vitest = await createVitest("test", OPTIONS);
  const unchanged = await judge(vitest, namedPaths);
  if (unchanged.verdict !== "passed") throw new Error(`the tests fail without a change: ${unchanged.detail}`);
  console.log(`${namedPaths.length} test files pass without a change`);

  const listed: string[] = [];
  const startedMs = Date.now();
  for (const [index, [file, from, to, tests]] of chosen.entries()) {
    const path = join(directory, file);
    const source = await readFile(path, "utf8");
    // What isn't a module is read only once, when vitest starts.
    const isModule = file.startsWith("src/");
    const renew = async () => {
      if (isModule) return vitest.invalidateFile(path);
      await vitest.close();
      vitest = await createVitest("test", OPTIONS);
    };
    await writeFile(
      path,
      source.replace(from, () => to),
    );
    await renew();
    const named = await judge(vitest, pathsOf(tests));
    const all = named.verdict === "passed" ? await judge(vitest) : undefined;
    await writeFile(path, source);
    await renew();

    const outcome = describe(named.verdict, all?.verdict);
    const change = `${file}: ${from.trim()} → ${to.trim()}`;
    if (outcome !== "noticed") listed.push(`${outcome}: ${change}\n  ${all?.detail ?? named.detail}`);
    const done = index + 1;
    const leftMinutes = (((Date.now() - startedMs) / done) * (chosen.length - done)) / 60_000;
    console.log(`${done}/${chosen.length}, ${Math.ceil(leftMinutes)} min left: ${outcome}: ${change}`);
    if (all?.verdict === "unknown" || named.verdict === "unknown") {
      void vitest.close();
      vitest = await createVitest("test", OPTIONS);
    }
  }
  await vitest.close();
  console.log(`\n${chosen.length - listed.length} of ${chosen.length} changes were noticed by the tests named`);
  if (listed.length > 0) {
    console.log(`\n${listed.join("\n")}`);
    process.exitCode = 1;
  }
}

function describe(named: Verdict, all: Verdict | undefined): string {
  if (named === "failed") return "noticed";
  if (all === "passed") return "SURVIVED";
  return all === "failed" ? "NOTICED BY OTHERS" : "NO VERDICT";
}

type Verdict = "passed" | "failed" | "unknown";

interface Result {
  verdict: Verdict;
  /** Which tests failed, or why there is no verdict. */
  detail: string;
}

/** Runs these test files one by one, up to the first that fails; without any, all at once. */
async function judge(vitest: Vitest, paths?: string[]): Promise<Result> {
  if (paths === undefined) return judgeRun(vitest, await vitest.globTestSpecifications());
  let result: Result = { verdict: "unknown", detail: "no test file" };
  for (const path of paths) {
    const files = await vitest.globTestSpecifications([path]);
    result = await judgeRun(
      vitest,
      files.filter(({ moduleId }) => moduleId.endsWith(`/${path}`)),
    );
    if (result.verdict !== "passed") break;
  }
  return result;
}

/** A test that only took too long doesn't count as failed. */
async function judgeRun(vitest: Vitest, files: TestSpecification[]): Promise<Result> {
  // vitest keeps the results of earlier runs.
  vitest.state.filesMap.clear();
  for (const { moduleId } of files) vitest.invalidateFile(moduleId);
  const run = vitest.runTestSpecifications(files, true).then(({ testModules }) => testModules);
  const modules = await Promise.race([run, sleep(TIMEOUT_MS)]);
  if (modules === undefined) return { verdict: "unknown", detail: `took more than ${TIMEOUT_MS} ms` };
  if (files.length > 0 && modules.length === files.length && modules.every(hasPassed)) {
    return { verdict: "passed", detail: "" };
  }
  const failed = modules.flatMap(({ children }) => [...children.allTests("failed")]);
  const message = (errors: readonly { message: string }[] = []) => errors.map((error) => error.message).join();
  const real = failed.filter((test) => !message(test.result().errors).includes("timed out in"));
  const detail = (real.length > 0 ? real : failed).map(({ fullName }) => fullName);
  detail.push(...modules.map((module) => message(module.errors())).filter(Boolean));
  if (real.length === 0) detail.unshift("no test failed, except by time");
  return { verdict: real.length > 0 ? "failed" : "unknown", detail: detail.join("; ").slice(0, 500) };
}

/** Not if its tests didn't run. */
function hasPassed(module: TestModule): boolean {
  const tests = [...module.children.allTests()];
  return module.state() === "passed" && tests.some((test) => test.result().state === "passed");
}
