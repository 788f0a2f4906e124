// The local stack on the loopback interface: database, SQL over HTTP, authorization server, and the Worker under wrangler.
// Guarantees that a failed or aborted start leaves nothing running. `npm run dev`, smoke and the tests start the same one.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { SettingsSchema } from "../src/settings.ts";
import { type AuthorizationServer, startAuthorizationServer } from "./authorization-server.ts";
import { type Database, OWNER_ROLE, READER_ROLE, startDatabase } from "./database.ts";
import { listenOnLoopback } from "./loopback.ts";
import { seedRuns } from "./seed.ts";
import { type SqlEndpoint, startSqlEndpoint } from "./sql-over-http.ts";
import { startWorkerProcess } from "./worker-process.ts";

const START_TIMEOUT_MS = 60_000;

/** All but the Worker. */
export interface Upstreams {
  database: Database;
  sql: SqlEndpoint;
  authorizationServer: AuthorizationServer;
  /** The Worker's settings, all of them: the others are empty and have their defaults, whatever wrangler.toml contains. */
  variables: Record<"DATABASE_URL" | "NEON_FETCH_ENDPOINT" | "JWT_ISSUER" | "JWT_AUDIENCE" | "JWKS_URL", string>;
  /** The connection string of the table's owner, who may write. */
  ownerDatabaseUrl: string;
  close(): Promise<void>;
}

export interface LocalStack extends Upstreams {
  /** The Worker's address, without a trailing slash. */
  url: string;
  /** Rejects when the Worker ends by itself; never resolves. */
  ended: Promise<never>;
}

export type Ports = Record<"worker" | "sql" | "authorizationServer", number>;

interface UpstreamsOptions {
  /** The audience of every access token. The Worker's address, if strict clients are to discover the issuer (RFC 9728). */
  audience?: string;
  /** Free ports if left out or 0. */
  ports?: Omit<Ports, "worker"> | undefined;
  /** A folder for the database; in memory if left out. */
  dataDirectory?: string | undefined;
  /** Whether to insert the runs of seed.ts. */
  seed?: boolean;
}

interface LocalStackOptions {
  /** Aborts the start; by default after a minute. */
  signal?: AbortSignal;
  ports?: Ports;
  dataDirectory?: string | undefined;
  /** Gets each line that the Worker logs, and one for each step of the start. */
  log?: (line: string) => void;
  /** Settings of the Worker, in addition to the local stack's or in their place. */
  chooseSettings?: (upstreams: Upstreams) => Record<string, string> | Promise<Record<string, string>>;
}

/** Throws the error of the part that failed, such as EADDRINUSE for a taken port. */
export async function startUpstreams(options: UpstreamsOptions = {}): Promise<Upstreams> {
  const { audience = "https://api.example.com", ports, dataDirectory, seed = false } = options;
  const started: { close(): Promise<void> }[] = [];
  const close = async () => {
    for (const part of started.splice(0).toReversed()) await part.close();
  };
  try {
    const authorizationServer = await startAuthorizationServer(ports?.authorizationServer ?? 0, audience);
    started.push(authorizationServer);
    const database = await startDatabase(dataDirectory);
    started.push(database);
    if (seed) await seedRuns(database);
    const passwords = { [READER_ROLE]: randomUUID(), [OWNER_ROLE]: randomUUID() };
    const sql = await startSqlEndpoint(database, { port: ports?.sql ?? 0, passwords });
    started.push(sql);
    const variables = {
      ...Object.fromEntries(Object.keys(SettingsSchema.shape).map((name) => [name, ""])),
      DATABASE_URL: sql.databaseUrl(READER_ROLE),
      NEON_FETCH_ENDPOINT: sql.url,
      JWT_ISSUER: authorizationServer.issuer,
      JWT_AUDIENCE: audience,
      JWKS_URL: authorizationServer.jwksUrl,
    };
    return { database, sql, authorizationServer, variables, ownerDatabaseUrl: sql.databaseUrl(OWNER_ROLE), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** With seeded runs; the Worker's address is the tokens' audience. Throws Node's listen error (`code`, `port`) for a taken port. */
export async function startLocalStack(options: LocalStackOptions = {}): Promise<LocalStack> {
  const { signal = AbortSignal.timeout(START_TIMEOUT_MS), ports, dataDirectory, log = () => {} } = options;
  log("starting: database, SQL endpoint, authorization server");
  const port = ports?.worker ? await checkPort(ports.worker) : await findFreePort();
  const upstreams = await startUpstreams({ audience: `http://127.0.0.1:${port}`, ports, dataDirectory, seed: true });
  try {
    signal.throwIfAborted();
    log("starting: Worker (wrangler dev)");
    const variables = {
      ...upstreams.variables,
      DOCS_CLIENT_ID: upstreams.authorizationServer.publicClientId,
      ...(await options.chooseSettings?.(upstreams)),
    };
    const { url, ended, stop } = await startWorkerProcess({ port, variables, log, signal });
    const close = async () => {
      await stop();
      await upstreams.close();
    };
    return { ...upstreams, url, ended, close };
  } catch (error) {
    await upstreams.close();
    throw error;
  }
}

/** Returns the port. Throws the listen error if it can't be used: wrangler's own error would come late and be long. */
async function checkPort(port: number): Promise<number> {
  await (await listenOnLoopback(createServer(), port)).close();
  return port;
}

/** Below the ports that the system assigns, so that no process takes it between this search and its use. */
async function findFreePort(): Promise<number> {
  for (;;) {
    const port = await checkPort(20_000 + Math.floor(Math.random() * 12_000)).catch(() => undefined);
    if (port !== undefined) return port;
  }
}
