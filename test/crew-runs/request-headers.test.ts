// A client that has the current representation gets no body; any other gets one. No header takes more time than its length is
// worth.
import { expect, test } from "vitest";
import { readWaitSeconds } from "../../src/crew-runs/request-headers.ts";
import { bearer, createTestApp } from "../support/test-app.ts";
import { insertRun, updateRun } from "../support/database.ts";
import { type User, fetchToken } from "../support/issuer.ts";

const FINISHED = { status: "completed", completed_at: "2036-01-01T00:00:00Z", result: "done" } as const;

/** Reads a run in a new isolate. */
async function read(id: string, condition?: string, user: User = "owner"): Promise<Response> {
  const headers = new Headers(bearer(await fetchToken(user)));
  if (condition !== undefined) headers.set("if-none-match", condition);
  return createTestApp().fetch(`/api/crew-runs/${id}`, { headers });
}

test("the tag names the representation: one for all who read it, another after a change", async () => {
  const id = await insertRun({ status: "running" });
  const tag = (await read(id)).headers.get("etag");
  expect(tag).toMatch(/^"[\w-]{22}"$/);
  expect((await read(id, undefined, "admin")).headers.get("etag")).toBe(tag);
  await updateRun(id, "result = ''");
  expect((await read(id)).headers.get("etag")).not.toBe(tag);
});

test.each(["TAG", "W/TAG", `"other", W/"one, more" , TAG`, `"other",W/TAG`, "*"])(
  "If-None-Match: %s is a 304 with the headers of a 200 and no body",
  async (condition) => {
    for (const run of [FINISHED, {}]) {
      const id = await insertRun(run);
      const full = await read(id);
      const response = await read(id, condition.replace("TAG", full.headers.get("etag") ?? ""));
      expect(response.status).toBe(304);
      expect(await response.text()).toBe("");
      expect(response.headers.get("content-type")).toBeNull();
      for (const name of ["etag", "cache-control", "vary", "retry-after"]) {
        expect(response.headers.get(name)).toBe(full.headers.get(name));
      }
    }
  },
);

const OTHER_TAGS = [`"a*b"`, `"other"`, `W/"other"`, "", "w/TAG", "WORD", `"1-WORD"`, `"x,TAG"`];
const HALF_TAGS = [`"WORD`, `WORD"`, `"WORD x"`, `"", "WORDx"`];

test.each([...OTHER_TAGS, ...HALF_TAGS])("If-None-Match: %s is a 200 with a body", async (condition) => {
  for (const run of [FINISHED, {}]) {
    const id = await insertRun(run);
    const tag = (await read(id)).headers.get("etag") ?? "";
    const response = await read(id, condition.replace("TAG", tag).replace("WORD", tag.slice(1, -1)));
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ id });
  }
});

test.each([
  ["blanks after a name", `a${" ".repeat(24_000)}x y`],
  ["blanks after an equals sign", `wait=${" ".repeat(24_000)}x y`],
  ["blanks before a semicolon", `wait${" ".repeat(24_000)};${" ".repeat(24_000)}, wait=5`],
  ["quotes", `wait=${'"'.repeat(24_000)}`],
  ["commas", ",".repeat(24_000)],
])("a Prefer header takes time in proportion to its length: %s", { timeout: 1_000 }, (_, prefer) => {
  // With backtracking, each would take seconds.
  expect(readWaitSeconds(prefer)).toBeOneOf([undefined, 0, 5]);
});
