// What every measurement stands on: the load generator, the canned upstream, the real database, the tokens, the
// bundles, and Workers started with settings that fit. Measures nothing itself.

import { rmSync } from "node:fs";
import { mkdir, mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bundle, bundleComparison, bundleWorker } from "./bundle.ts";
import type { UpstreamCall, UpstreamReply } from "./canned-sql.ts";
import type { DatabaseCall, DatabaseReply } from "./database.ts";
import type { LoadCall, LoadReply, LoadRequest } from "./load.ts";
import { type Helper, startHelper } from "./processes.ts";
import { idOf } from "./runs.ts";
import { type Algorithm, type Issuer, issuer, startIssuer } from "./tokens.ts";
import { startWorkerd, type Workerd, type WorkerdOptions } from "./workerd.ts";

export type WorkerName = "worker" | "tutorial" | "memory" | "forward" | "empty";

export type Stage = {
  directory: string;
  bundles: Record<WorkerName, Bundle>;
  load: Helper<LoadCall, LoadReply>;
  upstream: Helper<UpstreamCall, UpstreamReply>;
  database: DatabaseReply;
  cacheAddress: string;
  /** Starts a Worker against the canned upstream, or against the real database. */
  start(name: WorkerName, options?: Partial<WorkerdOptions> & { isCanned?: boolean }): Promise<Workerd>;
  mint(algorithm: Algorithm): Promise<string>;
  /** What a client sends: a token made for this run of the benchmark, the same for all unless another is given. */
  request(id: string, headers?: Record<string, string>): LoadRequest;
  close(): Promise<void>;
};

async function makeBundles(
  directory: string,
  options: { workerPath: string | undefined; minify: boolean },
): Promise<Record<WorkerName, Bundle>> {
  const optionsFor = async (name: string) => {
    const outputDirectory = join(directory, name);
    await mkdir(outputDirectory);
    return { outputDirectory, minify: options.minify };
  };
  const make = async (name: WorkerName) => bundleComparison(name, await optionsFor(name));
  const worker = await bundleWorker(options.workerPath, await optionsFor("worker"));
  const [tutorial, memory] = await Promise.all([make("tutorial"), make("memory")]);
  const [forward, empty] = await Promise.all([make("forward"), make("empty")]);
  return { worker, tutorial, memory, forward, empty };
}

function audienceOf(bundle: Bundle): string {
  return bundle.variables["JWT_AUDIENCE"] || "https://api.example.com";
}

/** Builds the bundles and starts the helper processes. `close` ends these, not the Workers; the folder goes on exit. */
export async function setStage(options: { workerPath: string | undefined; minify: boolean }): Promise<Stage> {
  const directory = await mkdtemp(join(tmpdir(), "crew-run-bench-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  const bundles = await makeBundles(directory, options);
  const databaseProcess = startHelper<DatabaseCall, DatabaseReply>(new URL("database.ts", import.meta.url), 60);
  const upstream = startHelper<UpstreamCall, UpstreamReply>(new URL("canned-sql.ts", import.meta.url), 30);
  const load = startHelper<LoadCall, LoadReply>(new URL("load.ts", import.meta.url), 120);
  const tokens: Issuer = await startIssuer();
  const database = await databaseProcess.call("start");
  const { origin, cacheAddress } = await upstream.call({
    kind: "start",
    sqlEndpoint: database.endpoint,
    keySet: tokens.keySet,
  });
  const audience = audienceOf(bundles.worker);
  const authorization = `Bearer ${await tokens.mint("RS256", audience)}`;
  let statement = "";

  const stage: Stage = {
    directory,
    bundles,
    load,
    upstream,
    database,
    cacheAddress,
    async start(name, { isCanned = true, ...workerdOptions } = {}) {
      const sqlUrl = isCanned ? `${origin}/sql/${name}` : database.endpoint;
      const variables: Record<string, string> = {
        DATABASE_URL: database.databaseUrl,
        NEON_FETCH_ENDPOINT: sqlUrl,
        JWT_ISSUER: issuer,
        JWT_AUDIENCE: audience,
        JWKS_URL: `${origin}/keys/${name}`,
      };
      if (name === "memory") variables["BODIES_URL"] = `${origin}/bodies`;
      if (name === "forward") {
        variables["SQL_URL"] = sqlUrl;
        variables["QUERY"] = statement === "" ? (statement = await learnStatement(stage)) : statement;
      }
      return startWorkerd({ bundle: bundles[name], variables, ...workerdOptions });
    },
    mint: (algorithm) => tokens.mint(algorithm, audience),
    request: (id, headers = {}) => ({
      path: `/api/crew-runs/${id}`,
      headers: { authorization, accept: "application/json", "user-agent": "bench", ...headers },
    }),
    async close() {
      await Promise.all([load.end(), upstream.end(), databaseProcess.end()]);
    },
  };
  return stage;
}

/** The statement that the Worker under test sends for a run, with RUN_ID in the place of its id. */
async function learnStatement(stage: Stage): Promise<string> {
  const id = idOf("unfinished usual");
  const worker = await stage.start("worker");
  try {
    await fetchRun(worker, stage.request(id));
    const { lastStatement } = await stage.upstream.call({ kind: "readCalls", worker: "worker" });
    return lastStatement.replaceAll(id, "RUN_ID");
  } finally {
    await worker.end();
  }
}

/** One request outside of any measurement. @throws unless it is answered with 200 */
export async function fetchRun(
  worker: Workerd,
  { path, headers }: LoadRequest,
): Promise<{ body: Uint8Array; headers: Headers }> {
  const answer = await fetch(worker.origin + path, { headers, signal: AbortSignal.timeout(20_000) });
  const body = new Uint8Array(await answer.arrayBuffer());
  if (answer.status !== 200) {
    throw new Error(`${path} was answered with ${answer.status}: ${new TextDecoder().decode(body)}`);
  }
  return { body, headers: answer.headers };
}
