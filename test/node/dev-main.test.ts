// `npm run dev` as a black box: what it prints, what its lines do, and that nothing is left of it.
// Runs in Node (node --test test/node/*.test.ts), which the other tests, inside workerd, could not: it starts processes.

import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const execute = promisify(execFile);
const root = fileURLToPath(new URL("../..", import.meta.url));
const freePorts = ["--port", "0", "--sql-port", "0", "--issuer-port", "0"];
const limits = { timeout: 60_000 };

test("the first curl line reads a run, and Ctrl-C leaves nothing behind", limits, async () => {
  const before = await readGitStatus();
  await using dev = startDev(freePorts);
  await dev.waitFor("Ctrl-C ends everything");
  await dev.waitFor("client_credentials");
  const [own, foreign, admin] = dev.output().match(/^curl .*$/gm) ?? [];

  const answer = await paste(own);
  assert.equal(answer.status, 200);
  const run = JSON.parse(answer.body);
  assert.equal(run.owner_id, "owner");
  assert.equal(run.status, "completed");
  assert.match(dev.output(), new RegExp(`^${run.id} `, "m"));
  assert.equal((await paste(foreign)).status, 404);
  assert.equal(JSON.parse((await paste(admin)).body).owner_id, "stranger");

  const processes = await listDescendants(dev.process);
  assert.ok(
    processes.some(({ command }) => command.includes("workerd")),
    "workerd is among its processes",
  );
  assert.ok(!processes.some(({ command }) => command.includes("postgres")), "no process shows a connection string");
  dev.signal("SIGINT");
  assert.equal(await dev.exitCode, 0);
  assert.deepEqual(await waitUntilGone(processes), []);
  assert.equal(await readGitStatus(), before);
});

for (const [moment, text] of [
  ["while the database starts", "database"],
  ["while the Worker starts", "Worker"],
] as const) {
  test(`a SIGTERM ${moment} ends what had started`, limits, async () => {
    await using dev = startDev(freePorts);
    await dev.waitFor(text);
    await sleep(400);
    const processes = await listDescendants(dev.process);
    dev.signal("SIGTERM");
    await dev.exitCode;
    assert.deepEqual(await waitUntilGone(processes), []);
    assert.doesNotMatch(dev.output(), /Error|    at /);
  });
}

test("when wrangler dies, all ends with an error", limits, async () => {
  await using dev = startDev(freePorts);
  await dev.waitFor("Ctrl-C ends everything");
  const processes = await listDescendants(dev.process);
  const wrangler = processes.find(({ command }) => command.includes("wrangler-dist"));
  assert.ok(wrangler !== undefined);
  process.kill(wrangler.pid, "SIGKILL");
  assert.equal(await dev.exitCode, 1);
  assert.match(dev.output(), /wrangler dev ended by itself/);
  assert.deepEqual(await waitUntilGone(processes), []);
});

for (const [flag, user] of [
  ["--port", "the Worker"],
  ["--sql-port", "the SQL endpoint"],
  ["--issuer-port", "the authorization server"],
] as const) {
  test(`a taken ${flag} is one message that names it`, limits, async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    await using dev = startDev([...freePorts, flag, String(address.port)]);
    assert.equal(await dev.exitCode, 1);
    assert.ok(
      dev
        .output()
        .includes(`port ${address.port} is taken, and ${user} wants it; choose another: npm run dev -- ${flag} N\n`),
    );
    server.close();
  });
}

test("an unknown flag and a port that is none are refused", limits, async () => {
  await using unknown = startDev(["--prot", "1"]);
  assert.equal(await unknown.exitCode, 1);
  assert.match(unknown.output(), /Unknown option '--prot'; npm run dev -- --help lists/);
  await using wrong = startDev(["--port", "65536"]);
  assert.equal(await wrong.exitCode, 1);
  assert.match(wrong.output(), /--port .* wants a port from 0 to 65535, not "65536"/);
});

type Process = { pid: number; parent: number; command: string };

/** In a process group of its own, which gets the signals: so does a terminal's foreground job. */
function startDev(flags: string[]) {
  const child = spawn("npm", ["run", "--silent", "dev", "--", ...flags], { cwd: root, detached: true });
  const chunks: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => chunks.push(chunk));
  }
  const output = () => chunks.join("");
  const exitCode = new Promise<number | null>((resolve) => child.once("close", resolve));
  let hasEnded = false;
  void exitCode.then(() => (hasEnded = true));
  const signal = (name: NodeJS.Signals) => process.kill(-(child.pid ?? 0), name);
  return {
    process: child,
    output,
    exitCode,
    signal,
    async waitFor(text: string): Promise<void> {
      while (!output().includes(text)) {
        assert.ok(!hasEnded, `ended before it said "${text}":\n${output()}`);
        await sleep(20);
      }
    },
    async [Symbol.asyncDispose]() {
      if (!hasEnded) signal("SIGTERM");
      await exitCode;
    },
  };
}

async function paste(line: string | undefined): Promise<{ status: number; body: string }> {
  assert.ok(line !== undefined);
  const { stdout } = await execute("sh", ["-c", `${line} -w '\\n%{http_code}'`]);
  const [, body = "", status] = /^(.*)\n(\d{3})$/s.exec(stdout) ?? [];
  return { status: Number(status), body };
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
  const { stdout } = await execute("git", ["status", "--porcelain"], { cwd: root });
  return stdout;
}
