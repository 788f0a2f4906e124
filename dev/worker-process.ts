// `wrangler dev` as a child process: no telemetry, no check for updates, no hotkeys, its state in a temporary folder, and no
// child of it alive after `stop()`. Reads no settings from files: the caller gives them all, and decides when to stop.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { stripVTControlCharacters } from "node:util";
import { QUIET_ENVIRONMENT, ROOT_DIRECTORY, WRANGLER_SCRIPT } from "./wrangler.ts";

interface WorkerProcess {
  url: string;
  /** Rejects when the process ends by itself; never resolves. */
  ended: Promise<never>;
  /** Ends the process and all its children. */
  stop(): Promise<void>;
}

interface WorkerProcessOptions {
  port: number;
  /** The Worker's settings. */
  variables: Record<string, string>;
  /** Gets each line that the Worker logs and each error or warning of wrangler's, without colours. */
  log: (line: string) => void;
  /** Aborts the start. */
  signal: AbortSignal;
}

/** A failure whose message is enough, without a stack trace. */
export class PlainFailure extends Error {}

const READY_TIMEOUT_SECONDS = 60;
const STOP_TIMEOUT_SECONDS = 3;
/** After its first error, wrangler usually waits for an edit of the sources. */
const ERROR_GRACE_SECONDS = 2;
/** The cause comes first; dumps of wrangler's innards follow. */
const MAX_SHOWN_LINES = 40;
/** Distinguishes the log lines of the start from the user's. */
const START_REQUEST_ID = "npm-run-dev-start";
/** A line of the Worker's log, an error or warning of wrangler's, or its continuation. */
const WORTH_SHOWING = /^(\{|[✘▲] | +\S)/;
/** On Windows only a whole tree of processes can be ended, and only while its root is alive. */
const HAS_NO_PROCESS_GROUPS = process.platform === "win32";
/** Hides the reason of a start that failed. */
const NOISE = /^(Using secrets|Your Worker has access|Binding  |env\.|$)/;

/**
 * Starts the Worker and waits until it responds. Throws PlainFailure with wrangler's output if the Worker ends, fails or doesn't
 * respond within a minute.
 */
export async function startWorkerProcess(options: WorkerProcessOptions): Promise<WorkerProcess> {
  const directory = await mkdtemp(join(tmpdir(), "crew-run-reader-"));
  const child = await spawnWrangler(options, directory);
  const { promise: ended, reject: fail } = Promise.withResolvers<never>();
  ended.catch(() => {});
  const closed = once(child, "close").then(
    ([code, signal]) => fail(new PlainFailure(`wrangler dev ended by itself (${signal ?? `code ${code}`})`)),
    fail,
  );
  const clean = () => {
    killAll(child);
    rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  };
  process.once("exit", clean);
  const stop = async () => {
    if (HAS_NO_PROCESS_GROUPS) killAll(child);
    else if (child.exitCode === null) child.kill("SIGTERM");
    await Promise.race([closed, sleep(STOP_TIMEOUT_SECONDS * 1000, undefined, { ref: false })]);
    process.off("exit", clean);
    clean();
  };
  const failAfter = (seconds: number) =>
    setTimeout(() => fail(new PlainFailure(`no good response within ${seconds} seconds`)), seconds * 1000);

  const startLines: string[] = [];
  const timers = [failAfter(READY_TIMEOUT_SECONDS)];
  let take = (line: string) => {
    startLines.push(line);
    if (/\[(ERROR|wrangler:error)\]/.test(line)) timers.push(failAfter(ERROR_GRACE_SECONDS));
  };
  for (const input of [child.stdout, child.stderr]) {
    createInterface({ input }).on("line", (line) => take(cleanLine(line)));
  }
  const show = (line: string) => {
    if (WORTH_SHOWING.test(line) && !line.includes(START_REQUEST_ID)) options.log(line);
  };

  const url = `http://127.0.0.1:${options.port}`;
  const giveUp = new AbortController();
  try {
    await Promise.race([waitForResponse(`${url}/health`, AbortSignal.any([options.signal, giveUp.signal])), ended]);
  } catch (error) {
    await stop();
    options.signal.throwIfAborted();
    const reason = error instanceof Error ? error.message : String(error);
    const output = startLines.filter((line) => !NOISE.test(line)).slice(0, MAX_SHOWN_LINES);
    throw new PlainFailure([`the Worker did not start: ${reason}`, ...output].join("\n"), { cause: error });
  } finally {
    giveUp.abort();
    for (const timer of timers) clearTimeout(timer);
  }
  for (const line of startLines) show(line);
  take = show;
  return { url, ended, stop };
}

async function spawnWrangler({ port, variables }: WorkerProcessOptions, directory: string) {
  // Every user can read arguments in the list of processes, so the secret is in the environment, which wrangler prefers to files.
  // With a file named here it reads no other.
  const { DATABASE_URL, ...others } = variables;
  const emptyFile = join(directory, "empty.env");
  await writeFile(emptyFile, "");
  const args = [
    WRANGLER_SCRIPT,
    "dev",
    "--ip=127.0.0.1",
    `--port=${port}`,
    // Otherwise the Worker would see the domain of wrangler.toml's `routes` as its own address.
    `--local-upstream=127.0.0.1:${port}`,
    `--persist-to=${directory}`,
    `--env-file=${emptyFile}`,
    // Any free one: two that start at once would both choose the same.
    "--inspector-port=0",
    "--show-interactive-dev-session=false",
    ...Object.entries(others).flatMap(([name, value]) => ["--var", `${name}:${value}`]),
  ];
  return spawn(process.execPath, args, {
    cwd: ROOT_DIRECTORY,
    // A separate process group: Ctrl-C reaches this process alone, and the whole group can be ended at once.
    detached: !HAS_NO_PROCESS_GROUPS,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      ...process.env,
      ...QUIET_ENVIRONMENT,
      // The Worker's lines are part of it.
      WRANGLER_LOG: "log",
      DATABASE_URL,
      CLOUDFLARE_CF_FETCH_ENABLED: "false",
      // Its temporary files go with the folder.
      TMPDIR: directory,
      TEMP: directory,
      WRANGLER_REGISTRY_PATH: join(directory, "registry"),
      X_LOCAL_EXPLORER: "false",
      X_LOCAL_OBSERVABILITY: "false",
    },
  });
}

async function waitForResponse(url: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    const response = await fetch(url, { headers: { "x-request-id": START_REQUEST_ID }, signal }).catch(() => undefined);
    await response?.body?.cancel();
    if (response !== undefined && response.status < 500) return;
    await sleep(response === undefined ? 50 : 500, undefined, { signal });
  }
}

/** Without colours, and without wrangler's decoration of lines that the Worker writes by console.error. */
function cleanLine(line: string): string {
  return stripVTControlCharacters(line)
    .trimEnd()
    .replace(/^[✘▲] \[(ERROR|WARNING)\] (?=\{)/, "");
}

/** Ends wrangler and all its children at once. */
function killAll({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  if (HAS_NO_PROCESS_GROUPS) {
    spawnSync("taskkill", ["/pid", `${pid}`, "/t", "/f"], { stdio: "ignore" });
    return;
  }
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
