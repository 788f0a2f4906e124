// /openapi.json describes the Worker: the document has every response that the Worker makes, and no other. Stricter than clients need
// it: everything sent is documented.
import { expect, test, vi } from "vitest";
import openApi from "../dist/documents/openapi.json?raw";
import { EXAMPLE_ROWS } from "../dev/seeded-runs.ts";
import { EXAMPLE_ETAG } from "../docs/example-runs.ts";
import { EXAMPLE_ORIGIN, EXAMPLE_REQUEST_ID } from "../docs/failure-responses.ts";
import { connectAsOwner, insertRun } from "./support/database.ts";
import { type OpenApi, expectDocumented, listHeaders } from "./support/openapi-document.ts";
import { type ReadResult, type Reader, createReader } from "./support/reader.ts";
import type { NewRun } from "./support/runs.ts";

const RUN_PATH = "/api/crew-runs/{run_id}";
const FINISHED = { status: "completed", completed_at: "2036-01-01T00:00:00Z", result: "done" } as const;
const DOCUMENT = JSON.parse(openApi) as OpenApi;
const RESPONSES = DOCUMENT.paths[RUN_PATH]?.get.responses ?? {};
const listExamples = (status: number) => RESPONSES[status]?.content?.["application/json"]?.examples ?? {};

test.each<[number, NewRun, Parameters<Reader["read"]>[1]]>([
  [200, FINISHED, {}],
  [200, { status: "failed", completed_at: "2036-01-01T00:00:00Z", error: "no" }, {}],
  [200, {}, {}],
  [200, { status: "running", task_input: `{"n": 9007199254740993}` }, {}],
  [200, { crew_config: { agents: [], tasks: [{ description: "" }] } }, {}],
  [200, {}, { headers: { prefer: "wait=1" } }],
  [200, {}, { origin: "http://api.test" }],
  [304, FINISHED, { headers: { "if-none-match": "*" } }],
  [304, {}, { headers: { "if-none-match": "*" } }],
])(
  "the %i for the run %j, asked for with %j, is documented, and so is the next one, from memory",
  async (status, row, options) => {
    const { read } = await createReader();
    const id = await insertRun(row);
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const result = await read(id, options);
      expect(result.status).toBe(status);
      const pin = options?.origin === undefined ? "max-age=31536000" : null;
      expect(result.headers.get("strict-transport-security")).toBe(pin);
      expect(result.headers.has("preference-applied")).toBe(options?.headers?.["prefer"] !== undefined);
      expectDocumented(DOCUMENT, RUN_PATH, result);
    }
  },
);

const FORBIDDEN = "Not enough permissions";
const INVALID = "Could not validate credentials";
const UNAVAILABLE = "Service temporarily unavailable";
const INTERNAL = "Internal Server Error";
const OUTAGE = { kind: "status", status: 500 } as const;

type Cause = (reader: Reader) => Promise<ReadResult>;

const readWithClaims = (claims: Record<string, unknown>): Cause => {
  return async ({ issuer, read }) => read("x", { token: await issuer.sign(claims) });
};

const readLarge = (megabytes: number): Cause => {
  return ({ database, read }) => database.fail({ kind: "huge-body", megabytes }).then(() => read());
};

const readOverloaded: Cause = async (reader) => {
  const results = await Promise.all(Array.from({ length: 6 }, () => readLarge(14)(reader)));
  // On a slow machine, others take longer than an attempt may.
  return results.find(({ log }) => log["code"] === "overloaded") ?? expect.fail("six large replies at once were read");
};

const readBroken: Cause = async ({ read }) => read(await insertRun({ crew_config: { agents: "none" } }));

const readWithoutDigest: Cause = ({ read }) => {
  vi.spyOn(crypto.subtle, "digest").mockRejectedValue(new Error("no digest"));
  return read();
};

/** Each failure by its code: its status, its detail, its Retry-After, and a request that fails this way. */
const FAILURES: Record<string, [status: number, detail: string, pause: string | null, fail: Cause, settings?: object]> =
  {
    not_authenticated: [401, "Not authenticated", null, ({ read }) => read("x", { as: "nobody" })],
    invalid_token: [401, INVALID, null, readWithClaims({ exp: 1 })],
    insufficient_scope: [403, FORBIDDEN, null, readWithClaims({ scope: "" }), { REQUIRED_SCOPE: "crew-runs:read" }],
    run_not_found: [404, "Run not found", null, ({ read }) => read()],
    not_found: [404, "Not Found", null, ({ read }) => read("/api/crew-runs")],
    method_not_allowed: [405, "Method Not Allowed", null, ({ read }) => read("x", { method: "DELETE" })],
    invalid_run_id: [422, "Input should be a valid UUID", null, ({ read }) => read("not-a-uuid")],
    rate_limited: [429, "Too Many Requests", "60", ({ read }) => read(), { RATE_LIMITER: { limit: async () => ({}) } }],
    invalid_record: [500, INTERNAL, null, readBroken],
    record_too_large: [500, INTERNAL, null, readLarge(17)],
    misconfigured: [500, INTERNAL, null, ({ read }) => read(), { JWT_ISSUER: undefined }],
    internal_error: [500, INTERNAL, null, readWithoutDigest],
    key_set_unavailable: [503, UNAVAILABLE, "3", ({ issuer, read }) => issuer.proxy.fail(OUTAGE).then(() => read())],
    database_unavailable: [503, UNAVAILABLE, "5", ({ database, read }) => database.fail(OUTAGE).then(() => read())],
    overloaded: [503, UNAVAILABLE, "1", readOverloaded],
  };

test.each(Object.entries(FAILURES))(
  "%s is documented, and sent as it is",
  async (code, [status, detail, pause, fail, settings = {}]) => {
    const result = await fail(await createReader({ settings }));
    const { headers } = result;
    expect([result.status, headers.get("retry-after")]).toEqual([status, pause]);
    const body = expectDocumented(DOCUMENT, RUN_PATH, result) as object;
    expect(body).toMatchObject({ code, detail: code === "invalid_run_id" ? [{ msg: detail }] : detail });
    expect(listExamples(status)[code]?.value).toEqual({ ...body, request_id: EXAMPLE_REQUEST_ID });
    for (const [name, { examples }] of listHeaders(DOCUMENT, RESPONSES[status])) {
      const value = headers.get(name)?.replace("https://api.test", EXAMPLE_ORIGIN);
      if (examples !== undefined) expect({ name, value: String(examples[code]?.value) }).toEqual({ name, value });
    }
  },
);

test("no failure is documented that was not made to happen here", () => {
  const failing = Object.keys(RESPONSES)
    .map(Number)
    .filter((status) => status >= 400);
  expect(failing).toEqual([...new Set(Object.values(FAILURES).map(([status]) => status))]);
  const codes = failing.flatMap((status) => Object.keys(listExamples(status)));
  expect(codes.toSorted()).toEqual(Object.keys(FAILURES).toSorted());
});

test("the documented runs are what the Worker answers for these rows", async () => {
  const { read } = await createReader();
  expect(Object.keys(listExamples(200))).toEqual(Object.keys(EXAMPLE_ROWS));
  for (const [name, row] of Object.entries(EXAMPLE_ROWS)) {
    // It's there if the test runs again on this database.
    await connectAsOwner().query("delete from crew_runs where id = $1", [row.id]);
    await insertRun(row);
    const { headers, body } = await read(row.id);
    if (name === "completed") expect(headers.get("etag")).toBe(EXAMPLE_ETAG);
    expect(JSON.parse(body)).toEqual(listExamples(200)[name]?.value);
  }
});

test.each([
  ["GET", "/health", 200, {}],
  ["GET", "/ready", 200, {}],
  ["GET", "/ready", 503, { JWT_ISSUER: undefined }],
  ["GET", "/ready", 503, { JWKS_URL: "http://127.0.0.1:1/" }],
  ["POST", "/health", 405, {}],
  ["POST", "/ready", 405, {}],
] as const)("%s %s, answered with %i, is documented", async (method, path, status, settings) => {
  const { read } = await createReader({ settings });
  const result = await read(path, { method });
  expect(result.status).toBe(status);
  expectDocumented(DOCUMENT, path, result);
});

test("the operations and schemas have the names that clients are generated with, and their types are no narrower", () => {
  const { schemas, headers } = DOCUMENT.components;
  const operations = Object.values(DOCUMENT.paths).map(({ get: { operationId } }) => operationId);
  expect(operations).toEqual(["getCrewRun", "getHealth", "getReadiness"]);
  expect(Object.keys(schemas)).toEqual(
    expect.arrayContaining(["CrewRun", "CrewConfig", "AgentConfig", "TaskConfig", "HTTPValidationError"]),
  );
  // The id is any string in the record and a UUID in the path.
  expect(schemas["CrewRun"]?.properties["id"]).toEqual({ type: "string", description: expect.any(String) });
  expect(DOCUMENT.paths[RUN_PATH]?.get.parameters?.[0]).toMatchObject({ schema: { type: "string", format: "uuid" } });
  expect(openApi).not.toContain(String(-Number.MAX_SAFE_INTEGER));
  // A proxy may make the tag weak, and a wait may run its full time.
  expect(`W/${EXAMPLE_ETAG}`).toMatch(new RegExp(headers["ETag"]?.schema?.pattern ?? "^$"));
  expect(headers["UnfinishedRetryAfter"]?.schema).toMatchObject({ minimum: 0, maximum: 30 });
});
