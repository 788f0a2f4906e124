// `npm run dev` as a black box: what its lines do, and that nothing is left of it, however it ends.
// Runs in Node: it starts processes, which the tests inside workerd cannot.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const execute = promisify(execFile);
const ROOT = `${import.meta.dirname}/../..`;
const FREE_PORTS = ["--port", "0", "--sql-port", "0", "--issuer-port", "0"];

interface Process {
  pid: number;
  parent: number;
  command: string;
}

test("the lines that it prints work, and Ctrl-C leaves nothing behind", async () => {
  const before = await readGitStatus();
  const dev = startDev(FREE_PORTS);
  await dev.waitFor("client_credentials");
  const find = (title: string) => new RegExp(`^${title}.*:\n(curl .*)$`, "m").exec(dev.output())?.[1] ?? "exit 9";
  const own = find("Read a run as its owner");
  expect(await paste(own)).toMatchObject({
    body: { owner_id: "owner" },
    report: expect.stringMatching(/^\n200, \d.* s\n$/),
  });
  const stranger = await paste(find("Get a 404 for it"));
  expect(stranger).toMatchObject({ body: { code: "run_not_found" }, report: expect.stringMatching(/^\n404, /) });
  expect(await paste(find("Read the stranger's run"))).toMatchObject({ body: { owner_id: "stranger" } });
  expect(await paste(find("A token lasts"))).toMatchObject({ body: { access_token: expect.any(String) } });

  const wait = paste(find("Wait for the pending run"));
  expect(await Promise.race([wait, sleep(1_000, "waiting")])).toBe("waiting");
  expect(await paste(find("Finish it meanwhile"))).toMatchObject({ body: { rowCount: 1 } });
  expect(await wait).toMatchObject({ body: { status: "completed", result: expect.stringContaining("Finished") } });

  const processes = await listDescendants(dev.process);
  expect(processes.some(({ command }) => command.includes("workerd"))).toBe(true);
  expect(processes.filter(({ command }) => command.includes("postgres"))).toEqual([]);
  dev.signal("SIGINT");
  // The shell between npm and Node may die of the signal, too: the exit code depends on the shell.
  await dev.exitCode;
  expect(dev.output()).toMatch(/\nstopping\nstopped\n$/);
  expect(await waitUntilGone(processes)).toEqual([]);
  expect(await readGitStatus()).toBe(before);
  expect((await paste(own)).report).toMatch(/^curl: .*\n[^]*\nNo response: is npm run dev still running\?\n$/);
});

test("a SIGTERM during the start ends what had started", async () => {
  const stopDuring = async (step: string) => {
    const dev = startDev(FREE_PORTS);
    await dev.waitFor(`starting: ${step}`);
    await sleep(400);
    const processes = await listDescendants(dev.process);
    dev.signal("SIGTERM");
    await dev.exitCode;
    expect(await waitUntilGone(processes)).toEqual([]);
    expect(dev.output()).not.toMatch(/Error|    at /);
  };
  await Promise.all([stopDuring("database"), stopDuring("Worker")]);
});

test("when wrangler dies, all ends with an error", async () => {
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

test("what it cannot start with is one message and an exit code of 1", async () => {
  const server = createServer().listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  for (const [flags, message] of [
    [
      ["--port", `${port}`],
      `starting: database, SQL endpoint, authorization server\nport ${port} is taken; choose another with --port, --sql-port or --issuer-port: npm run dev -- --help`,
    ],
    [["--issuer-port", "65536"], `--issuer-port must be a port from 0 to 65535, not "65536"`],
    [["--prot", "1"], "Unknown option '--prot'; npm run dev -- --help lists the options"],
  ] as const) {
    const dev = startDev([...FREE_PORTS, ...flags]);
    expect(await dev.exitCode).toBe(1);
    expect(dev.output()).toBe(`${message}\n`);
  }
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

/** Returns the output of a pasted line: the body, parsed if there is one, and the text on standard error. */
async function paste(line: string): Promise<{ body: unknown; report: string }> {
  const { stdout, stderr } = await execute("sh", ["-c", line]);
  expect(stdout, "the body and nothing else").not.toMatch(/\n$/);
  return { body: stdout === "" ? undefined : JSON.parse(stdout), report: stderr };
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

async function readGitStatus(): Promise<string> {
  const { stdout } = await execute("git", ["status", "--porcelain"], { cwd: ROOT });
  return stdout;
}
