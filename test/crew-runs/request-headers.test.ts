// A client that has the current representation gets no body; any other gets one. How a Prefer header is read. That no header takes
// more time than its length is worth: test/node/sockets.test.ts.
import { expect, test } from "vitest";
import { readWaitSeconds } from "../../src/crew-runs/request-headers.ts";
import { insertRun } from "../support/database.ts";
import { type ReadResult, createReader } from "../support/reader.ts";

const reader = await createReader();

/** Reads a run in a new isolate. */
const read = (id: string, condition?: string): Promise<ReadResult> =>
  reader.restart().read(id, { headers: condition === undefined ? {} : { "if-none-match": condition } });

test.each(["TAG", "W/TAG", `"other", W/"one, more" , TAG`, `"other",W/TAG`, "*"])(
  "If-None-Match: %s is a 304 with the headers of a 200 and no body",
  async (condition) => {
    for (const status of ["completed", "pending"] as const) {
      const id = await insertRun({ status });
      const full = await read(id);
      const response = await read(id, condition.replace("TAG", full.headers.get("etag") ?? ""));
      expect(response.status).toBe(304);
      expect(response.body).toBe("");
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
  for (const status of ["completed", "pending"] as const) {
    const id = await insertRun({ status });
    const tag = (await read(id)).headers.get("etag") ?? "";
    const response = await read(id, condition.replace("TAG", tag).replace("WORD", tag.slice(1, -1)));
    expect(response.status).toBe(200);
    expect(JSON.parse(response.body)).toMatchObject({ id });
  }
});

const unread = (prefer: string) => [prefer, undefined] as const;

test.each([
  ["wait=5", 5],
  ["wait=0", 0],
  ["wait=1000", 1_000],
  ["WAIT \t= 5 ; x=y", 5],
  ['respond-async, Wait="7"; x=y', 7],
  ["respond-async,wait=5", 5],
  ["wait=1, wait=9", 1],
  ["wait=soon, wait=9", undefined],
  ["wait, wait=9", undefined],
  ["waiting=9, wait=5", 5],
  ['foo="a, wait=0", bar="\\", wait=0", wait=1', 1],
  ["wait=999999999", 999_999_999],
  ...["wait=1000000000", "wait=-1", "wait=1.5", "wait=5x", "wait=5 6", "wait=", 'wait="5', "wait=+5"].map(unread),
  ...["waiting=9", "xwait=9", "x wait=9", "foo; wait=9", 'foo="wait=9"', "", ","].map(unread),
] as const)("Prefer: %s asks for a wait of %s seconds", (prefer, seconds) => {
  expect(readWaitSeconds(prefer)).toBe(seconds);
});
