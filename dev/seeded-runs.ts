// The runs that the local stack starts with: every state, small and large, of two users.
// Their ids are fixed, so that documentation and habits can rely on them. The tests bring their own rows.

/** A row of the table. JSON columns are text: through JavaScript's numbers and prototypes half of it would be lost. */
export interface SeededRun {
  id: string;
  correlation_id: string;
  owner_id: "owner" | "stranger";
  status: "pending" | "running" | "completed" | "failed";
  created_at: string;
  crew_type: string | null;
  crew_config: string | null;
  task_input: string | null;
  result: string | null;
  error: string | null;
  started_at: string | null;
  completed_at: string | null;
}

const RESEARCH = {
  crew_type: "research",
  crew_config: JSON.stringify({
    agents: [
      {
        role: "Researcher",
        goal: "Find what has changed in the city's tram network since 2020",
        backstory: "A patient reader of timetables.",
        tools: ["web_search"],
      },
    ],
    tasks: [{ description: "List every new stop, with its date", expected_output: "A table" }],
  }),
  result: null,
  error: null,
  started_at: null,
  completed_at: null,
};

/** One run in each state: the documents show them as examples. */
export const EXAMPLE_ROWS = {
  completed: {
    ...RESEARCH,
    id: "11111111-1111-4111-8111-111111111111",
    correlation_id: "req-5f0c9a",
    owner_id: "owner",
    status: "completed",
    created_at: "2026-03-01T10:00:00.123456Z",
    task_input: `{"city": "Brno", "since": 2020, "budget": 1250000.0, "ticket": 9007199254740993}`,
    result: "# Trams since 2020\n\nNine new stops, and one line that runs through the night.",
    started_at: "2026-03-01T10:00:01.000001Z",
    completed_at: "2026-03-01T10:04:59.999999Z",
  },
  running: {
    ...RESEARCH,
    id: "33333333-3333-4333-8333-333333333333",
    correlation_id: "req-7d41be",
    owner_id: "owner",
    status: "running",
    created_at: "2026-03-01T12:00:00.500000Z",
    task_input: `{"city": "Lisbon", "since": 2020}`,
    started_at: "2026-03-01T12:00:02.250000Z",
  },
  pending: {
    ...RESEARCH,
    id: "22222222-2222-4222-8222-222222222222",
    correlation_id: "req-6ea27d",
    owner_id: "owner",
    status: "pending",
    created_at: "2026-03-01T11:00:00.000000Z",
    task_input: `{"city": "Porto", "since": 2020}`,
  },
  failed: {
    ...RESEARCH,
    id: "44444444-4444-4444-8444-444444444444",
    correlation_id: "req-8b53cf",
    owner_id: "owner",
    status: "failed",
    created_at: "2026-03-01T13:00:00.000000Z",
    crew_type: null,
    crew_config: null,
    task_input: null,
    error: "The search found no such city.",
    started_at: "2026-03-01T13:00:01.000000Z",
    completed_at: "2026-03-01T13:00:09.750000Z",
  },
} as const satisfies Record<SeededRun["status"], SeededRun>;

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

const { completed, running, pending, failed } = EXAMPLE_ROWS;

/** Each run with a few words for the terminal and for the chips at /docs. */
export const SEEDS: readonly (readonly [row: SeededRun, description: string])[] = [
  [completed, "completed"],
  [pending, "pending"],
  [running, "running"],
  [failed, "failed, without a crew"],
  [
    { ...completed, id: "55555555-5555-4555-8555-555555555555", correlation_id: "seed-5", result: LARGE_RESULT },
    "completed, 200 KB",
  ],
  [
    { ...completed, id: "77777777-7777-4777-8777-777777777777", correlation_id: "seed-7", task_input: EXACT_INPUT },
    "completed, exact numbers",
  ],
  [
    {
      ...completed,
      id: "66666666-6666-4666-8666-666666666666",
      correlation_id: "seed-6",
      owner_id: "stranger",
      crew_type: null,
      crew_config: null,
      task_input: "{}",
      result: "",
    },
    "completed, the stranger's",
  ],
];

/** Every seeded run, the example first. */
export const SEEDED_RUNS = SEEDS.map(([{ id, owner_id: ownerId, status }, description]) => ({
  id,
  ownerId,
  status,
  description,
}));
