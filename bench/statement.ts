// The time of the Worker's statement in Postgres, against the plain read of the same row by primary key. The statement is captured
// from the Worker, with its values; each execution is parsed, planned and run in Postgres's protocol, as behind Neon's endpoint.
// On PGlite, and by pgbench on a PostgreSQL server if PGBIN names the folder of its programs.
import { randomUUID } from "node:crypto";
import { READER_ROLE, withSession } from "../dev/database.ts";
import { startPostgres } from "./postgres.ts";
import type { LocalStack } from "./local-stack.ts";
import { type Line, describeRatio } from "./report.ts";
import { LARGE_RUN, type RunShape, SMALL_RUN, insertRun } from "./runs.ts";
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
  /** Returns the microseconds of one execution. */
  time(statement: string, values: readonly string[], times: number): Promise<number>;
}

export async function measureStatement(stack: LocalStack): Promise<Line[]> {
  const lines = await measureOn(stack, {
    name: "PGlite",
    execute: async (sql) => stack.database.exec(sql),
    time: async (statement, values, times) =>
      withSession(stack.database, READER_ROLE, async (run) => {
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
    return [...lines, ...(await measureOn(stack, { name, execute, time }))];
  } finally {
    await server.close();
  }
}

async function measureOn(stack: LocalStack, engine: Engine): Promise<Line[]> {
  return [
    ...(await measureRun(stack, "a small row", SMALL_RUN, engine, 400)),
    ...(await measureRun(stack, "500 KB of input", LARGE_RUN, engine, 20)),
  ];
}

async function measureRun(
  stack: LocalStack,
  what: string,
  shape: RunShape,
  engine: Engine,
  times: number,
): Promise<Line[]> {
  const id = randomUUID();
  await engine.execute(insertRun(id, shape));
  const plain: Statement = { query: `select ${COLUMNS} from crew_runs where id = $1`, params: [id] };
  const statements = [plain, ...(await captureStatements(stack, shape, id))];
  const microseconds: number[][] = statements.map(() => []);
  for (let round = 0; round <= ROUNDS; round++) {
    const turns = [...statements.entries()];
    for (const [index, { query, params }] of round % 2 === 0 ? turns : turns.toReversed()) {
      const cost = await engine.time(query, params, times);
      // The first round is for warming up.
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

/** The statements for the run `id` as the Worker sends them: without and with `If-None-Match`. */
async function captureStatements(stack: LocalStack, shape: RunShape, id: string): Promise<Statement[]> {
  const other = await stack.addRun(shape);
  // Each from a new isolate, with an empty cache.
  const statements: Statement[] = [];
  let condition: Record<string, string> = {};
  while (statements.length < 2) {
    const worker = await stack.start(stack.product);
    const { headers } = await stack.read(worker, other, condition);
    await worker.end();
    condition = { "if-none-match": headers.etag ?? "" };
    const sent = JSON.parse(stack.upstream.calls.at(-1)?.body ?? "") as Statement;
    statements.push({ ...sent, params: sent.params.map((value) => (value === other ? id : value)) });
  }
  return statements;
}
