// The one path of the API: which spellings of an id and which methods it takes, and the headers of its responses.
// Conditional requests, strangers and waits have files of their own.
import { expect, test } from "vitest";
import { bearer, createTestApp } from "../support/test-app.ts";
import { insertRun } from "../support/database.ts";
import { openDatabaseProxy } from "../support/fault-proxy.ts";
import { type User, fetchToken } from "../support/issuer.ts";

const FINISHED = { status: "completed", completed_at: "2036-01-01T00:00:00Z", result: "done" } as const;

async function get(path: string, user: User, init: RequestInit = {}, variables = {}) {
  const headers = { ...bearer(await fetchToken(user)), ...init.headers };
  return createTestApp(variables).fetch(path, { ...init, headers });
}

test("HEAD is GET without a body", async () => {
  const id = await insertRun(FINISHED);
  const head = await get(`/api/crew-runs/${id}`, "owner", { method: "HEAD" });
  const full = await get(`/api/crew-runs/${id}`, "owner");
  expect(head.status).toBe(200);
  expect(await head.text()).toBe("");
  expect(head.headers.get("etag")).toBe(full.headers.get("etag"));
  expect(head.headers.get("content-type")).toBe("application/json");
});

test.each(["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])(
  "%s is a 405 that allows GET and HEAD",
  async (method) => {
    const response = await createTestApp().fetch(`/api/crew-runs/${crypto.randomUUID()}`, { method });
    expect(response.status).toBe(405);
    expect(response.headers.get("allow")).toBe("GET, HEAD");
    expect(await response.json()).toEqual({
      detail: "Method Not Allowed",
      code: "method_not_allowed",
      request_id: response.headers.get("x-request-id"),
    });
  },
);

test.each([
  "/",
  "/api",
  "/api/crew-runs",
  "/api/crew-runs/",
  "//api/crew-runs/11111111-1111-4111-8111-111111111111",
  "/api//crew-runs/11111111-1111-4111-8111-111111111111",
  "/API/crew-runs/11111111-1111-4111-8111-111111111111",
  "/api/crew-runs/11111111-1111-4111-8111-111111111111/result",
  "/%E0%A4%A",
])("%s is not a path of the API: a JSON 404 without a challenge", async (path) => {
  const response = await createTestApp().fetch(path);
  expect(response.status).toBe(404);
  expect(response.headers.get("content-type")).toBe("application/json");
  expect(await response.json()).toMatchObject({ detail: "Not Found", code: "not_found" });
});

test.each(["/", "?expand=all&access_token=x"])("%s behind the id changes nothing", async (tail) => {
  expect((await get(`/api/crew-runs/${await insertRun()}${tail}`, "owner")).status).toBe(200);
});

test.each([
  ["canonical", (id: string) => id],
  ["upper case", (id: string) => id.toUpperCase()],
  ["mixed case", (id: string) => id.replace(/[a-f]/, (digit) => digit.toUpperCase())],
  ["without dashes", (id: string) => id.replaceAll("-", "")],
  ["in braces", (id: string) => `%7B${id}%7D`],
  ["in bare braces", (id: string) => `{${id}}`],
  ["as a URN", (id: string) => `urn:uuid:${id}`],
  ["percent-encoded", (id: string) => `%${id.charCodeAt(0).toString(16)}${id.slice(1)}`],
])("an id %s finds the run, and the response has the canonical id", async (_, spell) => {
  const id = await insertRun(FINISHED);
  const app = createTestApp();
  const headers = bearer(await fetchToken("owner"));
  await app.fetch(`/api/crew-runs/${id}`, { headers });
  const response = await app.fetch(`/api/crew-runs/${spell(id)}`, { headers });
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ id });
  // All spellings share one cached run.
  expect(response.headers.get("cache-status")).toContain("hit");
});

test.each([
  "00000000-0000-0000-0000-000000000000",
  "ffffffff-ffff-ffff-ffff-ffffffffffff",
  "1234567812341234123412345678abcd",
])("the id %s is valid, whatever its version and variant", async (id) => {
  expect((await get(`/api/crew-runs/${id}`, "owner")).status).toBe(404);
});

const ID = "11111111-1111-4111-8111-111111111111";

test.each([
  ["a word", "abc"],
  ["one digit short", ID.slice(1)],
  ["a letter that is no digit", `g${ID.slice(1)}`],
  ["dashes in other places", "1111-11111111-4111-8111-111111111111"],
  ["one brace", `%7B${ID}`, `{${ID}`],
  ["braces without dashes", `{${ID.replaceAll("-", "")}}`],
  ["a URN in upper case", `URN:UUID:${ID}`],
  ["a malformed escape", "%E0%A4%A"],
  ["an encoded escape", "%2531", "%31"],
  ["NUL", "%00", "\0"],
  ["full-width digits", `%EF%BC%91${ID.slice(1)}`, `１${ID.slice(1)}`],
  ["white space around", `%20${ID}`, ` ${ID}`],
  ["a line feed behind", `${ID}%0A`, `${ID}\n`],
  ["an encoded slash", "a%2Fb", "a/b"],
  ["2,000 characters", "a".repeat(2_000), `${"a".repeat(100)}…`],
])("%s is a 422 that costs no query", async (_, segment, input = segment) => {
  const database = await openDatabaseProxy();
  const response = await get(`/api/crew-runs/${segment}`, "owner", {}, { NEON_FETCH_ENDPOINT: database.url });
  expect(response.status).toBe(422);
  expect(response.headers.get("cache-control")).toBe("no-store");
  expect(await response.json()).toEqual({
    detail: [{ type: "uuid_parsing", loc: ["path", "run_id"], msg: "Input should be a valid UUID", input }],
    code: "invalid_run_id",
    request_id: response.headers.get("x-request-id"),
  });
  expect(await database.received()).toBe(0);
});

test("a finished run is private and fresh for the setting's time, an unfinished one is revalidated each time", async () => {
  const path = `/api/crew-runs/${await insertRun(FINISHED)}`;
  const { headers } = await get(path, "owner", {}, { FINISHED_RUN_TTL_SECONDS: 120 });
  expect(headers.get("cache-control")).toBe("private, max-age=120");
  expect(headers.get("retry-after")).toBeNull();
  expect(headers.get("vary")).toBe("Authorization");
  const unfinished = await get(`/api/crew-runs/${await insertRun()}`, "owner");
  expect(unfinished.headers.get("cache-control")).toBe("private, no-cache");
});

test("Retry-After grows with an unfinished run's age: a tenth of it, from 1 to 30 seconds", async () => {
  for (const [ageSeconds, expected] of [
    [0, "1"],
    [100, "10"],
    [100_000, "30"],
  ] as const) {
    const id = await insertRun({ created_at: new Date(Date.now() - ageSeconds * 1_000).toISOString() });
    expect((await get(`/api/crew-runs/${id}`, "owner")).headers.get("retry-after")).toBe(expected);
  }
});
