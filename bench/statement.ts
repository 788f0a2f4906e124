// What the Worker's statement costs the database, against the plain read of the same row: by primary key, with casts to
// text. The statement is what the Worker sent. It is executed many times inside the database, parsed and planned each time;
// what the way there costs is not in it. On PGlite, and on a PostgreSQL server where PGBIN names a folder with its programs.
import { randomUUID } from "node:crypto";
import { type Line, describeRatio } from "./report.ts";
import { startPostgres } from "./postgres.ts";
import { LARGE_RUN, type RunShape, SMALL_RUN, insertRun, quoteLiteral } from "./runs.ts";
import type { Stage } from "./stage.ts";
import { median } from "./statistics.ts";

const ROUNDS = 21;
const TARGET = 1.5;

const COLUMNS =
  "id correlation_id owner_id status created_at crew_type crew_config task_input result error started_at completed_at";

/** Gives the microseconds of one execution. */
const TIMER = `create function time_statement(statement text, times int) returns float language plpgsql as $$
declare
  reply record;
  started timestamptz := clock_timestamp();
begin
  for turn in 1..times loop
    execute statement into reply;
  end loop;
  return extract(epoch from clock_timestamp() - started) * 1e6 / times;
end $$`;

type Query = (sql: string) => Promise<string>;

export async function measureStatement(stage: Stage): Promise<Line[]> {
  const pglite: Query = async (sql) => {
    const results = await stage.database.exec(sql, { rowMode: "array" });
    return String(results.at(-1)?.rows[0]?.[0 as never] ?? "");
  };
  const lines = await measureOn(stage, "PGlite", pglite);
  const programs = process.env["PGBIN"];
  if (programs === undefined) return lines;
  const server = await startPostgres(programs);
  try {
    return [...lines, ...(await measureOn(stage, server.version, server.query))];
  } finally {
    await server.close();
  }
}

async function measureOn(stage: Stage, engine: string, query: Query): Promise<Line[]> {
  await query(TIMER);
  return [
    ...(await measureRun(stage, `a small row, ${engine}`, query, SMALL_RUN, 1_000)),
    ...(await measureRun(stage, `500 KB of input, ${engine}`, query, LARGE_RUN, 25)),
  ];
}

async function measureRun(stage: Stage, what: string, query: Query, shape: RunShape, times: number): Promise<Line[]> {
  const captured = await captureStatements(stage, shape);
  const id = randomUUID();
  await query(insertRun(id, shape));
  const plain = `select ${COLUMNS.split(" ")
    .map((name) => `${name}::text`)
    .join(", ")} from crew_runs where id = '${id}'`;
  const statements = [plain, ...captured.map((statement) => statement.replaceAll("RUN_ID", id))];
  const microseconds: number[][] = statements.map(() => []);
  for (let round = 0; round <= ROUNDS; round++) {
    const turns = [...statements.entries()];
    for (const [index, statement] of round % 2 === 0 ? turns : turns.toReversed()) {
      const cost = Number(await query(`select time_statement(${quoteLiteral(statement)}, ${times})`));
      // The first round warms up.
      if (round > 0) microseconds[index]?.push(cost);
    }
  }
  const [base = [], ...others] = microseconds;
  return others.map((costs, index) => {
    const ratios = costs.map((cost, round) => cost / (base[round] ?? Number.NaN));
    const line = describeRatio(
      `statement, against the plain read: ${what}${index === 1 ? ", with `If-None-Match`" : ""}`,
      ratios,
      TARGET,
    );
    line.measured += `; ${median(costs).toFixed(0)} µs`;
    return line;
  });
}

/** The statement as the Worker sends it, RUN_ID in place of the id: without, then with `If-None-Match`. */
async function captureStatements({ start, product, addRun, ask, upstream }: Stage, shape: RunShape): Promise<string[]> {
  const id = await addRun(shape);
  // For each an isolate that remembers nothing of the other.
  const statements: string[] = [];
  let held: Record<string, string> = {};
  while (statements.length < 2) {
    const worker = await start(product);
    const { headers } = await ask(worker, id, held);
    await worker.end();
    held = { "if-none-match": headers.etag ?? "" };
    statements.push(writeOut(upstream.calls.at(-1)?.body ?? "").replaceAll(id, "RUN_ID"));
  }
  return statements;
}

/** The statement with its parameters as literals, which Postgres types and plans as it does parameters of an unknown type. */
function writeOut(body: string): string {
  const { query, params } = JSON.parse(body) as { query: string; params: (string | null)[] };
  return query.replaceAll(/\$(\d+)/g, (_, number: string) => quoteLiteral(params[Number(number) - 1] ?? null));
}
