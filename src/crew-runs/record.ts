// The record: the one schema from which the response, its types and the published document come, and its JSON text.
// `task_input` is carried as the text that Postgres holds: JavaScript's numbers would round it.
import { base64url } from "jose";
import * as z from "zod/mini";
import { Failure } from "../failure.ts";
import type { Reader } from "../request.ts";

// Shared by fields, because to make a schema costs time when the isolate starts.
const text = z.string();
const textOrNull = z.nullable(text);
const texts = z._default(z.array(text), []);
const flag = z._default(z.boolean(), false);

export const AgentConfig = z.object({
  role: text,
  goal: text,
  backstory: text,
  id: z._default(textOrNull, null),
  verbose: flag,
  allow_delegation: flag,
  tools: texts,
  use_default_mcps: z._default(z.boolean(), true),
});

export const TaskConfig = z.object({
  description: text,
  agent_index: z._default(z.int(), 0),
  expected_output: z._default(text, ""),
  tools: texts,
});

export const CrewConfig = z.object({
  agents: z.array(AgentConfig),
  tasks: z.array(TaskConfig),
  id: z._default(textOrNull, null),
  verbose: flag,
  process: z._default(text, "sequential"),
});

/** RFC 3339 in UTC with all six digits of Postgres's microseconds. */
const timestamp = z.stringFormat("date-time", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);

export const CrewRun = z.object({
  id: text,
  correlation_id: text,
  owner_id: text,
  status: z.enum(["pending", "running", "completed", "failed"]),
  created_at: timestamp,
  crew_type: textOrNull,
  crew_config: z.nullable(CrewConfig),
  task_input: z.nullable(z.record(text, z.unknown())),
  result: textOrNull,
  error: textOrNull,
  started_at: z.nullable(timestamp),
  completed_at: z.nullable(timestamp),
});

/** zod makes an issue of each broken item: a config of more characters could use up the isolate's memory. */
const MAX_CONFIG_LENGTH = 524_288;

/** A longer config and invalid JSON become undefined, which the schema rejects. */
function parseConfig(text: string): unknown {
  try {
    return text.length > MAX_CONFIG_LENGTH ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A time by `to_json`: its second, and digits without trailing zeros. */
const STORED_TIME = /^"([^".]*)(?:\.(\d*))?"$/;

/** With six digits and in UTC. The schema rejects what comes of an era, of an infinity and of a year of five digits. */
function readTime(json: string): string {
  const [, second, digits = ""] = STORED_TIME.exec(json) ?? [];
  return `${second}.${digits.padEnd(6, "0")}Z`;
}

/** `task_input` stays the text that Postgres holds. A JSON column may hold JSON's null for SQL's. */
const StoredRun = z.extend(CrewRun, { task_input: z.nullable(text.check(z.regex(/^(?:\{|null$)/))) });

/** A run that was read and checked, ready to send. */
export interface Run {
  id: string;
  ownerId: string;
  /** `completed` and `failed` are final. */
  isFinished: boolean;
  createdMs: number;
  /** A strong tag, with its quotes: it changes exactly when the body does (RFC 9110 §8.8.3). */
  etag: string;
  /** When the read began, in milliseconds since the epoch: the age of every copy counts from here. */
  readMs: number;
  /** JSON in UTF-8: hashed, sent and cached as it is. */
  body: Uint8Array;
}

const encoder = new TextEncoder();

/** Of a tag's 256 bits: enough that no two bodies of a run ever share one. */
const TAG_BYTES = 16;

/** A broken config can have hundreds of issues; a log line should not. */
const MAX_NAMED_FIELDS = 8;

/**
 * Checks a row against the contract and makes its run: the twelve keys in order, defaults filled in, unknown config keys
 * dropped. `readMs` is when the read began. Fails with `invalid_record`, naming the fields that don't fit, never their values.
 */
export function makeRun(row: Record<string, unknown>, readMs: number): Promise<Run> {
  // Each value arrives as its text.
  const values: typeof row = { ...row, crew_config: parseConfig(String(row["crew_config"])) };
  for (const key of ["created_at", "started_at", "completed_at"]) values[key] = row[key] && readTime(String(row[key]));
  const parsed = z.safeParse(StoredRun, values);
  if (!parsed.success) {
    const { issues } = parsed.error;
    const fields = issues.slice(0, MAX_NAMED_FIELDS).map((issue) => `${issue.path.join(".")} (${issue.code})`);
    const others = issues.length - fields.length;
    throw new Failure("invalid_record", { why: fields.join(", ") + (others > 0 ? `, and ${others} more` : "") });
  }
  const { task_input, result, error, started_at, completed_at, ...first } = parsed.data;
  const last = { result, error, started_at, completed_at };
  const [head, tail] = [JSON.stringify(first).slice(0, -1), JSON.stringify(last).slice(1)];
  const body = encoder.encode(`${head},"task_input":${task_input ?? "null"},${tail}`);
  const { id, owner_id: ownerId, status, created_at } = first;
  const isFinished = status === "completed" || status === "failed";
  const run = { id, ownerId, isFinished, createdMs: Date.parse(created_at), readMs, body };
  // Not an async function: it would hold row and strings, several times the body's size, until the digest is made.
  return crypto.subtle.digest("SHA-256", body).then((digest) => {
    return { ...run, etag: `"${base64url.encode(new Uint8Array(digest, 0, TAG_BYTES))}"` };
  });
}

/** Whether the reader may see the run. No run leaves the Worker unless this is true. */
export const canSee = (run: Run, reader: Reader): boolean => reader.isAdmin || run.ownerId === reader.subject;
