// What the Worker's statement costs Postgres, against the plain read of the same row by primary key. The statement is the one
// that the Worker sent, with its values; each execution is parsed, planned, run and answered in Postgres's protocol, as behind
// Neon's endpoint. On PGlite, and by pgbench on a PostgreSQL server where PGBIN names a folder with its programs.
import { randomUUID } from "node:crypto";
import { READER_ROLE, withSession } from "../dev/database.ts";
import { startPostgres } from "./postgres.ts";
import { type Line, describeRatio } from "./report.ts";
import { LARGE_RUN, type RunShape, SMALL_RUN, insertRun } from "./runs.ts";
import type { Stage } from "./stage.ts";
import { median } from "./statistics.ts";

const ROUNDS = 41;
const TARGET = 1.5;

const COLUMNS =
  "id, correlation_id, owner_id, status, created_at, crew_type, crew_config, task_input, result, error, started_at, completed_at";

interface Statement {
  query: string;
  params: string[];
}

interface Engine {
  name: string;
  execute(sql: string): Promise<unknown>;
  /** Gives the microseconds of one execution. */
  time(statement: string, values: readonly string[], times: number): Promise<number>;
}

export async function measureStatement(stage: Stage): Promise<Line[]> {
  const lines = await measureOn(stage, {
    name: "PGlite",
    execute: async (sql) => stage.database.exec(sql),
    time: async (statement, values, times) =>
      withSession(stage.database, READER_ROLE, async (run) => {
        const startedMs = performance.now();
        for (let turn = 0; turn < times; turn++) await run(statement, [...values]);
        return ((performance.now() - startedMs) * 1_000) / times;
      }),
  });
  const programs = process.env["PGBIN"];
  if (programs === undefined) return lines;
  const server = await startPostgres(programs);
  const { version: name, query: execute, time } = server;
  try {
    return [...lines, ...(await measureOn(stage, { name, execute, time }))];
  } finally {
    await server.close();
  }
}

async function measureOn(stage: Stage, engine: Engine): Promise<Line[]> {
  return [
    ...(await measureRun(stage, "a small row", SMALL_RUN, engine, 400)),
    ...(await measureRun(stage, "500 KB of input", LARGE_RUN, engine, 20)),
  ];
}

async function measureRun(stage: Stage, what: string, shape: RunShape, engine: Engine, times: number): Promise<Line[]> {
  const id = randomUUID();
  await engine.execute(insertRun(id, shape));
  const plain: Statement = { query: `select ${COLUMNS} from crew_runs where id = $1`, params: [id] };
  const statements = [plain, ...(await captureStatements(stage, shape, id))];
  const microseconds: number[][] = statements.map(() => []);
  for (let round = 0; round <= ROUNDS; round++) {
    const turns = [...statements.entries()];
    for (const [index, { query, params }] of round % 2 === 0 ? turns : turns.toReversed()) {
      const cost = await engine.time(query, params, times);
      // The first round warms up.
      if (round > 0) microseconds[index]?.push(cost);
    }
  }
  const [base = [], ...others] = microseconds;
  return others.map((costs, index) => {
    const ratios = costs.map((cost, round) => cost / (base[round] ?? Number.NaN));
    const condition = index === 1 ? ", with `If-None-Match`" : "";
    const title = `statement, against the plain read: ${what}, ${engine.name}${condition}`;
    const line = describeRatio(title, ratios, TARGET);
    line.measured += `; ${median(costs).toFixed(0)} µs`;
    return line;
  });
}

/** The statements for the run `id` as the Worker sends them: without, then with `If-None-Match`. */
async function captureStatements(stage: Stage, shape: RunShape, id: string): Promise<Statement[]> {
  const asked = await stage.addRun(shape);
  // For each an isolate that remembers nothing of the other.
  const statements: Statement[] = [];
  let held: Record<string, string> = {};
  while (statements.length < 2) {
    const worker = await stage.start(stage.product);
    const { headers } = await stage.ask(worker, asked, held);
    await worker.end();
    held = { "if-none-match": headers.etag ?? "" };
    const sent = JSON.parse(stage.upstream.calls.at(-1)?.body ?? "") as Statement;
    statements.push({ ...sent, params: sent.params.map((value) => (value === asked ? id : value)) });
  }
  return statements;
}
