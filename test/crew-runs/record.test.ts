import { expect, test } from "vitest";
import { makeRun } from "../../src/crew-runs/record.ts";
import { fetchToken } from "../issuer.ts";
import { type NewRun, insertRun } from "../rows.ts";
import { bearer, startWorker } from "../worker.ts";

const KEYS = [
  "id",
  "correlation_id",
  "owner_id",
  "status",
  "created_at",
  "crew_type",
  "crew_config",
  "task_input",
  "result",
  "error",
  "started_at",
  "completed_at",
];

async function readText(run: NewRun): Promise<string> {
  const id = await insertRun(run);
  const response = await startWorker().fetch(`/api/crew-runs/${id}`, {
    headers: bearer(await fetchToken("owner")),
  });
  expect(response.status).toBe(200);
  return response.text();
}

async function readRecord(run: NewRun): Promise<Record<string, unknown>> {
  return JSON.parse(await readText(run));
}

test("a pending run with nothing but the required columns has all twelve keys in order, null where there is no value", async () => {
  const record = await readRecord({ created_at: "2026-03-01T10:00:00Z" });
  expect(Object.keys(record)).toEqual(KEYS);
  expect(record).toEqual({
    id: record["id"],
    correlation_id: `test-${record["id"]}`,
    owner_id: "owner",
    status: "pending",
    created_at: "2026-03-01T10:00:00.000000Z",
    crew_type: null,
    crew_config: null,
    task_input: null,
    result: null,
    error: null,
    started_at: null,
    completed_at: null,
  });
});

test("defaults are filled in and unknown keys dropped, in the documented order", async () => {
  const text = await readText({
    crew_config: {
      tasks: [{ description: "d", note: "dropped" }],
      agents: [{ backstory: "b", goal: "g", role: "r", llm: "dropped" }],
      memory: true,
    },
  });
  expect(text).toContain(
    '"crew_config":{"agents":[{"role":"r","goal":"g","backstory":"b","id":null,"verbose":false,' +
      '"allow_delegation":false,"tools":[],"use_default_mcps":true}],"tasks":[{"description":"d","agent_index":0,' +
      '"expected_output":"","tools":[]}],"id":null,"verbose":false,"process":"sequential"}',
  );
});

test("given config values are kept", async () => {
  const crew_config = {
    agents: [
      {
        role: "",
        goal: "g",
        backstory: "b",
        id: "a-1",
        verbose: true,
        allow_delegation: true,
        tools: ["x", ""],
        use_default_mcps: false,
      },
    ],
    tasks: [{ description: "d", agent_index: -1, expected_output: "o", tools: ["t"] }],
    id: "crew-1",
    verbose: true,
    process: "hierarchical",
  };
  expect((await readRecord({ crew_config }))["crew_config"]).toEqual(crew_config);
});

test.each([
  ["an integer beyond 2^53", '{"n": 9007199254740993}'],
  ["a long decimal", '{"n": 0.1234567890123456789012345678901234567890}'],
  ["a trailing zero", '{"n": 1.0}'],
  ["a very large number", '{"n": 123456789012345678901234567890}'],
  ["a key named __proto__", '{"__proto__": {"polluted": true}}'],
  ["deep nesting and every type", '{"a": [null, true, {"b": [[], {}, "é\\u0001 \\" \\\\ 😀"]}]}'],
  ["an empty object", "{}"],
])("task_input carries %s unchanged", async (_, task_input) => {
  expect(await readText({ task_input })).toContain(`"task_input":${task_input},`);
});

test("times keep their microseconds and are in UTC", async () => {
  const record = await readRecord({
    status: "failed",
    created_at: "2026-03-01T10:00:00.123456+02:00",
    started_at: "2026-03-01T10:00:00.123457+02:00",
    completed_at: "2026-12-31T23:59:59.999999-01:00",
    error: "boom",
  });
  expect(record).toMatchObject({
    created_at: "2026-03-01T08:00:00.123456Z",
    started_at: "2026-03-01T08:00:00.123457Z",
    completed_at: "2027-01-01T00:59:59.999999Z",
  });
});

test("an empty string stays an empty string", async () => {
  const record = await readRecord({ crew_type: "", result: "", error: "", correlation_id: "" });
  expect(record).toMatchObject({ crew_type: "", result: "", error: "", correlation_id: "" });
});

test("the JSON value null in a JSON column is no value", async () => {
  const record = await readRecord({ crew_config: "null", task_input: "null" });
  expect(record).toMatchObject({ crew_config: null, task_input: null });
});

test("a result of 5 MB arrives whole", async () => {
  const result = '"é😀\\\n'.repeat(1_000_000);
  const record = await readRecord({ status: "completed", completed_at: "2036-01-01T00:00:00Z", result });
  expect(record["result"] === result).toBe(true);
});

const ROW = {
  id: "0189dd25-1111-4111-8111-111111111111",
  correlation_id: "c",
  owner_id: "o",
  status: "pending",
  created_at: '"2026-03-01T10:00:00"',
  crew_type: null,
  crew_config: null,
  task_input: null,
  result: null,
  error: null,
  started_at: null,
  completed_at: null,
};

test.each([
  ["an unknown status", { status: "secret-value" }, "status"],
  ["a missing owner", { owner_id: null }, "owner_id"],
  ["a time of another form", { created_at: "secret-value" }, "created_at"],
  ["a time before our era", { started_at: "0044-03-15T00:00:00 BC" }, "started_at"],
  ["a time without end", { completed_at: "infinity" }, "completed_at"],
  ["a year of five digits", { created_at: '"10000-01-01T00:00:00"' }, "created_at"],
  ["an input that is no object", { task_input: '["secret-value"]' }, "task_input"],
  ["a config that is no JSON", { crew_config: "{secret-value" }, "crew_config"],
  [
    "an agent without a role",
    { crew_config: '{"agents":[{"goal":"secret-value"}],"tasks":[]}' },
    "crew_config.agents.0.role",
  ],
  [
    "tools that are no strings",
    { crew_config: '{"agents":[],"tasks":[{"description":"d","tools":[7]}]}' },
    "crew_config.tasks.0.tools.0",
  ],
])("%s is an invalid record that names the field, not the value", async (_, change, field) => {
  const refusal = await makeRun({ ...ROW, ...change }, 0).catch((error: unknown) => error);
  expect(refusal).toMatchObject({ code: "invalid_record" });
  expect(JSON.stringify(refusal)).toContain(field);
  expect(JSON.stringify(refusal)).not.toContain("secret-value");
});

test("the tag changes with any change of the body, and with nothing else", async () => {
  const tagOf = async (change: object, readMs = 0) => (await makeRun({ ...ROW, ...change }, readMs)).etag;
  const tags = [
    await tagOf({}),
    await tagOf({ result: "" }),
    await tagOf({ error: "" }),
    await tagOf({ created_at: '"2026-03-01T10:00:00.000001"' }),
    await tagOf({ task_input: `{"n": 1.0}` }),
    await tagOf({ task_input: `{"n": 1.00}` }),
  ];
  expect(new Set(tags).size).toBe(tags.length);
  expect(await tagOf({ created_at: '"2026-03-01T10:00:00.000"', unknown: "x" }, 5)).toBe(tags[0]);
});
