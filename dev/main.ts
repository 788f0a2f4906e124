// `npm run dev`: database, SQL over HTTP, authorization server and Worker in one terminal, with lines to paste.
// Guarantees that whatever ends it (Ctrl-C, a signal, a failure half-way) ends all that it started.
// Leaves the stack itself to stack.ts and the Worker's process to worker-process.ts.

import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { seededRuns } from "./seed.ts";
import { type Stack, startStack } from "./stack.ts";
import { PlainFailure, startWorkerProcess } from "./worker-process.ts";

type Options = { port: number; sqlPort: number; issuerPort: number; dataDirectory: string | undefined };

const closeTimeoutSeconds = 8;

const help = `Usage: npm run dev -- [options]

Starts the local database, its SQL endpoint, an authorization server and the Worker; Ctrl-C ends them.

  --port N         the Worker's port              (DEV_PORT, 8787)
  --sql-port N     the SQL endpoint's port        (DEV_SQL_PORT, 8788)
  --issuer-port N  the authorization server's     (DEV_ISSUER_PORT, 8789)
  --data DIR       keep the database in a folder  (DEV_DATA, in memory)
  --help           this text

A port of 0 takes any free one.
`;

function readOptions(args: string[], environment: NodeJS.ProcessEnv): Options | "help" {
  const option = { type: "string" } as const;
  const parse = () =>
    parseArgs({
      args,
      options: {
        port: option,
        "sql-port": option,
        "issuer-port": option,
        data: option,
        help: { type: "boolean" },
      },
    });
  let values: ReturnType<typeof parse>["values"];
  try {
    ({ values } = parse());
  } catch (error) {
    const [reason] = String(error instanceof Error ? error.message : error).split(". ");
    throw new PlainFailure(`${reason}; npm run dev -- --help lists what there is`);
  }
  if (values.help === true) return "help";
  const data = values.data ?? environment["DEV_DATA"];
  return {
    port: readPort("--port", values.port ?? environment["DEV_PORT"] ?? "8787"),
    sqlPort: readPort("--sql-port", values["sql-port"] ?? environment["DEV_SQL_PORT"] ?? "8788"),
    issuerPort: readPort("--issuer-port", values["issuer-port"] ?? environment["DEV_ISSUER_PORT"] ?? "8789"),
    dataDirectory: data === undefined ? undefined : resolve(data),
  };
}

function readPort(flag: string, value: string): number {
  if (/^\d{1,5}$/.test(value) && Number(value) <= 65_535) return Number(value);
  throw new PlainFailure(`${flag} (or its variable) wants a port from 0 to 65535, not ${JSON.stringify(value)}`);
}

/**
 * Finds out before anything starts that the ports are free.
 * @returns the Worker's port, a free one if 0 was asked for: wrangler is told a number
 */
async function probePorts({ port, sqlPort, issuerPort }: Options): Promise<number> {
  const wanted = [
    { port, by: "the Worker", flag: "--port" },
    { port: sqlPort, by: "the SQL endpoint", flag: "--sql-port" },
    { port: issuerPort, by: "the authorization server", flag: "--issuer-port" },
  ];
  const probes: Server[] = [];
  try {
    for (const want of wanted) {
      const probe = createServer().listen(want.port, "127.0.0.1");
      probes.push(probe);
      await once(probe, "listening").catch((error: unknown) => {
        const reason =
          error instanceof Error && "code" in error && error.code === "EADDRINUSE" ? "is taken" : "cannot be used";
        throw new PlainFailure(
          `port ${want.port} ${reason}, and ${want.by} wants it; choose another: npm run dev -- ${want.flag} N`,
        );
      });
    }
    const address = probes[0]?.address();
    return typeof address === "object" && address !== null ? address.port : port;
  } finally {
    await Promise.all(probes.filter(({ listening }) => listening).map((probe) => once(probe.close(), "close")));
  }
}

/** Runs until it fails or the signal stops it; either way nothing that it started is left. */
async function run(options: Options, signal: AbortSignal): Promise<void> {
  const startedAt = performance.now();
  const port = await probePorts(options);
  const closers: (() => Promise<void>)[] = [];
  try {
    const stack = await report("database, SQL endpoint, authorization server", () =>
      startStack({
        ports: { sql: options.sqlPort, authorizationServer: options.issuerPort },
        ...(options.dataDirectory !== undefined && { dataDirectory: options.dataDirectory }),
        // Where the API's documentation gets its token back, under either name of this machine.
        extraRedirectUris: ["127.0.0.1", "localhost"].map((host) => `http://${host}:${port}/docs`),
        seed: true,
      }),
    );
    closers.push(() => stack.close());
    signal.throwIfAborted();

    const { authorizationServer } = stack;
    const variables = {
      ...stack.variables,
      AUTHORIZATION_ENDPOINT: authorizationServer.authorizationEndpoint,
      TOKEN_ENDPOINT: authorizationServer.tokenEndpoint,
      DOCS_CLIENT_ID: authorizationServer.publicClientId,
    };
    const worker = await report("Worker (wrangler dev)", () =>
      startWorkerProcess({ port, variables, log: (line) => console.log(line), signal }),
    );
    closers.push(() => worker.stop());

    const panel = await describe(stack, worker.url, options, performance.now() - startedAt);
    signal.throwIfAborted();
    console.log(panel);
    await Promise.race([worker.ended, once(signal, "abort")]);
  } finally {
    for (const close of closers.toReversed()) await close();
  }
}

async function report<T>(what: string, start: () => Promise<T>): Promise<T> {
  const startedAt = performance.now();
  process.stdout.write(`${what} … `);
  try {
    const started = await start();
    console.log(formatSeconds(performance.now() - startedAt));
    return started;
  } catch (error) {
    console.log("failed");
    throw error;
  }
}

function formatSeconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

/** The panel that start-up ends with. Nothing is wrapped: its lines are for pasting. */
async function describe(
  { authorizationServer, sql }: Stack,
  workerUrl: string,
  { dataDirectory }: Options,
  startMilliseconds: number,
): Promise<string> {
  const [own] = seededRuns;
  const foreign = seededRuns.find(({ ownerId }) => ownerId !== own?.ownerId);
  if (own === undefined || foreign === undefined) throw new Error("the seed lacks a run to show");
  const [ownerToken, strangerToken, adminToken] = await Promise.all([
    authorizationServer.fetchToken("owner"),
    authorizationServer.fetchToken("stranger"),
    authorizationServer.fetchToken("admin"),
  ]);
  const curl = (id: string, token: string) =>
    `curl -s -w '\\n' ${workerUrl}/api/crew-runs/${id} -H 'Authorization: Bearer ${token}'`;
  const newTokenLines = Object.values(authorizationServer.clients).map(
    ({ id, secret }) =>
      `curl -s -w '\\n' -u ${id}:${secret} -d grant_type=client_credentials ${authorizationServer.tokenEndpoint}`,
  );
  return `
Ready after ${formatSeconds(startMilliseconds)}. Ctrl-C ends everything.

Worker                ${workerUrl}
API reference         ${workerUrl}/docs
Authorization server  ${authorizationServer.issuer}
SQL over HTTP         ${sql.url}
Database              ${dataDirectory ?? "in memory"}

Runs
${seededRuns.map((run) => `${run.id}  ${run.ownerId.padEnd(8)}  ${run.description}`).join("\n")}

The owner reads a run:
${curl(own.id, ownerToken)}

The stranger gets a 404 for it:
${curl(own.id, strangerToken)}

The admin reads anybody's, this one the stranger's:
${curl(foreign.id, adminToken)}

Tokens last an hour. A new one:
${newTokenLines.join("\n")}
`;
}

async function main(): Promise<void> {
  const stop = new AbortController();
  const requestStop = () => {
    if (stop.signal.aborted) return;
    console.log("\nstopping");
    stop.abort();
    setTimeout(() => process.exit(1), closeTimeoutSeconds * 1000).unref();
  };
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, requestStop);
  // npm passes a signal on to its shell, which dies of it and tells nobody.
  const parent = process.ppid;
  setInterval(() => process.ppid !== parent && requestStop(), 200).unref();
  // A terminal that has gone must not keep the rest from being ended.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

  try {
    const options = readOptions(process.argv.slice(2), process.env);
    if (options === "help") process.stdout.write(help);
    else await run(options, stop.signal);
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
