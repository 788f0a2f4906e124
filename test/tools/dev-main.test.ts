// `npm run dev` as a black box: what its lines do, and that nothing is left of it, however it ends.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";

const execute = promisify(execFile);
const ROOT = `${import.meta.dirname}/../..`;
const FREE_PORTS = ["--port", "0", "--sql-port", "0", "--issuer-port", "0"];

interface Process {
  pid: number;
  parent: number;
  command: string;
}

test("the lines that it prints work, and Ctrl-C leaves nothing behind", async () => {
  const dev = startDev(FREE_PORTS);
  await dev.waitFor("docs/writing-runs.md");
  const lines = (start: string) =>
    dev
      .output()
      .split("\n")
      .filter((line) => line.startsWith(start));
  const [url = "", token = "", , asStranger = "", asAdmin = ""] = lines("export ");
  const [read = "", wait = "", finish = ""] = lines("curl ");
  const paste = async (...pasted: string[]): Promise<unknown> =>
    JSON.parse((await execute("sh", ["-c", pasted.join("\n").replaceAll("curl ", "curl -sS ")])).stdout);
  expect(await paste(url, token, read)).toMatchObject({ owner_id: "owner" });
  expect(await paste(url, asStranger, read)).toMatchObject({ code: "run_not_found" });
  expect(await paste(url, asAdmin, read)).toMatchObject({ owner_id: "owner" });
  const waiting = paste(url, token, wait);
  expect(await Promise.race([waiting, sleep(1_000, "waiting")])).toBe("waiting");
  expect(await paste(finish)).toMatchObject({ rowCount: 1 });
  expect(await waiting).toMatchObject({ status: "completed", result: expect.stringContaining("Finished") });
  expect(dev.output()).not.toMatch(/postgresql:/);

  const processes = await listDescendants(dev.process);
  expect(processes.some(({ command }) => command.includes("workerd"))).toBe(true);
  dev.signal("SIGINT");
  // The shell between npm and Node may die of the signal, too: the exit code depends on the shell.
  await dev.exitCode;
  expect(dev.output()).toMatch(/\nstopping\nstopped\n$/);
  expect(await waitUntilGone(processes)).toEqual([]);
});

test("a SIGTERM during the start ends what had started", async () => {
  const dev = startDev(FREE_PORTS);
  await dev.waitFor("starting: Worker");
  await sleep(400);
  const processes = await listDescendants(dev.process);
  dev.signal("SIGTERM");
  await dev.exitCode;
  expect(await waitUntilGone(processes)).toEqual([]);
  expect(dev.output()).not.toMatch(/Error|    at /);
});

test("if wrangler dies, all ends with an error", async () => {
  const dev = startDev(FREE_PORTS);
  await dev.waitFor("Ctrl-C ends everything");
  const processes = await listDescendants(dev.process);
  const wrangler = processes.find(({ command }) => command.includes("wrangler-dist"));
  if (wrangler === undefined) throw new Error("wrangler is not among the processes");
  process.kill(wrangler.pid, "SIGKILL");
  expect(await dev.exitCode).toBe(1);
  expect(dev.output()).toMatch(/wrangler dev ended by itself/);
  expect(await waitUntilGone(processes)).toEqual([]);
});

test("a taken port is one line and an exit code of 1, before anything starts", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const dev = startDev([...FREE_PORTS, "--port", `${port}`]);
  expect(await dev.exitCode).toBe(1);
  expect(dev.output()).toMatch(new RegExp(`^starting.*\nport ${port} is taken; choose another with --port.*\n$`));
});

/** In a separate process group, which gets the signals, like a terminal's foreground job. */
function startDev(flags: string[]) {
  const child = spawn("npm", ["run", "--silent", "dev", "--", ...flags], { cwd: ROOT, detached: true });
  const chunks: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => chunks.push(chunk));
  }
  const output = () => chunks.join("");
  let hasEnded = false;
  const exitCode = once(child, "close").then(([code]: (number | null)[]) => {
    hasEnded = true;
    return code;
  });
  const signal = (name: NodeJS.Signals) => process.kill(-(child.pid ?? 0), name);
  onTestFinished(async () => {
    if (!hasEnded) signal("SIGTERM");
    await exitCode;
  });
  return {
    process: child,
    output,
    exitCode,
    signal,
    async waitFor(text: string): Promise<void> {
      while (!output().includes(text)) {
        if (hasEnded) throw new Error(`it ended without the line "${text}":\n${output()}`);
        await sleep(20);
      }
    },
  };
}

async function listProcesses(): Promise<Process[]> {
  const { stdout } = await execute("ps", ["-A", "-o", "pid=,ppid=,stat=,args="]);
  const processes = [];
  for (const [, pid, parent, command] of stdout.matchAll(/^ *(\d+) +(\d+) +[^Z\s]+ +(.*)$/gm)) {
    processes.push({ pid: Number(pid), parent: Number(parent), command: String(command) });
  }
  return processes;
}

async function listDescendants(child: ChildProcess): Promise<Process[]> {
  const all = await listProcesses();
  const found = all.filter(({ pid }) => pid === child.pid);
  for (const parent of found) found.push(...all.filter(({ parent: pid }) => pid === parent.pid));
  return found;
}

async function waitUntilGone(processes: Process[]): Promise<Process[]> {
  let left = processes;
  for (let attempt = 0; attempt < 20 && left.length > 0; attempt++) {
    await sleep(50);
    const alive = new Map((await listProcesses()).map(({ pid, command }) => [pid, command]));
    left = left.filter(({ pid, command }) => alive.get(pid) === command);
  }
  return left;
}
