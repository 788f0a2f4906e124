// The budget of database replies: which are refused because of others, and when a reply stops counting.
// One test at a time, because all of an isolate share the budget.
import { expect, onTestFinished, test } from "vitest";
import { fetchWithinBudget } from "../../../src/crew-runs/postgres/reply-budget.ts";
import type { Failure } from "../../../src/failure.ts";
import { controlClock } from "../../support/clock.ts";
import { openFaultProxy } from "../../support/fault-proxy.ts";
import type { FaultProxy } from "../../support/fault-proxy-protocol.ts";

const clock = controlClock();
const [KB, MB] = [1_024, 1_048_576];

/** The database's endpoint, with a reply of so many bytes. */
const openEndpoint = (bytes: number, headers = {}) => openFaultProxy({ text: "x".repeat(bytes), headers });
/** No length is believed of an encoded reply: its bytes are counted as they arrive. */
const UNDECLARED = { "content-encoding": "identity" };

/** What becomes of a reply: its length, or the failure's code. */
const read = async ({ url }: FaultProxy, signal?: AbortSignal): Promise<number | string> =>
  fetchWithinBudget(url, signal === undefined ? {} : { signal }).then(
    async (reply) => (await reply.text()).length,
    (error: Failure) => error.code,
  );

/** Two replies that are the whole budget, 24 MB, and hang. Returns a function that ends them. */
async function fillBudget(): Promise<() => Promise<unknown>> {
  const ends = new AbortController();
  const large = await openEndpoint(12 * MB);
  await large.fail({ kind: "hang-in-body" });
  const stuck = Promise.all([read(large, ends.signal), read(large, ends.signal)]);
  const end = () => {
    ends.abort();
    return stuck;
  };
  onTestFinished(async () => void (await end()));
  // Until both declared their length, a reply that is larger than a small one passes.
  const other = await openEndpoint(65 * KB);
  await expect.poll(() => read(other), { timeout: 4_000 }).toBe("overloaded");
  return end;
}

test("while replies of 24 MB are under way, a hundred of 64 KB are read, and a larger one only when they have ended", async () => {
  const end = await fillBudget();
  const small = await openEndpoint(64 * KB);
  const all = await Promise.all(Array.from({ length: 100 }, () => read(small)));
  expect(new Set(all)).toEqual(new Set([64 * KB]));
  const larger = await openEndpoint(64 * KB + 1);
  const overloaded = { code: "overloaded", message: expect.stringContaining(String(64 * KB + 1)) };
  await expect(fetchWithinBudget(larger.url, {})).rejects.toMatchObject(overloaded);
  await end();
  expect(await read(larger)).toBe(64 * KB + 1);
});

test("a reply whose request was cut off stops counting after ten seconds", async () => {
  await fillBudget();
  const larger = await openEndpoint(64 * KB + 1);
  // A request that was cut off never reaches its `finally`: to the budget it looks like a reply that hangs.
  clock.advance(9);
  expect(await read(larger)).toBe("overloaded");
  clock.advance(1);
  expect(await read(larger)).toBe(64 * KB + 1);
});

test.each([
  [16 * MB, {}, 16 * MB],
  [16 * MB + 1, {}, "record_too_large"],
  [16 * MB, UNDECLARED, 16 * MB],
  [16 * MB + 1, UNDECLARED, "record_too_large"],
])("one reply may have 16 MB: of %i bytes with the headers %j, the outcome is %s", async (bytes, headers, outcome) => {
  expect(await read(await openEndpoint(bytes, headers))).toBe(outcome);
});
