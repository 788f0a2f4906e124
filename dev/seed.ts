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
  times: [createdAt: string, startedAt: string | null, completedAt: string | null];
  crew?: object;
  /** JSON text, not an object: through JavaScript's numbers and prototypes half of it would be lost. */
  taskInput?: string;
  result?: string;
  error?: string;
}

const RESEARCH_CREW = {
  agents: [
    { role: "Researcher", goal: "Find new tram stops", backstory: "A patient reader.", tools: ["web_search"] },
    { role: "Writer", goal: "One page for passengers", backstory: "An editor.", allow_delegation: true },
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
    times: ["2026-03-01T10:00:00.123456Z", "2026-03-01T10:00:01.000001Z", "2026-03-01T10:04:59.999999Z"],
    crew: RESEARCH_CREW,
    taskInput: EXACT_INPUT,
    result: "# Trams since 2020\n\nNine new stops, and one line that runs through the night.",
  },
  {
    id: "22222222-2222-4222-8222-222222222222",
    ownerId: "owner",
    status: "pending",
    description: "pending, with nothing but what a pending run must have",
    times: ["2026-03-01T11:00:00Z", null, null],
  },
  {
    id: "33333333-3333-4333-8333-333333333333",
    ownerId: "owner",
    status: "running",
    description: "running, not finished yet",
    times: ["2026-03-01T12:00:00.5Z", "2026-03-01T12:00:02.25Z", null],
    crew: RESEARCH_CREW,
    taskInput: `{"city": "Brno"}`,
  },
  {
    id: "44444444-4444-4444-8444-444444444444",
    ownerId: "owner",
    status: "failed",
    description: "failed while running, with an error",
    times: ["2026-03-01T13:00:00Z", "2026-03-01T13:00:01Z", "2026-03-01T13:00:09.75Z"],
    crew: RESEARCH_CREW,
    taskInput: `{"city": "Atlantis"}`,
    error: "The search found no such city.",
  },
  {
    id: "55555555-5555-4555-8555-555555555555",
    ownerId: "owner",
    status: "completed",
    description: "completed, with a result of 200 KB",
    times: ["2026-03-01T14:00:00Z", "2026-03-01T14:00:01Z", "2026-03-01T14:59:00Z"],
    crew: RESEARCH_CREW,
    taskInput: `{"city": "Lisbon", "detail": "everything"}`,
    result: LARGE_RESULT,
  },
  {
    id: "66666666-6666-4666-8666-666666666666",
    ownerId: "stranger",
    status: "completed",
    description: "completed, the stranger's: a 404 to the owner",
    times: ["2026-03-02T10:00:00Z", "2026-03-02T10:00:00Z", "2026-03-02T10:00:00.000001Z"],
    taskInput: `{}`,
    result: "",
  },
];

/** Every seeded run, the showpiece first. */
export const SEEDED_RUNS: readonly SeededRun[] = SEEDS;

/** Inserts the seeded runs that are missing; a row that is there, however it has changed, stays as it is. */
export async function seedRuns(database: Database): Promise<void> {
  for (const { id, ownerId, status, times, crew, taskInput = null, result = null, error = null } of SEEDS) {
    await database.query(
      `insert into public.crew_runs (id, correlation_id, owner_id, status, created_at, started_at, completed_at,
         crew_type, crew_config, task_input, result, error)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::jsonb, $11, $12) on conflict (id) do nothing`,
      [id, `seed-${id[0]}`, ownerId, status, ...times, crew && "research", crew, taskInput, result, error],
    );
  }
}
