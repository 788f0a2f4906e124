// The runs that the benchmark reads, by name, and the rows that stand for them in Postgres.
// What a request costs with them is measured elsewhere.

import type { Database } from "../dev/database.ts";

export type RunSpecification = {
  isFinished: boolean;
  agents: number;
  /** Of `result` in a finished run, of `task_input` in an unfinished one. */
  bytes: number;
  isAscii: boolean;
};

export const ownerId = "auth0|64f1c0ffee64f1c0ffee64f1";

export const growthSizes: readonly (readonly [label: string, bytes: number])[] = [
  ["1 KB", 1_000],
  ["10 KB", 10_000],
  ["100 KB", 100_000],
  ["1 MB", 1_000_000],
  ["5 MB", 5_000_000],
];
export const growthAgents: readonly number[] = [1, 4, 16, 64];

const specifications = new Map<string, RunSpecification>();
for (const isFinished of [true, false]) {
  const state = isFinished ? "finished" : "unfinished";
  const add = (label: string, differences: Partial<RunSpecification>): void => {
    const usual = { isFinished, agents: 2, bytes: 1_000, isAscii: true };
    specifications.set(`${state} ${label}`, { ...usual, ...differences });
  };
  add("usual", {});
  add("500 KB", { bytes: 500_000 });
  add("500 KB beyond ASCII", { bytes: 500_000, isAscii: false });
  for (const [label, bytes] of growthSizes) add(label, { bytes });
  for (const agents of growthAgents) add(`${agents} agents`, { agents });
}

const names = [...specifications.keys()];

/** The id of a run by its name, such as `finished usual` or `unfinished 64 agents`. */
export function idOf(name: string): string {
  const index = names.indexOf(name);
  if (index === -1) throw new Error(`no run is named ${name}`);
  return `a0000000-0000-4000-8000-${index.toString(16).padStart(12, "0")}`;
}

/** The runs that have copies, by the first digits of the copies' ids. */
const copied = { c0000000: "finished usual", d0000000: "unfinished usual", e0000000: "unfinished 500 KB" };
export type CopiedRun = (typeof copied)[keyof typeof copied];
export const copyPattern = new RegExp(`(?:${Object.keys(copied).join("|")})-0000-4000-8000-[0-9a-f]{12}`);

/** The id of one of the copies of a run; the canned endpoint makes them up from the first. */
export function idOfCopy(index: number, of: CopiedRun = "finished usual"): string {
  const prefix = Object.entries(copied).find(([, name]) => name === of)?.[0];
  return `${prefix}-0000-4000-8000-${index.toString(16).padStart(12, "0")}`;
}

/** The first copy of the run that this is a copy of. */
export const firstCopyOf = (id: string): string => `${id.slice(0, 8)}${idOfCopy(0).slice(8)}`;

const sentence = "The line was extended in two steps, and the harbour is eleven minutes nearer now. ";
const foreignSentence = "Die Strecke wurde in zwei Schritten verlängert — 港まで十一分近くなりました 🚋. ";

function makeText(bytes: number, isAscii: boolean): string {
  const unit = isAscii ? sentence : foreignSentence;
  return unit.repeat(Math.ceil(bytes / Buffer.byteLength(unit)));
}

/** JSON as an input may look: documents of about 1 KB with text, numbers and flags. */
function makeTaskInput(bytes: number, isAscii: boolean): string {
  const text = makeText(800, isAscii);
  const documents = Array.from({ length: Math.max(1, Math.round(bytes / 1_000)) }, (_, index) => ({
    number: index,
    score: index / 7,
    title: `Finding "${index}"`,
    text,
    tags: ["tram", "harbour", "2020"],
    isChecked: index % 2 === 0,
  }));
  return JSON.stringify({ topic: "trams", documents });
}

function makeCrewConfig(agents: number): string {
  return JSON.stringify({
    agents: Array.from({ length: agents }, (_, index) => ({
      role: `Researcher ${index}`,
      goal: "Find what has changed in the city's tram network since 2020",
      backstory: makeText(300, true),
      tools: ["web_search", "read_file"],
    })),
    tasks: Array.from({ length: agents }, (_, index) => ({
      description: "List every new stop, with its date",
      agent_index: index,
      expected_output: "A table",
    })),
  });
}

const insert = `insert into crew_runs
  (id, correlation_id, owner_id, status, created_at, crew_type, crew_config, task_input, result, started_at, completed_at)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`;

/** Writes all runs and the first of the copies. */
export async function insertRuns(database: Database): Promise<void> {
  const rows: [id: string, specification: RunSpecification][] = names.flatMap((name) => {
    const specification = specifications.get(name);
    return specification === undefined ? [] : [[idOf(name), specification]];
  });
  for (const name of Object.values(copied)) {
    const specification = specifications.get(name);
    if (specification !== undefined) rows.push([idOfCopy(0, name), specification]);
  }
  for (const [id, { isFinished, agents, bytes, isAscii }] of rows) {
    await database.query(
      insert,
      [
        id,
        "3f0c9a52-8f0e-4a53-9f57-0d6a2f4b7c11",
        ownerId,
        isFinished ? "completed" : "running",
        "2026-03-01T10:00:00.123456Z",
        "research",
        makeCrewConfig(agents),
        makeTaskInput(isFinished ? 1_000 : bytes, isAscii),
        isFinished ? makeText(bytes, isAscii) : null,
        "2026-03-01T10:00:01.5Z",
        isFinished ? "2026-03-01T10:04:07.000001Z" : null,
      ],
      // The texts are JSON already.
      { serializers: { 3802: (value: string) => value } },
    );
  }
}
