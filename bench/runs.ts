// The rows of the benchmark, as SQL.

export const OWNER = "auth0|64f1c0ffee64f1c0ffee64f1";

export interface RunShape {
  isFinished: boolean;
  /** About so many bytes of `task_input`. */
  inputBytes: number;
}

export const SMALL_RUN: RunShape = { isFinished: false, inputBytes: 1_000 };
export const LARGE_RUN: RunShape = { isFinished: false, inputBytes: 500_000 };
export const FINISHED_RUN: RunShape = { isFinished: true, inputBytes: 1_000 };

const SENTENCE = "The line was extended in two steps, and the harbour is eleven minutes nearer now. ";

function quoteLiteral(value: string | null): string {
  return value === null ? "null" : `'${value.replaceAll("'", "''")}'`;
}

/** A plausible input: documents of about 1 KB with text, numbers and flags. */
function makeTaskInput(bytes: number): string {
  const documents = Array.from({ length: Math.max(1, Math.round(bytes / 1_000)) }, (_, index) => ({
    number: index,
    score: index / 7,
    title: `Finding "${index}"`,
    text: SENTENCE.repeat(10),
    tags: ["tram", "harbour", "2020"],
    isChecked: index % 2 === 0,
  }));
  return JSON.stringify({ topic: "trams", documents });
}

const CREW_CONFIG = JSON.stringify({
  agents: ["Researcher", "Writer"].map((role) => ({
    role,
    goal: "Find what has changed in the city's tram network since 2020",
    backstory: SENTENCE.repeat(4),
    tools: ["web_search", "read_file"],
  })),
  tasks: [
    { description: "List every new stop, with its date", expected_output: "A table" },
    { description: "Say what it changes", agent_index: 1, expected_output: "A page" },
  ],
});

const FINISH = { status: "completed", result: SENTENCE.repeat(12), completed_at: "2026-03-01T10:04:07.000001Z" };

export function insertRun(id: string, { isFinished, inputBytes }: RunShape): string {
  const row = {
    id,
    correlation_id: "3f0c9a52-8f0e-4a53-9f57-0d6a2f4b7c11",
    owner_id: OWNER,
    status: "running",
    created_at: "2026-03-01T10:00:00.123456Z",
    crew_type: "research",
    crew_config: CREW_CONFIG,
    task_input: makeTaskInput(inputBytes),
    started_at: "2026-03-01T10:00:01.5Z",
    ...(isFinished && FINISH),
  };
  return `insert into crew_runs (${Object.keys(row).join(", ")}) values (${Object.values(row).map(quoteLiteral).join(", ")})`;
}

export function finishRun(id: string): string {
  const changes = Object.entries(FINISH).map(([name, value]) => `${name} = ${quoteLiteral(value)}`);
  return `update crew_runs set ${changes.join(", ")} where id = ${quoteLiteral(id)}`;
}
