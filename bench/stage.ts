// What every part stands on: Postgres (PGlite), the upstream in front of it, a token, the product's bundle, and Workers that
// run with fitting settings. Measures nothing.
import { randomUUID } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { Agent, type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { once } from "node:events";
import { SignJWT, exportJWK, generateKeyPair } from "jose";
import { type Database, READER_ROLE, startDatabase } from "../dev/database.ts";
import { startSqlEndpoint } from "../dev/sql-over-http.ts";
import { type Bundle, bundleProduct } from "../test/support/node/bundle.ts";
import { bundleComparison } from "./bundle.ts";
import { OWNER, type RunShape, insertRun } from "./runs.ts";
import { type Upstream, startUpstream } from "./upstream.ts";
import { type Workerd, startWorkerd } from "../test/support/node/workerd.ts";

/** The same for all Workers, whatever port they listen on: what they keep in the data centre may depend on it. */
const HOST = "runs.example.com";
const ISSUER = "https://issuer.example.com";
const AUDIENCE = "https://api.example.com";
const ANSWER_TIMEOUT_MS = 60_000;

interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

export interface Stage {
  database: Database;
  upstream: Upstream;
  product: Bundle & { gzipBytes: number };
  /** One of `bench/workers`. */
  bundle(name: string): Promise<Bundle>;
  /** Starts a Worker with the settings that all share, and others. */
  start(bundle: Bundle, variables?: Record<string, string>): Promise<Workerd>;
  /** Gives the new run's id. */
  addRun(shape: RunShape): Promise<string>;
  /** One request without credentials, whatever the answer. */
  get(worker: Workerd, path: string): Promise<Answer>;
  /** Asks for a run as its owner. Throws unless the answer is a 200 or a 304. */
  ask(worker: Workerd, id: string, headers?: Record<string, string>): Promise<Answer>;
  close(): Promise<void>;
}

export async function setStage(): Promise<Stage> {
  const directory = await mkdtemp(join(tmpdir(), "crew-run-bench-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  const product = await bundleProduct(join(directory, "product"));
  const database = await startDatabase();
  const sql = await startSqlEndpoint(database, { passwords: { [READER_ROLE]: randomUUID() } });
  const { keySet, authorization } = await makeToken();
  const upstream = await startUpstream(sql.url, keySet);
  const agent = new Agent({ keepAlive: true });
  const settings = {
    DATABASE_URL: sql.databaseUrl(READER_ROLE),
    NEON_FETCH_ENDPOINT: upstream.sqlUrl,
    JWT_ISSUER: ISSUER,
    JWT_AUDIENCE: AUDIENCE,
    JWKS_URL: upstream.keysUrl,
  };
  async function get(worker: Workerd, path: string, headers: Record<string, string> = {}): Promise<Answer> {
    const asking = request(worker.origin + path, {
      agent,
      timeout: ANSWER_TIMEOUT_MS,
      headers: { host: HOST, accept: "application/json", "user-agent": "bench", ...headers },
    });
    asking.on("timeout", () => asking.destroy(new Error("no answer in time")));
    const [response] = (await once(asking.end(), "response")) as [IncomingMessage];
    const { statusCode: status = 0 } = response;
    return { status, headers: response.headers, body: await buffer(response) };
  }

  return {
    database,
    upstream,
    product,
    bundle: (name) => bundleComparison(name, join(directory, name)),
    start: (bundle, variables = {}) =>
      startWorkerd({ bundle, variables: { ...settings, ...variables }, cacheAddress: upstream.cacheAddress }),
    async addRun(shape) {
      const id = randomUUID();
      await database.exec(insertRun(id, shape));
      return id;
    },
    get,
    async ask(worker, id, headers = {}) {
      const answer = await get(worker, `/api/crew-runs/${id}`, { authorization, ...headers });
      const { status, body } = answer;
      if (status !== 200 && status !== 304) throw new Error(`${id} was answered with ${status}: ${body.toString()}`);
      return answer;
    },
    async close() {
      agent.destroy();
      await upstream.close();
      await sql.close();
      await database.close();
    },
  };
}

/** An owner's access token as RFC 9068 shapes it, good for a day, and the key set that vouches for it. */
async function makeToken(): Promise<{ keySet: string; authorization: string }> {
  const { publicKey, privateKey } = await generateKeyPair("RS256");
  const key = { ...(await exportJWK(publicKey)), alg: "RS256", kid: "bench", use: "sig" };
  const token = await new SignJWT({ scope: "openid profile crew-runs:read", client_id: "bench" })
    .setProtectedHeader({ alg: "RS256", kid: "bench", typ: "at+jwt" })
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setSubject(OWNER)
    .setIssuedAt()
    .setExpirationTime("1d")
    .setJti(randomUUID())
    .sign(privateKey);
  return { keySet: JSON.stringify({ keys: [key] }), authorization: `Bearer ${token}` };
}
