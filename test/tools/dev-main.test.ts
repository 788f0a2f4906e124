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
const FREE_PORTS = ["--port", "0", "--sql-port", "0", "--issuer-port", "0"];

test("the lines that it prints work, and Ctrl-C leaves nothing behind", async () => {
  const dev = startDev(FREE_PORTS);
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
  const dev = startDev(FREE_PORTS);
  await dev.waitFor("starting: Worker");
  await expect.poll(() => dev.findProcess("wrangler-dist"), { timeout: 10_000 }).toBeDefined();
  dev.signal("SIGTERM");
  await dev.exitCode;
  await dev.expectNothingLeft();
  expect(dev.output()).not.toMatch(/Error|    at /);
});

test("if wrangler dies, all ends with an error", async () => {
  const dev = startDev(FREE_PORTS);
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
  const dev = startDev([...FREE_PORTS, "--port", `${port}`]);
  expect(await dev.exitCode).toBe(1);
  expect(dev.output()).toMatch(new RegExp(`^starting.*\nport ${port} is taken; choose another with --port.*\n$`));
});

/** In a separate process group, which gets the signals, like a terminal's foreground job. */
function startDev(flags: string[]) {
  // All its processes inherit this.
  const mark = `STARTED_BY=${crypto.randomUUID()}`;
  const [name = "", value] = mark.split("=");
  const options = { cwd: ROOT, detached: true, env: { ...process.env, [name]: value } };
  const child = spawn("npm", ["run", "--silent", "dev", "--", ...flags], options);
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
  }
  let hasEnded = false;
  const exitCode = once(child, "close").then(([code]: (number | null)[]) => {
    hasEnded = true;
    return code;
  });
  const signal = (signalName: NodeJS.Signals) => process.kill(-(child.pid ?? 0), signalName);
  onTestFinished(async () => {
    if (!hasEnded) signal("SIGTERM");
    await exitCode;
  });
  /** The id of a process of it whose command contains the word. */
  const findProcess = (word: string): number | undefined =>
    readdirSync("/proc")
      .map(Number)
      .find((pid) => {
        try {
          const isOwn = pid > 0 && readFileSync(`/proc/${pid}/environ`, "utf8").includes(mark);
          return isOwn && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(word);
        } catch {
          return false;
        }
      });
  return {
    output: () => output,
    exitCode,
    signal,
    findProcess,
    expectNothingLeft: () => expect.poll(() => findProcess(""), { timeout: 5_000 }).toBeUndefined(),
    async waitFor(text: string): Promise<void> {
      while (!output.includes(text)) {
        if (hasEnded) throw new Error(`it ended without the line "${text}":\n${output}`);
        await sleep(20);
      }
    },
  };
}
