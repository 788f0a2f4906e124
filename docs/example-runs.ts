// The runs that the document shows, as rows. Their JSON is written by the Worker's own code;
// a test inserts these rows and gets these examples. Ids are those of the local stack's seed, so that "try it" finds a run.
import { type Run, makeRun } from "../src/crew-runs/record.ts";

const crew = JSON.stringify({
  agents: [
    {
      role: "Researcher",
      goal: "Find what has changed in the city's tram network since 2020",
      backstory: "A patient reader of timetables.",
      tools: ["web_search"],
    },
  ],
  tasks: [{ description: "List every new stop, with its date", expected_output: "A table" }],
});

const running = {
  id: "33333333-3333-4333-8333-333333333333",
  correlation_id: "req-5f0c9a",
  owner_id: "owner",
  status: "running",
  created_at: "2026-03-01T12:00:00.500000Z",
  crew_type: "research",
  crew_config: crew,
  task_input: `{"city": "Brno", "since": 2020}`,
  result: null,
  error: null,
  started_at: "2026-03-01T12:00:02.250000Z",
  completed_at: null,
} as const;

export const EXAMPLE_ROWS = {
  completed: {
    ...running,
    id: "11111111-1111-4111-8111-111111111111",
    status: "completed",
    result: "| Stop | Opened |\n|---|---|\n| Harbour | 2022-03-01 |",
    completed_at: "2026-03-01T12:04:59.999999Z",
  },
  running,
  pending: {
    ...running,
    id: "22222222-2222-4222-8222-222222222222",
    status: "pending",
    started_at: null,
  },
  failed: {
    ...running,
    id: "44444444-4444-4444-8444-444444444444",
    status: "failed",
    crew_type: null,
    crew_config: null,
    task_input: null,
    error: "The search found no such city.",
    completed_at: "2026-03-01T12:00:09.750000Z",
  },
} as const;

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
  completed: "A finished run: it may be kept, and needs no further request",
  running: "A run under way: ask again after Retry-After, or with Prefer: wait",
  pending: "A run that nobody works on yet",
  failed: "A run that failed, of a crew that was not recorded",
};

/** The OpenAPI Example Objects of the runs. */
export async function describeExampleRuns(): Promise<Record<string, { summary: string; value: unknown }>> {
  const examples = Object.entries(EXAMPLE_ROWS).map(async ([name, row]) => {
    const { body } = await readExample(row);
    const value: unknown = JSON.parse(new TextDecoder().decode(body));
    return [name, { summary: SUMMARIES[name as keyof typeof EXAMPLE_ROWS], value }] as const;
  });
  return Object.fromEntries(await Promise.all(examples));
}
