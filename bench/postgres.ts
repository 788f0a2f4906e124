// A separate PostgreSQL server, in a temporary folder, with schema.sql applied. It listens on a socket in that folder only.
import { execFile } from "node:child_process";
import { once } from "node:events";
import { chownSync, rmSync } from "node:fs";
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { end, start } from "../test/support/node/child-process.ts";

const START_TIMEOUT_MS = 20_000;
/** Not for root: PostgreSQL refuses to run as root. */
const NOBODY = 65_534;

interface PostgresServer {
  version: string;
  /** Returns the last value that psql prints. */
  query(sql: string): Promise<string>;
  /** Executes a statement with its values many times by pgbench. Returns the microseconds of one execution. */
  time(statement: string, values: readonly string[], times: number): Promise<number>;
  close(): Promise<void>;
}

/** `programs` is the folder of initdb, postgres, psql and pgbench. */
export async function startPostgres(programs: string): Promise<PostgresServer> {
  const directory = await mkdtemp(join(tmpdir(), "crew-run-postgres-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  const identity = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  if (identity.uid !== undefined) chownSync(directory, identity.uid, identity.gid);

  async function run(program: string, args: string[], input = ""): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const child = execFile(join(programs, program), args, { cwd: directory, ...identity }, (error, output) =>
      error === null ? resolve(output.trim()) : reject(error),
    );
    child.stdin?.end(input);
    return promise;
  }

  const data = join(directory, "data");
  await run("initdb", ["-D", data, "-U", "postgres", "--auth=trust", "-E", "UTF8", "--no-sync"]);
  const server = start(join(programs, "postgres"), ["-D", data, "-k", directory, "-h", "", "-F"], {
    stdio: ["ignore", "ignore", "pipe"],
    cwd: directory,
    ...identity,
  });
  let log = "";
  server.stderr?.setEncoding("utf8");
  const timeout = AbortSignal.timeout(START_TIMEOUT_MS);
  while (!log.includes("ready to accept connections")) {
    const [chunk] = (await once(server.stderr ?? server, "data", { signal: timeout })) as [string];
    log += chunk;
  }
  server.stderr?.resume();

  const query = async (sql: string): Promise<string> =>
    run("psql", ["-XAtq", "-v", "ON_ERROR_STOP=1", "-h", directory, "-U", "postgres", "-f", "-"], sql);
  await query(await readFile(new URL("../schema.sql", import.meta.url), "utf8"));
  async function time(statement: string, values: readonly string[], times: number): Promise<number> {
    const options = ["-h", directory, "-U", "postgres", "-n", "-M", "extended", "-t", String(times), "-f", "-"];
    const variables = values.flatMap((value, index) => ["-D", `value${index + 1}=${value}`]);
    const script = `${statement.replaceAll(/\$(\d+)/g, ":value$1")};\n`;
    const output = await run("pgbench", [...options, ...variables, "postgres"], script);
    return 1e6 / Number(/^tps = ([\d.]+)/m.exec(output)?.[1]);
  }
  const version = await query("select 'PostgreSQL ' || current_setting('server_version_num')::int / 10000");
  return { version, query, time, close: () => end(server) };
}
