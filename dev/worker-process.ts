// `wrangler dev` as a child process that nobody has to clean up after: no telemetry, no look for updates, no network, no
// hotkeys, its settings and state in a folder of its own outside the checkout, no child of it alive after `stop()`.
// Leaves to the caller when to stop, and what to do with the lines that the Worker logs.

import { type ChildProcess, spawn } from "node:child_process";
import { rmSync } from "node:fs";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { stripVTControlCharacters } from "node:util";

export type WorkerProcess = {
  url: string;
  /** Rejects when the process ends by itself; never resolves. */
  ended: Promise<never>;
  /** Ends the process and all its children. */
  stop(): Promise<void>;
};

/** A failure that needs no stack trace to be understood. */
export class PlainFailure extends Error {}

const root = fileURLToPath(new URL("..", import.meta.url));
const wrangler = join(root, "node_modules/wrangler/bin/wrangler.js");
const readyTimeoutSeconds = 60;
const stopTimeoutSeconds = 3;
/** The cause comes first; dumps of wrangler's innards follow. */
const shownLinesLimit = 40;
/** By this the Worker's log lines of the requests at start-up are told from the user's. */
const startRequestId = "npm-run-dev-start";
/** After the first error that wrangler reports, it mostly waits for somebody to edit the sources. */
const errorGraceSeconds = 2;

/** What wrangler says of itself, and what the Worker logs of the requests at start-up. */
const noise = [
  /^(Using secrets|Your Worker has access|Binding  |env\.|⎔|\[wrangler:info\])/,
  /^(\[custom build\] Running|The file .* changed)/,
  /^ *(If you think this is a bug|Note that there is a newer version)/,
  new RegExp(`"level":"info".*"${startRequestId}"`),
];

/**
 * Starts the Worker and waits until it answers.
 * @param options.variables the Worker's settings; they come before what wrangler.toml says
 * @param options.log gets each line that the Worker logs and each error of wrangler's, without colours
 * @param options.signal gives the start up
 * @throws PlainFailure with wrangler's output when the Worker ends, fails or keeps silent for a minute
 */
export async function startWorkerProcess(options: {
  port: number;
  variables: Record<string, string>;
  log: (line: string) => void;
  signal: AbortSignal;
}): Promise<WorkerProcess> {
  const directory = await mkdtemp(join(tmpdir(), "crew-run-reader-"));
  const settingsFile = join(directory, "settings.env");
  await writeFile(settingsFile, formatSettings(options.variables), { mode: 0o600 });
  // Settings in a file, since arguments are for everybody to read in the list of processes.
  const fileArguments = ["--env-file", settingsFile, "--persist-to", directory];
  const portArguments = ["--ip", "127.0.0.1", "--port", String(options.port)];
  const child = spawn(
    process.execPath,
    [wrangler, "dev", ...portArguments, ...fileArguments, "--show-interactive-dev-session=false"],
    {
      cwd: root,
      // A process group of its own: Ctrl-C reaches this process alone, and the whole group can be ended at once.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        CLOUDFLARE_CF_FETCH_ENABLED: "false",
        DO_NOT_TRACK: "1",
        // Its temporary files go with the folder.
        TMPDIR: directory,
        WRANGLER_HIDE_BANNER: "true",
        WRANGLER_REGISTRY_PATH: join(directory, "registry"),
        WRANGLER_SEND_ERROR_REPORTS: "false",
        WRANGLER_SEND_METRICS: "false",
        WRANGLER_WRITE_LOGS: "false",
        X_LOCAL_EXPLORER: "false",
        X_LOCAL_OBSERVABILITY: "false",
      },
    },
  );
  const clean = () => {
    killGroup(child);
    rmSync(directory, { recursive: true, force: true });
  };
  process.once("exit", clean);
  const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const stop = async () => {
    if (child.exitCode === null) child.kill("SIGTERM");
    await Promise.race([exited, sleep(stopTimeoutSeconds * 1000, undefined, { ref: false })]);
    process.off("exit", clean);
    clean();
  };

  const url = `http://127.0.0.1:${options.port}`;
  const startLines: string[] = [];
  const errorSeen = Promise.withResolvers<void>();
  let log = (line: string) => {
    startLines.push(line);
    if (/\[(ERROR|wrangler:error)\]/.test(line)) errorSeen.resolve();
  };
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      const worth = pickWorthyLine(line);
      if (worth !== undefined) log(worth);
    });
  }
  const ended = new Promise<never>((_resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) =>
      reject(new PlainFailure(`wrangler dev ended by itself (${signal ?? `code ${code}`})`)),
    );
  });
  ended.catch(() => {});

  const giveUp = new AbortController();
  try {
    await Promise.race([
      waitForAnswer(`${url}/health`, AbortSignal.any([options.signal, giveUp.signal])),
      ended,
      failAfter(readyTimeoutSeconds, giveUp.signal),
      errorSeen.promise.then(() => failAfter(errorGraceSeconds, giveUp.signal)),
    ]);
  } catch (error) {
    await stop();
    options.signal.throwIfAborted();
    const reason = error instanceof Error ? error.message : String(error);
    const lines = [`the Worker did not start: ${reason}`, ...startLines.slice(0, shownLinesLimit)];
    throw new PlainFailure(lines.join("\n"), { cause: error });
  } finally {
    giveUp.abort();
  }
  for (const line of startLines) if (/\[(ERROR|WARNING)\]/.test(line)) options.log(line);
  log = options.log;
  return { url, ended, stop };
}

/** Settings as a dotenv file, whose values wrangler expands: `$` starts a variable there. */
function formatSettings(variables: Record<string, string>): string {
  return Object.entries(variables)
    .map(([name, value]) => {
      if (/['\n]/.test(value)) throw new Error(`${name} holds a quote or a line break`);
      return `${name}='${value.replaceAll("$", String.raw`\$`)}'\n`;
    })
    .join("");
}

async function waitForAnswer(url: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    const response = await fetch(url, { headers: { "x-request-id": startRequestId }, signal }).catch(() => undefined);
    await response?.body?.cancel();
    if (response !== undefined && response.status < 500) return;
    await sleep(response === undefined ? 50 : 500, undefined, { signal });
  }
}

async function failAfter(seconds: number, signal: AbortSignal): Promise<never> {
  await sleep(seconds * 1000, undefined, { signal });
  throw new Error(`no good answer within ${seconds} seconds`);
}

/** A line of the Worker's log or an error of wrangler's; nothing for what wrangler says of itself. */
function pickWorthyLine(line: string): string | undefined {
  const plain = stripVTControlCharacters(line).trimEnd();
  if (plain === "" || noise.some((pattern) => pattern.test(plain))) return undefined;
  // console.error of a structured line comes dressed up as an error of wrangler's.
  return plain.replace(/^[✘▲] \[(ERROR|WARNING)\] (?=\{)/, "");
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
