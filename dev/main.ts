// `npm run dev`: database, SQL over HTTP, authorization server and Worker in one terminal, with lines to paste.
// Guarantees that whatever ends it (Ctrl-C, a signal, a failure half-way) ends all that it started.
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { SEEDED_RUNS } from "./seed.ts";
import { type ServedStack, startServedStack } from "./served-stack.ts";
import { PlainFailure } from "./worker-process.ts";

interface Options {
  ports: { worker: number; sql: number; authorizationServer: number };
  dataDirectory: string | undefined;
}

const CLOSE_TIMEOUT_SECONDS = 8;
const PARENT_CHECK_MS = 200;

const HELP = `Usage: npm run dev -- [options]

Starts the local database, its SQL endpoint, an authorization server and the Worker; Ctrl-C ends them.

  --port N         the Worker's port              (DEV_PORT, 8787)
  --sql-port N     the SQL endpoint's port        (DEV_SQL_PORT, 8788)
  --issuer-port N  the authorization server's     (DEV_ISSUER_PORT, 8789)
  --data DIR       keep the database in a folder  (DEV_DATA, in memory)
  --help           this text

A port of 0 takes any free one.
`;

function parseFlags(args: string[]) {
  const option = { type: "string" } as const;
  const options = {
    port: option,
    "sql-port": option,
    "issuer-port": option,
    data: option,
    help: { type: "boolean" },
  } as const;
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    const [reason] = String(error instanceof Error ? error.message : error).split(". ");
    throw new PlainFailure(`${reason}; npm run dev -- --help lists the options`);
  }
}

function readOptions(flags: ReturnType<typeof parseFlags>, environment: NodeJS.ProcessEnv): Options {
  const data = flags.data ?? environment["DEV_DATA"];
  return {
    ports: {
      worker: readPort("--port", flags.port ?? environment["DEV_PORT"] ?? "8787"),
      sql: readPort("--sql-port", flags["sql-port"] ?? environment["DEV_SQL_PORT"] ?? "8788"),
      authorizationServer: readPort("--issuer-port", flags["issuer-port"] ?? environment["DEV_ISSUER_PORT"] ?? "8789"),
    },
    dataDirectory: data === undefined ? undefined : resolve(data),
  };
}

function readPort(flag: string, value: string): number {
  if (/^\d{1,5}$/.test(value) && Number(value) <= 65_535) return Number(value);
  throw new PlainFailure(`${flag} (or its variable) must be a port from 0 to 65535, not ${JSON.stringify(value)}`);
}

/** Finds out before anything starts whether the ports are free, and differ. */
async function checkPorts({ worker, sql, authorizationServer }: Options["ports"]): Promise<void> {
  const probes: Server[] = [];
  try {
    for (const [flag, port, user] of [
      ["--port", worker, "the Worker"],
      ["--sql-port", sql, "the SQL endpoint"],
      ["--issuer-port", authorizationServer, "the authorization server"],
    ] as const) {
      const probe = createServer().listen(port, "127.0.0.1");
      probes.push(probe);
      await once(probe, "listening").catch((error: NodeJS.ErrnoException) => {
        const reason = error.code === "EADDRINUSE" ? "is taken" : `cannot be used (${error.code})`;
        throw new PlainFailure(
          `port ${port} ${reason}, and ${user} needs it; choose another: npm run dev -- ${flag} N`,
        );
      });
    }
  } finally {
    for (const probe of probes) probe.close();
  }
}

/** Runs until it fails or the signal stops it; either way nothing that it started is left. */
async function run({ ports, dataDirectory }: Options, signal: AbortSignal): Promise<void> {
  const startedAt = performance.now();
  await checkPorts(ports);
  const announce = (step: string) => console.log(`starting: ${step}`);
  const served = await startServedStack({ signal, ports, dataDirectory, log: console.log, announce });
  try {
    const panel = await describe(served, dataDirectory);
    signal.throwIfAborted();
    console.log(
      `\nReady after ${((performance.now() - startedAt) / 1000).toFixed(1)} s. Ctrl-C ends everything.\n${panel}`,
    );
    await Promise.race([served.ended, once(signal, "abort")]);
  } finally {
    await served.close();
  }
}

/** Addresses, runs and commands. Nothing is wrapped: its lines are for pasting. */
async function describe({ url, stack }: ServedStack, dataDirectory: string | undefined): Promise<string> {
  const { authorizationServer, sql } = stack;
  const [own] = SEEDED_RUNS;
  const foreign = SEEDED_RUNS.find(({ ownerId }) => ownerId === "stranger");
  const readRun = async (run: typeof own, user: "owner" | "stranger" | "admin") =>
    `curl -s -w '\\n' ${url}/api/crew-runs/${run?.id} -H 'Authorization: Bearer ${await authorizationServer.fetchToken(user)}'`;
  const newTokens = Object.values(authorizationServer.clients).map(
    ({ id, secret }) =>
      `curl -s -w '\\n' -u ${id}:${secret} -d grant_type=client_credentials ${authorizationServer.tokenEndpoint}`,
  );
  return `
Worker                ${url}
Documentation         ${url}/docs
Authorization server  ${authorizationServer.issuer}
SQL over HTTP         ${sql.url}
Database              ${dataDirectory ?? "in memory"}

Runs
${SEEDED_RUNS.map(({ id, ownerId, description }) => `${id}  ${ownerId.padEnd(8)}  ${description}`).join("\n")}

The owner reads a run:
${await readRun(own, "owner")}

The stranger gets a 404 for it:
${await readRun(own, "stranger")}

The admin reads everybody's, this one is the stranger's:
${await readRun(foreign, "admin")}

Tokens last an hour. New ones, for owner, stranger and admin:
${newTokens.join("\n")}
`;
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
  // npm passes a signal on to its shell, which dies of it and tells nobody.
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && requestStop(), PARENT_CHECK_MS).unref();
  // A terminal that has gone must not keep the rest from being ended.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

  try {
    const flags = parseFlags(process.argv.slice(2));
    if (flags.help === true) console.log(HELP);
    else await run(readOptions(flags, process.env), stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) {
      console.error(error instanceof PlainFailure ? error.message : error);
      process.exitCode = 1;
    }
  }
  if (stop.signal.aborted) console.log("stopped");
}

await main();
process.exit();
