// The benchmark's command line, its progress, its verdicts and its picture. What it measures is left to a run.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { drawPicture } from "../../bench/picture.ts";
import { makeProgress } from "../../bench/progress.ts";
import { describeRatio, formatTable } from "../../bench/report.ts";

const MAIN = fileURLToPath(new URL("../../bench/main.ts", import.meta.url));

function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [MAIN, ...args], (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    );
  });
}

test("--help lists the parts and the options", async () => {
  const { code, stdout, stderr } = await run("cpu", "--help");
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  for (const name of ["trips", "statement", "crowd", "cpu", "start", "--wrk", "--against TREE", "--resume"]) {
    expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"));
  }
});

test.each([
  { args: ["cpus"], message: "There is no part cpus." },
  { args: ["--against"], message: "Option '--against <value>' argument missing" },
])("$args is explained without a stack trace, and the exit code is 1", async ({ args, message }) => {
  const { code, stdout, stderr } = await run(...args);
  expect({ code, stdout, stderr }).toEqual({
    code: 1,
    stdout: "",
    stderr: `${message}\nnpm run bench -- --help prints what can be chosen.\n`,
  });
});

describe("progress", () => {
  function follow(isTerminal: boolean): string {
    let text = "";
    let seconds = 0;
    const steps = [
      { name: "setup", seconds: 20 },
      { name: "cpu", seconds: 100 },
    ];
    const write = (more: string) => (text += more);
    const { begin, end } = makeProgress(steps, { isTerminal, write, readSeconds: () => seconds });
    begin();
    seconds = 30;
    const advance = begin();
    // Twice as slow as estimated.
    seconds = 130;
    advance(0.5);
    end();
    return text;
  }

  test("is one line for each step, with the time that is left", () => {
    expect(follow(false)).toBe("1/2 setup: 2 min 0 s left\n2/2 cpu: 1 min 40 s left\n");
  });

  test("is one line that changes on a terminal, by the step's own pace", () => {
    expect(follow(true).split("\r\u001B[2K")).toEqual([
      "",
      "1/2 setup, 0 %: 2 min 0 s left",
      "2/2 cpu, 0 %: 1 min 40 s left",
      "2/2 cpu, 50 %: 1 min 40 s left",
      "",
    ]);
  });
});

test.each([
  { target: 3, verdict: "met" },
  { target: 2, verdict: "undecided" },
  { target: 1, verdict: "missed" },
  { target: undefined, verdict: "" },
])("ratios around 2 with the target $target: $verdict", ({ target, verdict }) => {
  const format = (cost: number) => `${cost} µs`;
  const line = describeRatio("reads", { own: [18, 20, 40, 22], base: [10, 10, 10, 10], format, target });
  expect(line.verdict).toBe(verdict);
  expect(line.measured).toBe("**2.10** (1.95–2.65); 21 µs of 10 µs");
  expect(formatTable([line])).toContain(target === undefined ? "| reads |" : `| ≤ ${target} `);
});

test("the picture says each figure as text, and marks a target", () => {
  const rows = [
    { panel: "trips", label: "read again", own: 0, minimal: 1, target: 0 },
    { panel: "warm", label: "a <large> run", own: 78.4, minimal: 300, target: undefined },
  ] as const;
  const picture = drawPicture(rows);
  expect(picture).toContain("read again: 0 and 1, target at most 0.");
  expect(picture).toContain("a &lt;large&gt; run: 78 µs and 300 µs.");
  for (const text of ["0", "1", "78 µs", "300 µs"])
    expect(picture).toMatch(new RegExp(`<text class="value"[^>]*>${text}</text>`));
  // One in the legend, and one in the row that has a target.
  expect(picture.match(/class="target"/g)).toHaveLength(2);
  expect(picture).toContain("prefers-color-scheme: dark");
});
