// The record: all keys in order, each value as it is stored, defaults if the contract has them; a row that breaks the
// contract is a 500 that names the field to the log alone. The tag tells one body from another.
import { expect, test } from "vitest";
import { ROW_ID, makeReply } from "../support/database-reply.ts";
import { expectFault } from "../support/documented-fault.ts";
import { insertRun, updateRun } from "../support/database.ts";
import { createReader } from "../support/reader.ts";
import type { NewRun } from "../support/runs.ts";
import { keepSecret } from "../support/secrets.ts";

const SECRET = keepSecret("a value that only the owner may see");
const reader = await createReader();

async function readText(run: NewRun): Promise<string> {
  const { status, body } = await reader.read(await insertRun(run));
  expect(status).toBe(200);
  return body;
}

const readRecord = async (run: NewRun): Promise<Record<string, unknown>> => JSON.parse(await readText(run));

test("a pending run with nothing but the required columns has all twelve keys in order, null where there is no value", async () => {
  const text = await readText({ created_at: "2026-03-01T10:00:00Z" });
  const id: unknown = JSON.parse(text).id;
  expect(text).toBe(
    `{"id":"${id}","correlation_id":"test-${id}","owner_id":"owner","status":"pending",` +
      `"created_at":"2026-03-01T10:00:00.000000Z","crew_type":null,"crew_config":null,"task_input":null,"result":null,` +
      `"error":null,"started_at":null,"completed_at":null}`,
  );
});

test("defaults are filled in and unknown keys dropped, in the documented order", async () => {
  const agents = [{ backstory: "b", goal: "g", role: "r", llm: "dropped" }];
  const tasks = [{ description: "d", note: "dropped" }];
  expect(await readText({ crew_config: { tasks, agents, memory: true } })).toContain(
    '"crew_config":{"agents":[{"role":"r","goal":"g","backstory":"b","id":null,"verbose":false,' +
      '"allow_delegation":false,"tools":[],"use_default_mcps":true}],"tasks":[{"description":"d","agent_index":0,' +
      '"expected_output":"","tools":[]}],"id":null,"verbose":false,"process":"sequential"}',
  );
});

test("given config values are kept", async () => {
  const flags = { verbose: true, allow_delegation: true, use_default_mcps: false };
  const agent = { role: "", goal: "g", backstory: "b", id: "a-1", tools: ["x", ""], ...flags };
  const task = { description: "d", agent_index: -1, expected_output: "o", tools: ["t"] };
  for (const id of ["crew-1", null]) {
    const agents = [agent, { ...agent, id }];
    const crew_config = { agents, tasks: [task], id, verbose: true, process: "any word" };
    expect((await readRecord({ crew_config }))["crew_config"]).toEqual(crew_config);
  }
});

test.each([
  ["an integer beyond 2^53", '{"n": 9007199254740993}'],
  ["a long decimal", '{"n": 0.1234567890123456789012345678901234567890}'],
  ["a trailing zero", '{"n": 1.0}'],
  ["a key named __proto__", '{"__proto__": {"polluted": true}}'],
  ["deep nesting and every type", '{"a": [null, true, {"b": [[], {}, "é\\u0001 \\" \\\\ 😀"]}]}'],
  ["an empty object", "{}"],
])("task_input carries %s unchanged", async (_, task_input) => {
  expect(await readText({ task_input })).toContain(`"task_input":${task_input},`);
});

test("times keep their microseconds, with zeros that Postgres leaves out, and are in UTC", async () => {
  const record = await readRecord({
    status: "failed",
    created_at: "2026-03-01T10:00:00.123456+02:00",
    started_at: "2026-03-01T10:00:00.5+02:00",
    completed_at: "2026-12-31T23:59:59.999999-01:00",
  });
  expect(record).toMatchObject({
    created_at: "2026-03-01T08:00:00.123456Z",
    started_at: "2026-03-01T08:00:00.500000Z",
    completed_at: "2027-01-01T00:59:59.999999Z",
  });
});

test("an empty string stays one; the JSON value null in a JSON column is no value", async () => {
  const empty = { crew_type: "", result: "", error: "", correlation_id: "" };
  expect(await readRecord({ ...empty, crew_config: "null", task_input: "null" })).toMatchObject({
    ...empty,
    crew_config: null,
    task_input: null,
  });
});

test("a result of 5 MB arrives whole", async () => {
  const id = await insertRun({ result: '"é😀\\\n' });
  await updateRun(id, "result = repeat(result, 550000)");
  const { result } = JSON.parse((await reader.read(id)).body);
  expect(result === '"é😀\\\n'.repeat(550_000)).toBe(true);
});

/** Reads a run for which the database returns this row. */
const readRow = async (change: object) => (await createReader({ database: { text: makeReply(change) } })).read(ROW_ID);

test.each([
  ["status", { status: SECRET }],
  ["status", { status: "Completed" }],
  ["owner_id", { owner_id: null }],
  ["created_at", { created_at: SECRET }],
  ["created_at", { created_at: '"10000-01-01T00:00:00"' }],
  ["created_at", { created_at: '["2026-03-01T10:00:00"' }],
  ["created_at", { created_at: '"2026-03-01T10:00:00.1234567"' }],
  ["created_at", { created_at: '"2026-03-01T10:00:00"]' }],
  ["created_at", { created_at: '"2026-03-01T10:00:00.5.9"' }],
  ["created_at", { created_at: "x2026-03-01T10:00:00x" }],
  ["started_at", { started_at: '"0044-03-15T00:00:00 BC"' }],
  ["completed_at", { completed_at: '"infinity"' }],
  ["task_input", { task_input: `["${SECRET}"]` }],
  ["task_input", { task_input: "[{}]" }],
  ["task_input", { task_input: "nullx" }],
  ["crew_config", { crew_config: SECRET }],
  ["crew_config.agents.0.role (invalid_type)", { crew_config: `{"agents":[{"goal":"${SECRET}"}],"tasks":[]}` }],
  ["crew_config.tasks (invalid_type)", { crew_config: `{"agents":[],"tasks":"${SECRET}"}` }],
  ["crew_config.tasks.0.agent_index", { crew_config: '{"agents":[],"tasks":[{"description":"d","agent_index":0.5}]}' }],
  ["crew_config.tasks.0.tools.0", { crew_config: '{"agents":[],"tasks":[{"description":"d","tools":[7]}]}' }],
])(
  "a row whose %s breaks the contract is a 500 after one attempt that names the field in the log, and no value: %j",
  async (field, change) => {
    const result = await readRow(change);
    expectFault("invalid_record", result);
    expect(result.log["why"]).toContain(field);
    expect(result.queries).toBe(1);
    expect(JSON.stringify(result.log) + result.body).not.toContain(SECRET.slice(0, 10));
  },
);

test.each([
  [3, 1],
  [500, 1_492],
])("the log names eight of the broken fields of %i agents, and counts %i more", async (count, more) => {
  const agents = Array.from({ length: count }, () => ({ role: 1 }));
  const { log } = await readRow({ crew_config: JSON.stringify({ agents, tasks: [] }) });
  expect(log).toMatchObject({ status: 500, code: "invalid_record" });
  expect(log["why"]).toContain("crew_config.agents.0.role");
  expect(log["why"]).toMatch(new RegExp(`^([^,]+, ){8}and ${more} more$`));
});

test("a config whose faults could use up the isolate's memory is not checked: one above 512 KB", async () => {
  const { log, queries } = await readRow({ crew_config: `{"agents":[${"{},".repeat(200_000)}{}],"tasks":[]}` });
  expect(log).toMatchObject({ status: 500, code: "invalid_record", why: "crew_config (invalid_type)" });
  expect(queries).toBe(1);
  const config = { agents: [], tasks: [{ description: "d".repeat(524_000) }] };
  expect((await readRow({ crew_config: JSON.stringify(config) })).status).toBe(200);
});

test("the tag changes with any change of the body, and with nothing else", async () => {
  const tagOf = async (change: object) => (await readRow(change)).headers.get("etag");
  const tags = [
    await tagOf({}),
    await tagOf({ result: "" }),
    await tagOf({ error: "" }),
    await tagOf({ created_at: '"2026-03-01T10:00:00.000001"' }),
    await tagOf({ task_input: `{"n": 1.0}` }),
    await tagOf({ task_input: `{"n": 1.00}` }),
  ];
  expect(new Set(tags).size).toBe(tags.length);
  expect(await tagOf({ created_at: '"2026-03-01T10:00:00.000"', unknown: "x" })).toBe(tags[0]);
});
