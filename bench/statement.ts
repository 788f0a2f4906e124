// The time of the Worker's statement in Postgres, against the plain read of the same row by primary key. The statement is captured
// from the Worker, with its values; each execution is parsed, planned and run in Postgres's protocol, as behind Neon's endpoint.
// With pgbench on a PostgreSQL server if PGBIN names the folder of its programs, otherwise on PGlite.
import { randomUUID } from "node:crypto";
import { READER_ROLE, withSession } from "../dev/database.ts";
import { startPostgres } from "./postgres.ts";
import type { LocalStack } from "./local-stack.ts";
import { type Advance, type Part, countRounds } from "./part.ts";
import { type Line, describeRatio } from "./report.ts";
import { LARGE_RUN, type RunShape, SMALL_RUN, insertRun } from "./runs.ts";

const ROUNDS = 41;
const TARGET = 1.5;
/** `times`: how often a statement is executed in one round. */
const SMALL = { what: "a small row", shape: SMALL_RUN, times: 400 };
const LARGE = { what: "500 KB of input", shape: LARGE_RUN, times: 20 };

const COLUMNS =
  "id, correlation_id, owner_id, status, created_at, crew_type, crew_config, task_input, result, error, started_at, completed_at";

interface Statement {
  query: string;
  params: string[];
}

interface Engine {
  version: string;
  query(sql: string): Promise<unknown>;
  /** Returns the microseconds of one execution. */
  time(statement: string, values: readonly string[], times: number): Promise<number>;
}

export const statement: Part = {
  describe: "time of the Worker's statement in Postgres (on a PostgreSQL server if PGBIN names its programs)",
  seconds: (options) => countRounds(options, ROUNDS),
  async measure(stack, options, advance) {
    const programs = process.env["PGBIN"];
    const server = programs === undefined ? undefined : await startPostgres(programs);
    const engine = server ?? usePglite(stack);
    const rounds = countRounds(options, ROUNDS);
    try {
      return [
        ...(await measureRun(stack, engine, { ...SMALL, rounds }, (share) => advance(share / 2))),
        ...(await measureRun(stack, engine, { ...LARGE, rounds }, (share) => advance((1 + share) / 2))),
      ];
    } finally {
      await server?.close();
    }
  },
};

function usePglite({ database }: LocalStack): Engine {
  return {
    version: "PGlite",
    query: async (sql) => database.exec(sql),
    time: async (sql, values, times) =>
      withSession(database, READER_ROLE, async (run) => {
        const startedMs = performance.now();
        for (let turn = 0; turn < times; turn++) await run(sql, [...values]);
        return ((performance.now() - startedMs) * 1_000) / times;
      }),
  };
}

async function measureRun(
  stack: LocalStack,
  engine: Engine,
  { what, shape, times, rounds }: typeof SMALL & { rounds: number },
  advance: Advance,
): Promise<Line[]> {
  const id = randomUUID();
  await engine.query(insertRun(id, shape));
  const plain: Statement = { query: `select ${COLUMNS} from crew_runs where id = $1`, params: [id] };
  const statements = [plain, ...(await captureStatements(stack, shape, id))];
  const microseconds: number[][] = statements.map(() => []);
  for (let round = 0; round <= rounds; round++) {
    const turns = [...statements.entries()];
    for (const [index, { query, params }] of round % 2 === 0 ? turns : turns.toReversed()) {
      const cost = await engine.time(query, params, times);
      // The first round is for warming up.
      if (round > 0) microseconds[index]?.push(cost);
    }
    advance(round / rounds);
  }
  const [base = [], ...others] = microseconds;
  return others.map((own, index) => {
    const condition = index === 1 ? ", with `If-None-Match`" : "";
    const title = `statement, against the plain read: ${what}${condition}, ${engine.version}`;
    const format = (cost: number) => `${cost.toFixed(0)} µs`;
    return describeRatio(title, { own, base, format, target: TARGET });
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
