// `npm run test:mutants [-- WORD]`: applies each small harmful change of mutants.ts to a copy of the project and runs the tests
// that should notice it, then all of `npm test` if they don't. WORD chooses the changes whose file or text contains it. Lists each
// change that no test notices, or only tests that its row doesn't name; and each run without a verdict: one that took too long,
// failed only because tests timed out, or failed before a test.
// `--check` only checks that each change still applies, once, and that its tests exist.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { JsonTestResults } from "vitest/node";
import { MUTANTS } from "./mutants.ts";

const ROOT = join(import.meta.dirname, "../..");
const LEFT_OUT = /\/(node_modules|\.git|\.wrangler|dist|bench)(\/|$)/;
/** For a machine that does other work, too. */
const TIMEOUT_MS = 900_000;

const word = process.argv[2] ?? "";
const isCheck = word === "--check";
const chosen = Object.entries(MUTANTS)
  .flatMap(([file, rows]) => rows.map(([from, to, tests]) => ({ file, from, to, paths: pathsOf(tests) })))
  .filter(({ file, from }) => isCheck || file.includes(word) || from.includes(word));
const namedPaths = [...new Set(chosen.flatMap(({ paths }) => paths))];

const problems = findProblems();
if (problems.length > 0) {
  console.error(`${problems.join("\n")}\nCorrect or remove these rows of test/mutants/mutants.ts.`);
  process.exitCode = 1;
} else if (!isCheck) {
  const copy = mkdtempSync(join(tmpdir(), "mutants-"));
  try {
    cpSync(ROOT, copy, { recursive: true, filter: (path) => !LEFT_OUT.test(path.slice(ROOT.length)) });
    symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
    tryAll(copy);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function pathsOf(tests: string): string[] {
  return tests.split(" ").map((name) => `test/${name}.test.ts`);
}

function findProblems(): string[] {
  const found = namedPaths.filter((path) => !existsSync(join(ROOT, path))).map((path) => `${path} doesn't exist`);
  for (const { file, from, to } of chosen) {
    const occurrences = readFileSync(join(ROOT, file), "utf8").split(from).length - 1;
    if (occurrences !== 1) found.push(`${file}: ${JSON.stringify(from)} occurs ${occurrences} times, not once`);
    if (from === to) found.push(`${file}: ${JSON.stringify(from)} isn't changed`);
  }
  return chosen.length === 0 ? [`no change is in a file or text with ${word}`] : found;
}

function tryAll(copy: string): void {
  const unchanged = runTests(copy, namedPaths);
  if (unchanged.verdict !== "passed") throw new Error(`the tests fail without a change: ${unchanged.detail}`);
  const listed: string[] = [];
  const startedMs = Date.now();
  for (const [index, { file, from, to, paths }] of chosen.entries()) {
    const path = join(copy, file);
    const source = readFileSync(path, "utf8");
    writeFileSync(
      path,
      source.replace(from, () => to),
    );
    const named = runTests(copy, paths);
    const all = named.verdict === "passed" ? runTests(copy, []) : undefined;
    writeFileSync(path, source);
    const outcome = describe(named.verdict, all?.verdict);
    const line = `${outcome}: ${file}: ${from.trim()} → ${to.trim()}`;
    if (outcome !== "noticed") listed.push(`${line}\n  ${all?.detail ?? named.detail}`);
    const done = index + 1;
    const leftMinutes = Math.ceil(((Date.now() - startedMs) / 60_000 / done) * (chosen.length - done));
    console.log(`${done}/${chosen.length}, ${leftMinutes} min left: ${line}`);
  }
  console.log(`\n${chosen.length - listed.length} of ${chosen.length} changes were noticed by the tests named`);
  if (listed.length > 0) {
    console.log(`\n${listed.join("\n")}`);
    process.exitCode = 1;
  }
}

type Verdict = "passed" | "failed" | "unknown";

function describe(named: Verdict, all: Verdict | undefined): string {
  if (named === "failed") return "noticed";
  if (all === "passed") return "SURVIVED";
  return all === "failed" ? "NOTICED BY OTHERS" : "NO VERDICT";
}

/** Runs these test files, or all, up to the first failure. A test that only took too long doesn't count: then all are run. */
function runTests(copy: string, paths: readonly string[], bail = 1): { verdict: Verdict; detail: string } {
  const report = join(copy, "report.json");
  rmSync(report, { force: true });
  const words = ["--project=workerd", "--project=node", `--bail=${bail}`, "--reporter=json", `--outputFile=${report}`];
  const { status, stderr } = spawnSync(
    process.execPath,
    ["node_modules/vitest/vitest.mjs", "run", ...words, ...paths],
    {
      cwd: copy,
      env: { ...process.env, WRANGLER_LOG: "none" },
      encoding: "utf8",
      timeout: TIMEOUT_MS,
    },
  );
  if (status === 0) return { verdict: "passed", detail: "" };
  const results = existsSync(report) ? (JSON.parse(readFileSync(report, "utf8")) as JsonTestResults).testResults : [];
  const failed = results
    .flatMap(({ assertionResults }) => assertionResults)
    .filter(({ failureMessages }) => failureMessages?.some((message) => !message.includes("timed out in")));
  if (failed.length === 0 && bail > 0) return runTests(copy, paths, 0);
  const detail = failed.map(({ fullName }) => fullName).join("; ") || `no test failed, except by time: ${stderr}`;
  return { verdict: failed.length > 0 ? "failed" : "unknown", detail: detail.slice(0, 500) };
}
