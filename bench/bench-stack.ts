// What every part needs: Postgres (PGlite), the upstream in front of it, a token, the product's bundle, and Workers with
// fitting settings. Measures nothing.
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { buffer } from "node:stream/consumers";
import { type Database, READER_ROLE, startDatabase } from "../dev/database.ts";
import { startSqlEndpoint } from "../dev/sql-over-http.ts";
import { type Bundle, bundleProduct } from "../test/support/node/bundle.ts";
import { type Workerd, startWorkerd } from "../test/support/node/workerd.ts";
import { formatKeySet, makeKey, signToken } from "../test/support/signing.ts";
import { bundleComparison, bundleOther } from "./bundle.ts";
import { OWNER, type RunShape, insertRun } from "./runs.ts";
import { type Upstream, startUpstream } from "./upstream.ts";

/** The same for all Workers, whatever port they listen on: the data-center cache may depend on it. */
const HOST = "api.example.com";
const ISSUER = "https://issuer.example.com";
const AUDIENCE = "https://api.example.com";
const TOKEN_SECONDS = 86_400;
const RESPONSE_TIMEOUT_MS = 60_000;

interface Response {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

type RequestHeaders = Record<string, string>;

export interface BenchStack {
  database: Database;
  upstream: Upstream;
  product: Bundle & { gzipBytes: number };
  /** The Workers of other source trees. */
  others: (Bundle & { name: string })[];
  /** One of `bench/workers`. */
  bundle(name: string): Promise<Bundle>;
  /** Starts a Worker with the settings that all share, and others. */
  start(bundle: Bundle, variables?: Record<string, string>): Promise<Workerd>;
  /** Returns the new run's id. */
  addRun(shape: RunShape): Promise<string>;
  /** One request without credentials. */
  get(worker: Workerd, path: string): Promise<Response>;
  /** Reads a run as its owner. Throws unless the response is a 200 or a 304. */
  read(worker: Workerd, id: string, headers?: RequestHeaders): Promise<Response>;
  /** The request that `read` sends. */
  describeRead(worker: Workerd, id: string, headers?: RequestHeaders): { url: string; headers: RequestHeaders };
  close(): Promise<void>;
}

/** `against` names other source trees: bundle.ts. */
export async function startBenchStack(against: readonly string[]): Promise<BenchStack> {
  const directory = await mkdtemp(join(tmpdir(), "crew-run-bench-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  const product = await bundleProduct(join(directory, "product"));
  const others: BenchStack["others"] = [];
  for (const [index, source] of against.entries()) {
    others.push({ ...(await bundleOther(source, join(directory, `other-${index}`))), name: basename(source) });
  }
  const database = await startDatabase();
  const sql = await startSqlEndpoint(database, { passwords: { [READER_ROLE]: randomUUID() } });
  const key = await makeKey("RS256");
  const exp = Math.floor(Date.now() / 1_000) + TOKEN_SECONDS;
  const claims = { iss: ISSUER, aud: AUDIENCE, sub: OWNER, exp, scope: "openid profile crew-runs:read" };
  const authorization = `Bearer ${await signToken(key, claims)}`;
  const upstream = await startUpstream(sql.url, formatKeySet([key.jwk]));
  const agent = new Agent({ keepAlive: true });
  const settings = {
    DATABASE_URL: sql.databaseUrl(READER_ROLE),
    NEON_FETCH_ENDPOINT: upstream.sqlUrl,
    JWT_ISSUER: ISSUER,
    JWT_AUDIENCE: AUDIENCE,
    JWKS_URL: upstream.keysUrl,
  };
  const common = { host: HOST, accept: "application/json", "user-agent": "bench" };

  async function send(url: string, headers: RequestHeaders): Promise<Response> {
    const sent = request(url, { agent, timeout: RESPONSE_TIMEOUT_MS, headers });
    sent.on("timeout", () => sent.destroy(new Error("no response in time")));
    const [response] = (await once(sent.end(), "response")) as [IncomingMessage];
    return { status: response.statusCode ?? 0, headers: response.headers, body: await buffer(response) };
  }

  function describeRead({ origin }: Workerd, id: string, headers: RequestHeaders = {}) {
    return { url: `${origin}/api/crew-runs/${id}`, headers: { ...common, authorization, ...headers } };
  }

  return {
    database,
    upstream,
    product,
    others,
    bundle: (name) => bundleComparison(name, join(directory, name)),
    start: (bundle, variables = {}) =>
      startWorkerd({ bundle, variables: { ...settings, ...variables }, cacheAddress: upstream.cacheAddress }),
    async addRun(shape) {
      const id = randomUUID();
      await database.exec(insertRun(id, shape));
      return id;
    },
    get: (worker, path) => send(worker.origin + path, common),
    async read(worker, id, headers) {
      const described = describeRead(worker, id, headers);
      const response = await send(described.url, described.headers);
      if (response.status === 200 || response.status === 304) return response;
      throw new Error(`${id}: ${response.status} ${response.body.toString()}`);
    },
    describeRead,
    async close() {
      agent.destroy();
      await upstream.close();
      await sql.close();
      await database.close();
    },
  };
}
