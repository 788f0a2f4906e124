// The time of the Worker's statement in Postgres, against the plain read of the same row by primary key. The statement is captured
// from the Worker, with its values; each execution is parsed, planned and run in Postgres's protocol, as behind Neon's endpoint.
// On PGlite: on a PostgreSQL 15 server, the ratios were the same within their spread.
import { READER_ROLE, withSession } from "../dev/database.ts";
import type { BenchStack } from "./bench-stack.ts";
import { type Advance, type Part, countRounds } from "./part.ts";
import { type Line, describeRatio } from "./report.ts";
import { LARGE_RUN, SMALL_RUN } from "./runs.ts";

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

export const statement: Part = {
  describe: "the time of the Worker's statement in Postgres",
  seconds: (options) => countRounds(options, ROUNDS),
  async measure(stack, options, advance) {
    const rounds = countRounds(options, ROUNDS);
    return [
      ...(await measureRun(stack, { ...SMALL, rounds }, (share) => advance(share / 2))),
      ...(await measureRun(stack, { ...LARGE, rounds }, (share) => advance((1 + share) / 2))),
    ];
  },
};

async function measureRun(
  stack: BenchStack,
  { what, shape, times, rounds }: typeof SMALL & { rounds: number },
  advance: Advance,
): Promise<Line[]> {
  const id = await stack.addRun(shape);
  const plain: Statement = { query: `select ${COLUMNS} from crew_runs where id = $1`, params: [id] };
  const statements = [plain, ...(await captureStatements(stack, id))];
  const microseconds: number[][] = statements.map(() => []);
  for (let round = 0; round <= rounds; round++) {
    const turns = [...statements.entries()];
    for (const [index, each] of round % 2 === 0 ? turns : turns.toReversed()) {
      const cost = await time(stack, each, times);
      // The first round is for warming up.
      if (round > 0) microseconds[index]?.push(cost);
    }
    advance(round / rounds);
  }
  const [base = [], ...others] = microseconds;
  return others.map((own, index) => {
    const condition = index === 1 ? ", with `If-None-Match`" : "";
    const title = `statement, against the plain read: ${what}${condition}`;
    const format = (cost: number) => `${cost.toFixed(0)} µs`;
    return describeRatio(title, { own, base, format, target: TARGET });
  });
}

/** Returns the microseconds of one execution. */
async function time({ database }: BenchStack, { query, params }: Statement, times: number): Promise<number> {
  return withSession(database, READER_ROLE, async (run) => {
    const startedMs = performance.now();
    for (let turn = 0; turn < times; turn++) await run(query, [...params]);
    return ((performance.now() - startedMs) * 1_000) / times;
  });
}

/** The statements for the run `id` as the Worker sends them: without and with `If-None-Match`. */
async function captureStatements(stack: BenchStack, id: string): Promise<Statement[]> {
  const statements: Statement[] = [];
  let condition: Record<string, string> = {};
  while (statements.length < 2) {
    // A new isolate, so that nothing is remembered.
    const worker = await stack.start(stack.product);
    const { headers } = await stack.read(worker, id, condition);
    await worker.end();
    condition = { "if-none-match": headers.etag ?? "" };
    statements.push(JSON.parse(stack.upstream.calls.at(-1)?.body ?? "") as Statement);
  }
  return statements;
}
