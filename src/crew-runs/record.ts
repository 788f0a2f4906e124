// The record: the one schema from which the answer, its types and the published document come, and its JSON text.
// `task_input` is carried as the text that Postgres holds: JavaScript's numbers would round it.
import * as z from "zod/mini";
import { type Result, fail, succeed } from "../failure.ts";

export const AgentConfig = z.object({
  role: z.string(),
  goal: z.string(),
  backstory: z.string(),
  id: z._default(z.nullable(z.string()), null),
  verbose: z._default(z.boolean(), false),
  allow_delegation: z._default(z.boolean(), false),
  tools: z._default(z.array(z.string()), []),
  use_default_mcps: z._default(z.boolean(), true),
});

export const TaskConfig = z.object({
  description: z.string(),
  agent_index: z._default(z.int(), 0),
  expected_output: z._default(z.string(), ""),
  tools: z._default(z.array(z.string()), []),
});

export const CrewConfig = z.object({
  agents: z.array(AgentConfig),
  tasks: z.array(TaskConfig),
  id: z._default(z.nullable(z.string()), null),
  verbose: z._default(z.boolean(), false),
  process: z._default(z.string(), "sequential"),
});

/** RFC 3339 in UTC with all six digits of Postgres's microseconds. */
const timestamp = z.iso.datetime({ precision: 6 });

export const CrewRun = z.object({
  id: z.guid(),
  correlation_id: z.string(),
  owner_id: z.string(),
  status: z.enum(["pending", "running", "completed", "failed"]),
  created_at: timestamp,
  crew_type: z.nullable(z.string()),
  crew_config: z.nullable(CrewConfig),
  task_input: z.nullable(z.record(z.string(), z.unknown())),
  result: z.nullable(z.string()),
  error: z.nullable(z.string()),
  started_at: z.nullable(timestamp),
  completed_at: z.nullable(timestamp),
});

/** A text that is no JSON becomes no config at all, so that the record is refused by the schema. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The record as the statement yields it: JSON columns as their text. */
const StoredRun = z.extend(CrewRun, {
  crew_config: z.nullable(z.pipe(z.pipe(z.string(), z.transform(parseJson)), CrewConfig)),
  task_input: z.nullable(z.string().check(z.startsWith("{"))),
  version: z.string(),
});

export const RUN_FIELDS = Object.keys(CrewRun.shape) as (keyof z.infer<typeof CrewRun>)[];

/**
 * Part of every entity tag, to be raised with each change of how a row is written as JSON: the rest of a tag tells rows
 * apart, not programs. A test compares.
 */
export const REPRESENTATION = "1";

/** A run that was read and checked, ready to send. */
export interface Run {
  id: string;
  ownerId: string;
  /** `completed` and `failed` are final. */
  isFinal: boolean;
  createdMs: number;
  /** With its quotes: that of the row and of how it is written, not of the token (RFC 9110 §8.8.3). */
  etag: string;
  /** When the database was asked, in milliseconds since the epoch: a copy's age counts from here, wherever it lies. */
  readMs: number;
  /** JSON. Absent where it is known to be what the asker holds already. */
  body: string | Uint8Array | undefined;
}

/**
 * Checks a row against the contract and writes its JSON: the twelve keys in order, defaults filled in, unknown config keys
 * dropped. Fails with `invalid_record`, naming the fields that do not fit, never their values.
 */
export function readRun(row: Record<string, unknown>, readMs: number): Result<Run> {
  const parsed = z.safeParse(StoredRun, row);
  if (!parsed.success) {
    const fields = parsed.error.issues.map((issue) => `${issue.path.join(".")} (${issue.code})`);
    return fail({ reason: "invalid_record", why: fields.join(", ") });
  }
  const stored = parsed.data;
  let json = "";
  for (const field of RUN_FIELDS) {
    const value = field === "task_input" ? stored.task_input : JSON.stringify(stored[field]);
    json += `${json === "" ? "{" : ","}"${field}":${value}`;
  }
  return succeed({
    id: stored.id,
    ownerId: stored.owner_id,
    isFinal: stored.status === "completed" || stored.status === "failed",
    createdMs: Date.parse(stored.created_at),
    etag: tagOf(stored.version),
    readMs,
    body: `${json}}`,
  });
}

/** The entity tag of a row's version, which the database makes from all of its columns. */
export const tagOf = (version: string) => `"${REPRESENTATION}-${version}"`;

const OUR_TAG = new RegExp(`^(?:W/)?"${REPRESENTATION}-([0-9a-f]{32})"$`);

/** The version in a single entity tag of ours, weak or strong, or undefined. */
export function versionOf(tag: string | null): string | undefined {
  return OUR_TAG.exec(tag ?? "")?.[1];
}
