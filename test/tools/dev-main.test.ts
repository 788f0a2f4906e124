// `npm run dev` as a black box: what its lines do, and that nothing is left of it, however it ends.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { listenOnLoopback } from "../../dev/loopback.ts";

const ROOT = `${import.meta.dirname}/../..`;
const COMMAND = "npm run --silent dev -- --port 0 --sql-port 0 --issuer-port 0".split(" ");

test("the lines that it prints work, and Ctrl-C leaves nothing behind", async () => {
  const dev = startDev();
  await dev.waitFor("docs/writing-runs.md");
  const lines = (start: string) => dev.output().match(new RegExp(`^${start} .*$`, "gm")) ?? [];
  const [url = "", token = "", , asStranger = "", asAdmin = ""] = lines("export");
  const [read = "", wait = "", finish = ""] = lines("curl");
  const paste = async (...pasted: string[]): Promise<unknown> =>
    JSON.parse((await promisify(execFile)("sh", ["-c", pasted.join("\n").replaceAll("curl ", "curl -sS ")])).stdout);
  expect(await paste(url, token, read)).toMatchObject({ owner_id: "owner" });
  expect(await paste(url, asStranger, read)).toMatchObject({ code: "run_not_found" });
  expect(await paste(url, asAdmin, read)).toMatchObject({ owner_id: "owner" });
  const waiting = paste(url, token, wait);
  expect(await Promise.race([waiting, sleep(1_000, "waiting")])).toBe("waiting");
  expect(await paste(finish)).toMatchObject({ rowCount: 1 });
  expect(await waiting).toMatchObject({ status: "completed", result: expect.stringContaining("Finished") });
  expect(dev.output()).not.toMatch(/postgresql:/);

  expect(dev.findProcess("workerd")).toBeDefined();
  dev.signal("SIGINT");
  // The shell between npm and Node may die of the signal, too: the exit code depends on the shell.
  await dev.exitCode;
  expect(dev.output()).toMatch(/\nstopping\nstopped\n$/);
  await dev.expectNothingLeft();
});

test("a SIGTERM during the start ends what had started", async () => {
  const dev = startDev();
  await dev.waitFor("starting: Worker");
  await expect.poll(() => dev.findProcess("wrangler-dist"), { timeout: 10_000 }).toBeDefined();
  dev.signal("SIGTERM");
  await dev.exitCode;
  await dev.expectNothingLeft();
  expect(dev.output()).not.toMatch(/Error|    at /);
});

test("if wrangler dies, all ends with an error", async () => {
  const dev = startDev();
  await dev.waitFor("Ctrl-C ends everything");
  process.kill(dev.findProcess("wrangler-dist") ?? expect.fail("there is no wrangler"), "SIGKILL");
  expect(await dev.exitCode).toBe(1);
  expect(dev.output()).toMatch(/wrangler dev ended by itself/);
  await dev.expectNothingLeft();
});

test("a taken port is one line and an exit code of 1, before anything starts", async () => {
  const { url, close } = await listenOnLoopback(createServer());
  onTestFinished(close);
  const { port } = new URL(url);
  const dev = startDev("--port", port);
  expect(await dev.exitCode).toBe(1);
  expect(dev.output()).toMatch(new RegExp(`^starting.*\nport ${port} is taken; choose another with --port.*\n$`));
});

/** In a separate process group, which gets the signals, like a terminal's foreground job. */
function startDev(...flags: string[]) {
  // All its processes inherit this.
  const mark = `STARTED_BY=${crypto.randomUUID()}`;
  const child = spawn("env", [mark, ...COMMAND, ...flags], { cwd: ROOT, detached: true });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const exitCode = once(child, "close").then(([code]: (number | null)[]) => code);
  const signal = (name: NodeJS.Signals) => process.kill(-(child.pid ?? 0), name);
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) signal("SIGTERM");
    await exitCode;
  });
  /** The id of a process of it whose command contains the word. */
  const findProcess = (word: string): number | undefined =>
    readdirSync("/proc")
      .map(Number)
      .find((pid) => contains(`/proc/${pid}/environ`, mark) && contains(`/proc/${pid}/cmdline`, word));
  return {
    output: () => output,
    exitCode,
    signal,
    findProcess,
    waitFor: (text: string) => expect.poll(() => output, { timeout: 50_000 }).toContain(text),
    expectNothingLeft: () => expect.poll(() => findProcess(""), { timeout: 5_000 }).toBeUndefined(),
  };
}

/** False for a file that can't be read, such as that of a process which has ended meanwhile. */
function contains(path: string, text: string): boolean {
  try {
    return readFileSync(path, "utf8").includes(text);
  } catch {
    return false;
  }
}
