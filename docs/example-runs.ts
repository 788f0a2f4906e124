// The examples of the documents: runs of the local stack, so that "try it" finds them. Their JSON is written by the Worker's own
// code; a test inserts the rows and gets these examples.
import { EXAMPLE_ROWS } from "../dev/seeded-runs.ts";
import { type Run, makeRun } from "../src/crew-runs/record.ts";

type Row = (typeof EXAMPLE_ROWS)[keyof typeof EXAMPLE_ROWS];

/** The run of a row, which the database's statement yields with its times as JSON texts. */
async function readExample(row: Row): Promise<Run> {
  const store = (time: string | null) => time && JSON.stringify(time.replace("Z", ""));
  const { created_at, started_at, completed_at } = row;
  const times = { created_at: store(created_at), started_at: store(started_at), completed_at: store(completed_at) };
  return makeRun({ ...row, ...times }, 0);
}

/** The tag of the completed example. */
export const EXAMPLE_ETAG = (await readExample(EXAMPLE_ROWS.completed)).etag;

const SUMMARIES: Record<keyof typeof EXAMPLE_ROWS, string> = {
  completed: "A finished run: cache it",
  running: "A running run: poll after Retry-After, or use Prefer: wait",
  pending: "A run that hasn't started",
  failed: "A run that failed, without a recorded crew",
};

/** The OpenAPI Example Objects of the runs. */
export async function describeExampleRuns(): Promise<Record<string, { summary: string; value: unknown }>> {
  const examples = Object.entries(EXAMPLE_ROWS).map(async ([name, row]) => {
    const { body } = await readExample(row);
    const value = parseExactly(new TextDecoder().decode(body));
    return [name, { summary: SUMMARIES[name as keyof typeof EXAMPLE_ROWS], value }] as const;
  });
  return Object.fromEntries(await Promise.all(examples));
}

/** JavaScript's numbers would round `task_input`: each one is written again with the digits that it came with. */
export function parseExactly(json: string): unknown {
  const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };
  const keepDigits = (_key: string, value: unknown, context?: { source: string }) =>
    typeof value === "number" ? rawJSON(context?.source ?? String(value)) : value;
  return JSON.parse(json, keepDigits);
}
