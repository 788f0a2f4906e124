// The one path of the API: which spellings of an id and which methods it takes, and the headers of its responses.
// Conditional requests, strangers and waits have their own files.
import { expect, test } from "vitest";
import { controlClock } from "../support/clock.ts";
import { insertRun } from "../support/database.ts";
import { createReader } from "../support/reader.ts";

const clock = controlClock();
const reader = await createReader();

test("HEAD is GET without a body", async () => {
  const id = await insertRun({ status: "completed" });
  const head = await reader.read(id, { method: "HEAD" });
  const full = await reader.restart().read(id);
  expect([head.status, head.body]).toEqual([200, ""]);
  expect(head.headers.get("etag")).toBe(full.headers.get("etag"));
  expect(head.headers.get("content-type")).toBe("application/json");
});

test.each(["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])(
  "%s is a 405 that allows GET and HEAD, on each path",
  async (method) => {
    for (const path of [undefined, "/health", "/ready", "/.well-known/oauth-protected-resource"]) {
      const { status, headers, body } = await reader.read(path, { as: "nobody", method });
      expect(status).toBe(405);
      expect(headers.get("allow")).toBe("GET, HEAD");
      const error = { detail: "Method Not Allowed", code: "method_not_allowed" };
      expect(JSON.parse(body)).toEqual({ ...error, request_id: headers.get("x-request-id") });
    }
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
  const { status, headers, body } = await reader.read(path, { as: "nobody" });
  expect(status).toBe(404);
  expect(headers.get("content-type")).toBe("application/json");
  expect(headers.get("www-authenticate")).toBeNull();
  expect(JSON.parse(body)).toMatchObject({ detail: "Not Found", code: "not_found" });
});

test.each(["/", "?expand=all&access_token=x"])("%s behind the id changes nothing", async (tail) => {
  expect((await reader.read((await insertRun()) + tail)).status).toBe(200);
});

test.each([
  ["canonical", (id: string) => id],
  ["upper case", (id: string) => id.toUpperCase()],
  ["without dashes", (id: string) => id.replaceAll("-", "")],
  ["without dashes in upper case", (id: string) => id.replaceAll("-", "").toUpperCase()],
  ["in braces in upper case", (id: string) => `{${id.toUpperCase()}}`],
  ["in braces", (id: string) => `%7B${id}%7D`],
  ["as a URN", (id: string) => `urn:uuid:${id}`],
  ["percent-encoded", (id: string) => `%${id.charCodeAt(0).toString(16)}${id.slice(1)}`],
])("an id %s finds the run, and the response has the canonical id", async (_, spell) => {
  const id = await insertRun({ status: "completed" });
  await reader.read(id);
  const { status, body, queries } = await reader.read(spell(id));
  expect(status).toBe(200);
  expect(JSON.parse(body)).toMatchObject({ id });
  // All spellings share one cached run.
  expect(queries).toBe(0);
});

test.each([
  "00000000-0000-0000-0000-000000000000",
  "ffffffff-ffff-ffff-ffff-ffffffffffff",
  "1234567812341234123412345678abcd",
])("the id %s is valid, whatever its version and variant", async (id) => {
  expect((await reader.read(id)).status).toBe(404);
});

const ID = "11111111-1111-4111-8111-111111111111";

test.each([
  ["a word", "abc"],
  ["one digit short", ID.slice(1)],
  ["a letter that is no digit", `g${ID.slice(1)}`],
  ["a digit more", `${ID}1`],
  ["a digit more before it", `1${ID}`],
  ["a digit more, without dashes", `${ID.replaceAll("-", "")}1`],
  ["a digit more before it, without dashes", `1${ID.replaceAll("-", "")}`],
  ["braces and a letter behind them", `{${ID}}x`],
  ["braces and a letter before them", `x{${ID}}`],
  ["a URN with a letter behind it", `urn:uuid:${ID}x`],
  ["a URN with a letter before it", `xurn:uuid:${ID}`],
  ["a URN in braces", `{urn:uuid:${ID}}`],
  ["a URN without dashes", `urn:uuid:${ID.replaceAll("-", "")}`],
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
  ["100 characters", "a".repeat(100)],
  ["101 characters", "a".repeat(101), `${"a".repeat(100)}…`],
])("%s is a 422 that costs no query", async (_, segment, input = segment) => {
  const { status, headers, body, queries } = await reader.read(segment);
  expect([status, queries]).toEqual([422, 0]);
  expect(headers.get("cache-control")).toBe("no-store");
  expect(JSON.parse(body)).toEqual({
    detail: [{ type: "uuid_parsing", loc: ["path", "run_id"], msg: "Input should be a valid UUID", input }],
    code: "invalid_run_id",
    request_id: headers.get("x-request-id"),
  });
});

test.each([
  ["completed", "private, max-age=120"],
  ["failed", "private, max-age=120"],
  ["running", "private, no-cache"],
  ["pending", "private, no-cache"],
] as const)("a %s run has Cache-Control: %s; only an unfinished one has Retry-After", async (status, cacheControl) => {
  const { headers } = await reader.restart({ FINISHED_RUN_TTL_SECONDS: 120 }).read(await insertRun({ status }));
  expect(headers.get("cache-control")).toBe(cacheControl);
  expect(headers.get("retry-after")).toBe(cacheControl.includes("max-age") ? null : "1");
  expect(headers.get("vary")).toBe("Authorization");
});

test.each([
  [-60, "1"],
  [0, "1"],
  [14, "1"],
  [16, "2"],
  [294, "29"],
  [306, "30"],
  [100_000, "30"],
])("Retry-After of an unfinished run %i seconds old is a tenth of that, from 1 to 30: %s", async (age, expected) => {
  const nowMs = Date.now();
  clock.stopAt(nowMs);
  const id = await insertRun({ created_at: new Date(nowMs - age * 1_000).toISOString() });
  expect((await reader.read(id)).headers.get("retry-after")).toBe(expected);
});
