import { expect, inject, test } from "vitest";
import { type User, fetchToken } from "../issuer.ts";
import { openLane } from "../lane.ts";
import { connectAsOwner, insertRun } from "../rows.ts";
import { bearer, startWorker } from "../worker.ts";

const FINISHED = { status: "completed", completed_at: "2036-01-01T00:00:00Z", result: "done" } as const;

async function get(path: string, user: User, init: RequestInit = {}, variables = {}) {
  const headers = { ...bearer(await fetchToken(user)), ...init.headers };
  return startWorker(variables).fetch(path, { ...init, headers });
}

const withoutId = (body: object) => ({ ...body, request_id: undefined });

test("the owner and an admin see a run, a stranger gets the answer of a missing run", async () => {
  const id = await insertRun(FINISHED);
  expect((await get(`/api/crew-runs/${id}`, "owner")).status).toBe(200);
  expect((await get(`/api/crew-runs/${id}`, "admin")).status).toBe(200);

  const foreign = await get(`/api/crew-runs/${id}`, "stranger");
  const missing = await get(`/api/crew-runs/${crypto.randomUUID()}`, "stranger");
  expect(foreign.status).toBe(404);
  expect(missing.status).toBe(404);
  const shape = ({ headers }: Response) =>
    [...headers].filter(([name]) => !["x-request-id", "server-timing"].includes(name));
  expect(shape(foreign)).toEqual(shape(missing));
  const body = await foreign.json<object>();
  expect(withoutId(body)).toEqual(withoutId(await missing.json<object>()));
  expect(body).toEqual({
    detail: "Run not found",
    code: "run_not_found",
    request_id: foreign.headers.get("x-request-id"),
  });
});

test("a stranger's If-None-Match still gets 404", async () => {
  const id = await insertRun(FINISHED);
  const etag = (await get(`/api/crew-runs/${id}`, "owner")).headers.get("etag") ?? "";
  for (const tag of [etag, "*"]) {
    const headers = { "if-none-match": tag };
    expect((await get(`/api/crew-runs/${id}`, "stranger", { headers })).status).toBe(404);
  }
});

test("HEAD answers as GET does, without a body", async () => {
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
    const response = await startWorker().fetch(`/api/crew-runs/${crypto.randomUUID()}`, { method });
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
])("%s is no path of ours: a JSON 404 that asks for no credentials", async (path) => {
  const response = await startWorker().fetch(path);
  expect(response.status).toBe(404);
  expect(response.headers.get("content-type")).toBe("application/json");
  expect(await response.json()).toMatchObject({ detail: "Not Found", code: "not_found" });
});

test("a trailing slash changes nothing", async () => {
  const id = await insertRun(FINISHED);
  expect((await get(`/api/crew-runs/${id}/`, "owner")).status).toBe(200);
});

test("unknown query parameters change nothing", async () => {
  const id = await insertRun(FINISHED);
  expect((await get(`/api/crew-runs/${id}?expand=all&access_token=x`, "owner")).status).toBe(200);
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
])("an id %s finds the run, and the answer bears the canonical id", async (_, spell) => {
  const id = await insertRun(FINISHED);
  const response = await get(`/api/crew-runs/${spell(id)}`, "owner");
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ id });
});

test.each([
  "00000000-0000-0000-0000-000000000000",
  "ffffffff-ffff-ffff-ffff-ffffffffffff",
  "1234567812341234123412345678abcd",
])("the id %s is valid, whatever its version and variant", async (id) => {
  expect((await get(`/api/crew-runs/${id}`, "owner")).status).toBe(404);
});

test.each([
  ["a word", "abc", "abc"],
  ["one digit short", "11111111-1111-4111-8111-11111111111", "11111111-1111-4111-8111-11111111111"],
  ["a letter that is no digit", "g1111111-1111-4111-8111-111111111111", "g1111111-1111-4111-8111-111111111111"],
  ["dashes in other places", "1111-11111111-4111-8111-111111111111", "1111-11111111-4111-8111-111111111111"],
  ["one brace", "%7B11111111-1111-4111-8111-111111111111", "{11111111-1111-4111-8111-111111111111"],
  ["braces without dashes", "{11111111111141118111111111111111}", "{11111111111141118111111111111111}"],
  [
    "a URN in upper case",
    "URN:UUID:11111111-1111-4111-8111-111111111111",
    "URN:UUID:11111111-1111-4111-8111-111111111111",
  ],
  ["a malformed escape", "%E0%A4%A", "%E0%A4%A"],
  ["an encoded escape", "%2531", "%31"],
  ["NUL", "%00", "\0"],
  ["full-width digits", "%EF%BC%911111111-1111-4111-8111-111111111111", "１1111111-1111-4111-8111-111111111111"],
  ["white space around", "%2011111111-1111-4111-8111-111111111111", " 11111111-1111-4111-8111-111111111111"],
  ["a line feed behind", "11111111-1111-4111-8111-111111111111%0A", "11111111-1111-4111-8111-111111111111\n"],
  ["an encoded slash", "a%2Fb", "a/b"],
  ["2,000 characters", "a".repeat(2_000), `${"a".repeat(100)}…`],
])("%s is a 422 that costs no query", async (_, segment, input) => {
  const database = await openLane(inject("stack").variables.NEON_FETCH_ENDPOINT);
  const response = await get(`/api/crew-runs/${segment}`, "owner", {}, { NEON_FETCH_ENDPOINT: database.url });
  expect(response.status).toBe(422);
  expect(response.headers.get("cache-control")).toBe("no-store");
  expect(await response.json()).toEqual({
    detail: [{ type: "uuid_parsing", loc: ["path", "run_id"], msg: "Input should be a valid UUID", input }],
    code: "invalid_run_id",
    request_id: response.headers.get("x-request-id"),
  });
  expect((await database.counters()).received).toBe(0);
});

test("credentials are checked before the id", async () => {
  const worker = startWorker();
  for (const headers of [{}, bearer("a.b.c")]) {
    expect((await worker.fetch("/api/crew-runs/nonsense", { headers })).status).toBe(401);
  }
});

test("no credentials: 401 with a challenge that names no error and points at the metadata", async () => {
  const response = await startWorker().fetch(`/api/crew-runs/${crypto.randomUUID()}`);
  expect(response.status).toBe(401);
  expect(response.headers.get("www-authenticate")).toBe(
    'Bearer resource_metadata="https://api.test/.well-known/oauth-protected-resource"',
  );
  expect(await response.json()).toEqual({
    detail: "Not authenticated",
    code: "not_authenticated",
    request_id: response.headers.get("x-request-id"),
  });
});

test("a finished run is private and fresh for the setting's time, an unfinished one is revalidated each time", async () => {
  const finished = await get(
    `/api/crew-runs/${await insertRun(FINISHED)}`,
    "owner",
    {},
    { FINISHED_RUN_TTL_SECONDS: 120 },
  );
  expect(finished.headers.get("cache-control")).toBe("private, max-age=120");
  expect(finished.headers.get("retry-after")).toBeNull();
  expect(finished.headers.get("vary")).toBe("Authorization");

  const unfinished = await get(`/api/crew-runs/${await insertRun()}`, "owner");
  expect(unfinished.headers.get("cache-control")).toBe("private, no-cache");
  expect(unfinished.headers.get("retry-after")).toBe("1");
});

test("Retry-After grows with the run's age: a tenth of it, at most 30 seconds", async () => {
  const ago = (seconds: number) => new Date(Date.now() - seconds * 1_000).toISOString();
  for (const [age, expected] of [
    [100, "10"],
    [100_000, "30"],
  ] as const) {
    const id = await insertRun({ created_at: ago(age) });
    expect((await get(`/api/crew-runs/${id}`, "owner")).headers.get("retry-after")).toBe(expected);
  }
});

test("a run that finishes is seen by the next request", async () => {
  const worker = startWorker();
  const id = await insertRun({ status: "running" });
  const headers = bearer(await fetchToken("owner"));
  expect(await (await worker.fetch(`/api/crew-runs/${id}`, { headers })).json()).toMatchObject({
    status: "running",
  });
  await finishRun(id);
  expect(await (await worker.fetch(`/api/crew-runs/${id}`, { headers })).json()).toMatchObject({
    status: "completed",
  });
});

test("the tag names the representation: the same for owner and admin, and after a token refresh; another after a change", async () => {
  const id = await insertRun({ status: "running" });
  const tag = async (user: User) => (await get(`/api/crew-runs/${id}`, user)).headers.get("etag");
  const before = await tag("owner");
  expect(before).toMatch(/^"[\w-]{22}"$/);
  expect(await tag("admin")).toBe(before);
  await finishRun(id);
  expect(await tag("owner")).not.toBe(before);
});

test.each([
  ["the tag", (tag: string) => tag],
  ["the tag as weak", (tag: string) => `W/${tag}`],
  ["a list", (tag: string) => `"other", W/"one, more" , ${tag}`],
  ["the tag as weak, in a list", (tag: string) => `"other",W/${tag}`],
  ["a star", () => "*"],
])("If-None-Match with %s is a 304 with the headers of a 200 and no body", async (_, condition) => {
  for (const run of [FINISHED, {}]) {
    const id = await insertRun(run);
    const full = await get(`/api/crew-runs/${id}`, "owner");
    const etag = full.headers.get("etag") ?? "";
    const response = await get(`/api/crew-runs/${id}`, "owner", {
      headers: { "if-none-match": condition(etag) },
    });
    expect(response.status).toBe(304);
    expect(await response.text()).toBe("");
    expect(response.headers.get("content-type")).toBeNull();
    for (const name of ["etag", "cache-control", "vary", "retry-after"]) {
      expect(response.headers.get(name)).toBe(full.headers.get(name));
    }
  }
});

test("w/ in lower case is no mark of a weak tag", async () => {
  const path = `/api/crew-runs/${await insertRun(FINISHED)}`;
  const etag = (await get(path, "owner")).headers.get("etag");
  expect((await get(path, "owner", { headers: { "if-none-match": `w/${etag}` } })).status).toBe(200);
});

test.each(['"other"', 'W/"other"', "tag-without-quotes", ""])("If-None-Match: %s is a 200", async (condition) => {
  const id = await insertRun(FINISHED);
  const response = await get(`/api/crew-runs/${id}`, "owner", { headers: { "if-none-match": condition } });
  expect(response.status).toBe(200);
});

async function finishRun(id: string): Promise<void> {
  await connectAsOwner().query(
    "update crew_runs set status = 'completed', result = 'done', completed_at = now() + interval '1 second' where id = $1",
    [id],
  );
}
