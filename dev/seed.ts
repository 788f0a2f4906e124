// The runs that the local stack starts with: every status, small and large, of two users.
// Their ids are fixed, so that documentation and habits can rely on them. The tests bring their own rows.
import type { Database } from "./database.ts";

interface SeededRun {
  id: string;
  /** The subject of its owner's tokens. */
  ownerId: "owner" | "stranger";
  status: "pending" | "running" | "completed" | "failed";
  /** One line for the panel. */
  description: string;
}

interface Seed extends SeededRun {
  /** The other columns, but for `task_input`. */
  row: Record<string, unknown>;
  /** JSON text, not an object: through JavaScript's numbers and prototypes half of it would be lost. */
  taskInput?: string;
}

const RESEARCH_CREW = {
  agents: [
    {
      role: "Researcher",
      goal: "Find what has changed in the city's tram network since 2020",
      backstory: "A patient reader of timetables.",
      tools: ["web_search"],
    },
    { role: "Writer", goal: "One page that a passenger understands", backstory: "An editor.", allow_delegation: true },
  ],
  tasks: [
    { description: "List every new stop, with its date", expected_output: "A table", tools: ["web_search"] },
    { description: "Write the page", agent_index: 1, expected_output: "Markdown, 300 words" },
  ],
};

const EXACT_INPUT = `{
  "note": "each value below reaches you digit by digit",
  "integer_beyond_2_53": 9007199254740993,
  "sixty_digits": 123456789012345678901234567890123456789012345678901234567890,
  "long_decimal": 3.14159265358979323846264338327950288419716939937510,
  "one_point_zero": 1.0,
  "tiny": 0.000000000000000000000000000001,
  "__proto__": {"is": "a key like any other"},
  "nested": {"empty": {}, "list": [1, 1.0, 1.00, null, "\\u00e9", "😀"]}
}`;

const PARAGRAPH = "The line was extended in two steps, and passengers gained eleven minutes on the way to the harbour.";
/** About 200 KB. */
const LARGE_RESULT = Array.from({ length: 1_700 }, (_, index) => `## Finding ${index + 1}\n\n${PARAGRAPH}\n`).join("");

const SEEDS: Seed[] = [
  {
    id: "11111111-1111-4111-8111-111111111111",
    ownerId: "owner",
    status: "completed",
    description: "completed, with a crew and an input that shows how exact the record is",
    taskInput: EXACT_INPUT,
    row: {
      created_at: "2026-03-01T10:00:00.123456Z",
      crew_type: "research",
      crew_config: RESEARCH_CREW,
      result: "# Trams since 2020\n\nNine new stops, and one line that runs through the night.",
      started_at: "2026-03-01T10:00:01.000001Z",
      completed_at: "2026-03-01T10:04:59.999999Z",
    },
  },
  {
    id: "22222222-2222-4222-8222-222222222222",
    ownerId: "owner",
    status: "pending",
    description: "pending, with nothing but what a pending run must have",
    row: { created_at: "2026-03-01T11:00:00Z" },
  },
  {
    id: "33333333-3333-4333-8333-333333333333",
    ownerId: "owner",
    status: "running",
    description: "running, not finished yet",
    taskInput: `{"city": "Brno"}`,
    row: {
      created_at: "2026-03-01T12:00:00.5Z",
      crew_type: "research",
      crew_config: RESEARCH_CREW,
      started_at: "2026-03-01T12:00:02.25Z",
    },
  },
  {
    id: "44444444-4444-4444-8444-444444444444",
    ownerId: "owner",
    status: "failed",
    description: "failed while running, with an error",
    taskInput: `{"city": "Atlantis"}`,
    row: {
      created_at: "2026-03-01T13:00:00Z",
      crew_type: "",
      crew_config: RESEARCH_CREW,
      error: "The search found no such city.",
      started_at: "2026-03-01T13:00:01Z",
      completed_at: "2026-03-01T13:00:09.75Z",
    },
  },
  {
    id: "55555555-5555-4555-8555-555555555555",
    ownerId: "owner",
    status: "completed",
    description: "completed, with a result of 200 KB",
    taskInput: `{"city": "Lisbon", "detail": "everything"}`,
    row: {
      created_at: "2026-03-01T14:00:00Z",
      crew_type: "research",
      crew_config: RESEARCH_CREW,
      result: LARGE_RESULT,
      started_at: "2026-03-01T14:00:01Z",
      completed_at: "2026-03-01T14:59:00Z",
    },
  },
  {
    id: "66666666-6666-4666-8666-666666666666",
    ownerId: "stranger",
    status: "completed",
    description: "completed, the stranger's: a 404 to the owner",
    taskInput: `{}`,
    row: {
      created_at: "2026-03-02T10:00:00Z",
      crew_type: "support",
      result: "",
      started_at: "2026-03-02T10:00:00Z",
      completed_at: "2026-03-02T10:00:00.000001Z",
    },
  },
  {
    id: "77777777-7777-4777-8777-777777777777",
    ownerId: "stranger",
    status: "failed",
    description: "failed before it started, the stranger's",
    row: {
      created_at: "2026-03-02T11:00:00Z",
      error: "No worker was free within ten minutes.",
      completed_at: "2026-03-02T11:10:00Z",
    },
  },
];

/** Every seeded run, the showpiece first. */
export const SEEDED_RUNS: readonly SeededRun[] = SEEDS;

/** Inserts the seeded runs that are missing; a row that is there, however it has changed, stays as it is. */
export async function seedRuns(database: Database): Promise<void> {
  for (const { id, ownerId, status, row, taskInput = "null" } of SEEDS) {
    const columns = { id, correlation_id: `seed-${id.slice(0, 8)}`, owner_id: ownerId, status, ...row };
    await database.query(
      `insert into public.crew_runs select * from json_populate_record(null::public.crew_runs, $1::text::json)
       on conflict (id) do nothing`,
      [`${JSON.stringify(columns).slice(0, -1)},"task_input":${taskInput}}`],
    );
  }
}
