// /openapi.json describes the Worker: the document has every response that the Worker makes, and no other. Stricter than clients need
// it: everything sent is documented.
import { beforeAll, expect, test, vi } from "vitest";
import openApi from "../dist/documents/openapi.json?raw";
import { EXAMPLE_ROWS } from "../dev/seeded-runs.ts";
import { EXAMPLE_ETAG } from "../docs/example-runs.ts";
import { EXAMPLE_ORIGIN, EXAMPLE_REQUEST_ID } from "../docs/failure-responses.ts";
import { type OpenApi, expectDocumented, listHeaders } from "./support/openapi-document.ts";
import { bearer, createTestApp } from "./support/test-app.ts";
import { insertRun } from "./support/database.ts";
import { openDatabaseProxy, openFaultProxy } from "./support/fault-proxy.ts";
import type { FaultProxy } from "./support/fault-proxy-protocol.ts";
import { fetchToken, openIssuer } from "./support/issuer.ts";
import type { NewRun } from "./support/runs.ts";
import { makeKey } from "./support/signing.ts";

const RUN_PATH = "/api/crew-runs/{run_id}";
const FINISHED = { status: "completed", completed_at: "2036-01-01T00:00:00Z", result: "done" } as const;
const DOCUMENT = JSON.parse(openApi) as OpenApi;
/** The request bears the id of the examples. */
const EXAMPLE_ID = { "x-request-id": EXAMPLE_REQUEST_ID };

beforeAll(async () => {
  for (const row of Object.values(EXAMPLE_ROWS)) await insertRun(row);
});

async function get(id: string, headers: Record<string, string> = {}, variables = {}): Promise<Response> {
  const credentials = bearer(await fetchToken("owner"));
  return createTestApp(variables).fetch(`/api/crew-runs/${id}`, { headers: { ...credentials, ...headers } });
}

test.each<[number, NewRun, Record<string, string>]>([
  [200, FINISHED, {}],
  [200, { status: "failed", completed_at: "2036-01-01T00:00:00Z", error: "no" }, {}],
  [200, {}, {}],
  [200, { status: "running", task_input: `{"n": 9007199254740993}` }, {}],
  [200, { crew_config: { agents: [], tasks: [{ description: "" }] } }, {}],
  [200, {}, { prefer: "wait=1" }],
  [304, FINISHED, { "if-none-match": "*" }],
  [304, {}, { "if-none-match": "*" }],
])("the %i for the run %j, asked for with %j, is documented", async (status, row, headers) => {
  const response = await get(await insertRun(row), headers);
  expect(response.status).toBe(status);
  expect(response.headers.has("preference-applied")).toBe("prefer" in headers);
  await expectDocumented(DOCUMENT, RUN_PATH, response);
});

test("the answer from memory is documented", async () => {
  const app = createTestApp();
  const path = `/api/crew-runs/${await insertRun(FINISHED)}`;
  const headers = bearer(await fetchToken("owner"));
  await (await app.fetch(path, { headers })).arrayBuffer();
  const response = await app.fetch(path, { headers });
  expect(response.headers.get("cache-status")).toBe(DOCUMENT.components.headers["CacheStatus"]?.example);
  expect(response.headers.get("age")).toBe("0");
  await expectDocumented(DOCUMENT, RUN_PATH, response);
});

test("the answer over http, without a word on https, is documented", async () => {
  const response = await createTestApp().fetch("/api/crew-runs/x", {}, "http://api.test");
  expect(response.headers.has("strict-transport-security")).toBe(false);
  await expectDocumented(DOCUMENT, RUN_PATH, response);
});

const OUTAGE = { status: 500, text: "" };
const UNAVAILABLE = "Service temporarily unavailable";
const INTERNAL = "Internal Server Error";
const limitBy = (limit: () => unknown) => ({ RATE_LIMITER: { limit } });
const request = (init: RequestInit, path = "/api/crew-runs/x") =>
  createTestApp().fetch(path, { ...init, headers: EXAMPLE_ID });

/** Each failure by its code: its status, its detail, its Retry-After, and a request that fails this way. */
const FAILURES: Record<string, readonly [number, string, string | null, () => Promise<Response>]> = {
  not_authenticated: [401, "Not authenticated", null, () => request({})],
  invalid_token: [401, "Could not validate credentials", null, () => getWith({ exp: 1_000_000_000 })],
  insufficient_scope: [
    403,
    "Not enough permissions",
    null,
    () => getWith({ scope: "other" }, { REQUIRED_SCOPE: "crew-runs:read" }),
  ],
  run_not_found: [404, "Run not found", null, () => get(crypto.randomUUID(), EXAMPLE_ID)],
  not_found: [404, "Not Found", null, () => request({}, "/api/crew-runs")],
  method_not_allowed: [405, "Method Not Allowed", null, () => request({ method: "DELETE" })],
  invalid_run_id: [422, "Input should be a valid UUID", null, () => get("not-a-uuid", EXAMPLE_ID)],
  rate_limited: [
    429,
    "Too Many Requests",
    "60",
    () =>
      get(
        crypto.randomUUID(),
        EXAMPLE_ID,
        limitBy(async () => ({ success: false })),
      ),
  ],
  invalid_record: [
    500,
    INTERNAL,
    null,
    async () => get(await insertRun({ crew_config: { agents: "none" } }), EXAMPLE_ID),
  ],
  record_too_large: [500, INTERNAL, null, async () => getBehind(await openLargeReplies(17))],
  misconfigured: [500, INTERNAL, null, () => get("x", EXAMPLE_ID, { JWT_ISSUER: undefined })],
  internal_error: [
    500,
    INTERNAL,
    null,
    async () => {
      await fetchToken("owner");
      vi.spyOn(crypto.subtle, "digest").mockRejectedValue(new Error("no digest"));
      return get(crypto.randomUUID(), EXAMPLE_ID);
    },
  ],
  key_set_unavailable: [
    503,
    UNAVAILABLE,
    "3",
    async () => get("x", EXAMPLE_ID, { JWKS_URL: (await openFaultProxy(OUTAGE)).url }),
  ],
  database_unavailable: [503, UNAVAILABLE, "5", async () => getBehind(await openFaultProxy(OUTAGE))],
  overloaded: [503, UNAVAILABLE, "1", async () => getOverloaded(await openLargeReplies(14))],
};

/** Asks with a token of these claims. */
async function getWith(claims: Record<string, unknown>, variables = {}): Promise<Response> {
  const issuer = await openIssuer([await makeKey("ES256")]);
  return get("x", { ...EXAMPLE_ID, ...bearer(await issuer.sign(claims)) }, { ...issuer.variables, ...variables });
}

const getBehind = ({ url }: FaultProxy) => get(crypto.randomUUID(), EXAMPLE_ID, { NEON_FETCH_ENDPOINT: url });

async function openLargeReplies(megabytes: number): Promise<FaultProxy> {
  const proxy = await openDatabaseProxy();
  await proxy.fail({ kind: "huge-body", megabytes });
  return proxy;
}

async function getOverloaded(proxy: FaultProxy): Promise<Response> {
  const responses = await Promise.all(Array.from({ length: 6 }, () => getBehind(proxy)));
  const refused = responses.find((response) => response.status === 503);
  if (refused === undefined) throw new Error("six large replies at once were read");
  return refused;
}

test.each(Object.entries(FAILURES))(
  "%s is documented, and sent as it is",
  async (code, [status, detail, pause, fail]) => {
    const response = await fail();
    expect([response.status, response.headers.get("retry-after")]).toEqual([status, pause]);
    const sent = new Map(response.headers);
    const body = await expectDocumented(DOCUMENT, RUN_PATH, response);
    const details = code === "invalid_run_id" ? [{ msg: detail }] : detail;
    expect(body).toMatchObject({ code, detail: details });

    const answer = DOCUMENT.paths[RUN_PATH]?.get.responses[status];
    expect(answer?.content?.["application/json"]?.examples?.[code]?.value).toEqual(body);
    for (const [name, { examples }] of listHeaders(DOCUMENT, answer ?? { description: "", headers: {} })) {
      const value = sent.get(name)?.replace("https://api.test", EXAMPLE_ORIGIN);
      if (examples !== undefined) expect({ name, value: String(examples[code]?.value) }).toEqual({ name, value });
    }
  },
);

test("no failure is documented that was not made to happen here", () => {
  const responses = Object.entries(DOCUMENT.paths[RUN_PATH]?.get.responses ?? {});
  const statuses = responses.map(([status]) => Number(status));
  expect(statuses).toEqual([200, 304, 401, 403, 404, 405, 422, 429, 500, 503]);
  const codes = responses.flatMap(([status, { content }]) =>
    Number(status) < 400 ? [] : Object.keys(content?.["application/json"]?.examples ?? {}),
  );
  expect(codes.toSorted()).toEqual(Object.keys(FAILURES).toSorted());
});

test("the documented runs are what the Worker answers for these rows", async () => {
  const { content } = DOCUMENT.paths[RUN_PATH]?.get.responses[200] ?? {};
  const examples = content?.["application/json"]?.examples ?? {};
  expect(Object.keys(examples)).toEqual(Object.keys(EXAMPLE_ROWS));
  for (const [name, { id }] of Object.entries(EXAMPLE_ROWS)) {
    const response = await get(id);
    if (name === "completed") expect(response.headers.get("etag")).toBe(EXAMPLE_ETAG);
    expect(await response.json()).toEqual(examples[name]?.value);
  }
});

test.each([
  ["GET", "/health", 200, {}],
  ["GET", "/ready", 200, {}],
  ["GET", "/ready", 503, { JWT_ISSUER: undefined }],
  ["GET", "/ready", 503, { JWKS_URL: "http://127.0.0.1:1/" }],
  ["POST", "/health", 405, {}],
  ["POST", "/ready", 405, {}],
] as const)("%s %s, answered with %i, is documented", async (method, path, status, variables) => {
  const response = await createTestApp(variables).fetch(path, { method });
  expect(response.status).toBe(status);
  await expectDocumented(DOCUMENT, path, response);
});

test("everything has a description", () => {
  const { schemas, headers, parameters, securitySchemes } = DOCUMENT.components;
  const fields = Object.entries(schemas).flatMap(([name, { properties }]) =>
    Object.entries(properties).map(([field, { description }]) => [`${name}.${field}`, description] as const),
  );
  const components: [string, { description?: string }][] = Object.entries({ ...schemas, ...headers, ...parameters });
  const others = components.map(([name, { description }]) => [name, description] as const);
  expect(fields.length).toBeGreaterThan(30);
  for (const [name, description] of [...fields, ...others]) expect(description, name).toMatch(/\w+/);
  // OpenID Connect speaks for itself: the issuer describes it.
  expect(securitySchemes["bearer"]?.["description"]).toMatch(/\w+/);
});

test("the operations and schemas have the names that clients are generated with", () => {
  const operations = Object.values(DOCUMENT.paths).map(({ get: { operationId } }) => operationId);
  expect(operations).toEqual(["getCrewRun", "getHealth", "getReadiness"]);
  expect(Object.keys(DOCUMENT.components.schemas)).toEqual(
    expect.arrayContaining(["CrewRun", "CrewConfig", "AgentConfig", "TaskConfig", "HTTPValidationError"]),
  );
});

test("the id is any string in the record and a UUID in the path, and no bound of JavaScript's numbers is shown", () => {
  const { schemas } = DOCUMENT.components;
  expect(schemas["CrewRun"]?.properties["id"]).toEqual({ type: "string", description: expect.any(String) });
  expect(DOCUMENT.paths[RUN_PATH]?.get.parameters?.[0]).toMatchObject({ schema: { type: "string", format: "uuid" } });
  expect(openApi).not.toContain(String(-Number.MAX_SAFE_INTEGER));
});

test("a tag that a proxy made weak is documented, and a wait that ran its full time", () => {
  const { ETag, UnfinishedRetryAfter } = DOCUMENT.components.headers;
  expect(`W/${String(ETag?.example)}`).toMatch(new RegExp(ETag?.schema?.pattern ?? "^$"));
  expect(UnfinishedRetryAfter?.schema).toMatchObject({ minimum: 0, maximum: 30 });
});
