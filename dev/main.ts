// `npm run dev`: database, SQL over HTTP, authorization server and Worker in one terminal, with lines to paste.
// Guarantees that whatever ends it (Ctrl-C, a signal, a failure half-way) ends all that it started.
import { once } from "node:events";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { formatPanel } from "./panel.ts";
import { type Ports, startLocalStack } from "./local-stack.ts";
import { PlainFailure } from "./worker-process.ts";

const CLOSE_TIMEOUT_SECONDS = 8;
const PARENT_CHECK_MS = 200;

const HELP = `Usage: npm run dev -- [options]

Starts a local database, its SQL endpoint, an authorization server and the Worker. Ctrl-C ends them.

  --port N         the Worker's port (8787)
  --sql-port N     the SQL endpoint's port (8788)
  --issuer-port N  the authorization server's port (8789)
  --data DIR       keeps the database in a folder; without it, in memory
  --help           this text

Port 0 stands for any free port.
`;

const OPTIONS = {
  port: { type: "string", default: "8787" },
  "sql-port": { type: "string", default: "8788" },
  "issuer-port": { type: "string", default: "8789" },
  data: { type: "string" },
  help: { type: "boolean" },
} as const;

function readPort(option: string, value: string): number {
  if (/^\d{1,5}$/.test(value) && Number(value) <= 65_535) return Number(value);
  throw new PlainFailure(`--${option} must be a port from 0 to 65535, not ${JSON.stringify(value)}`);
}

/** Runs until it fails or the signal stops it; in both cases it ends everything that it started. */
async function run(ports: Ports, dataDirectory: string | undefined, signal: AbortSignal): Promise<void> {
  const startedMs = performance.now();
  const served = await startLocalStack({ signal, ports, dataDirectory, log: console.log });
  try {
    const panel = await formatPanel(served, dataDirectory);
    signal.throwIfAborted();
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    console.log(`\nReady after ${seconds} s. Ctrl-C ends everything.\n${panel}`);
    await Promise.race([served.ended, once(signal, "abort")]);
  } finally {
    await served.close();
  }
}

/** A message for a mistake that the user can correct; any other error as it is. */
function explain(error: unknown): unknown {
  const { code, message, port } = error as NodeJS.ErrnoException & { port?: number };
  if (error instanceof PlainFailure) return message;
  if (code === "EADDRINUSE") {
    return `port ${port} is taken; choose another with --port, --sql-port or --issuer-port: npm run dev -- --help`;
  }
  if (code?.startsWith("ERR_PARSE_ARGS")) return `${message.split(". ")[0]}; npm run dev -- --help lists the options`;
  return error;
}

async function main(): Promise<void> {
  const stop = new AbortController();
  const requestStop = () => {
    if (stop.signal.aborted) return;
    console.log("\nstopping");
    stop.abort();
    setTimeout(() => process.exit(1), CLOSE_TIMEOUT_SECONDS * 1000).unref();
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, requestStop);
  // npm passes a signal on to its shell, which dies of it without passing it on.
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && requestStop(), PARENT_CHECK_MS).unref();
  // If the terminal is gone, the rest must be ended all the same.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

  try {
    const { values: options } = parseArgs({ options: OPTIONS });
    const dataDirectory = options.data === undefined ? undefined : resolve(options.data);
    if (options.help === true) console.log(HELP);
    else {
      const ports = {
        worker: readPort("port", options.port),
        sql: readPort("sql-port", options["sql-port"]),
        authorizationServer: readPort("issuer-port", options["issuer-port"]),
      };
      await run(ports, dataDirectory, stop.signal);
    }
  } catch (error) {
    if (!stop.signal.aborted) {
      console.error(explain(error));
      process.exitCode = 1;
    }
  }
  if (stop.signal.aborted) console.log("stopped");
}

await main();
process.exit();
