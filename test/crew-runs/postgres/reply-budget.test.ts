// The budget of database replies: which are refused because of others, and when a reply stops counting.
// One test at a time, because all of an isolate share the budget.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fetchWithinBudget } from "../../../src/crew-runs/postgres/reply-budget.ts";
import type { Failure } from "../../../src/failure.ts";
import { controlClock } from "../../support/clock.ts";
import { openFaultProxy } from "../../support/fault-proxy.ts";
import type { FaultProxy } from "../../support/fault-proxy-protocol.ts";

const clock = controlClock();
const PATIENCE = { timeout: 4_000 };
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

/** Reads a reply whose body stops half way, so that only its reader can end the connection. */
async function expectCancelled(endpoint: FaultProxy, code: string): Promise<void> {
  await endpoint.fail({ kind: "hang-in-body" });
  expect(await read(endpoint)).toBe(code);
  await expect.poll(() => endpoint.unfinished(), PATIENCE).toBe(1);
}

describe("while large replies of the whole budget are under way", () => {
  let ends: AbortController;
  let stuck: Promise<unknown>;

  beforeEach(async () => {
    ends = new AbortController();
    const large = await openEndpoint(12 * MB);
    await large.fail({ kind: "hang-in-body" });
    stuck = Promise.all([read(large, ends.signal), read(large, ends.signal)]);
    // Until both declared their length, a reply that is larger than a small one passes.
    const other = await openEndpoint(65 * KB);
    await expect.poll(() => read(other), PATIENCE).toBe("overloaded");
  });
  afterEach(async () => {
    ends.abort();
    await stuck;
  });

  test("a reply of 64 KB is read", async () => {
    expect(await read(await openEndpoint(64 * KB))).toBe(64 * KB);
  });

  test("a hundred replies of 64 KB at once are read", async () => {
    const small = await openEndpoint(64 * KB);
    const all = await Promise.all(Array.from({ length: 100 }, () => read(small)));
    expect(new Set(all)).toEqual(new Set([64 * KB]));
  });

  test("a larger one is refused, and read once they ended", async () => {
    const larger = await openEndpoint(64 * KB + 1);
    expect(await read(larger)).toBe("overloaded");
    ends.abort();
    await stuck;
    expect(await read(larger)).toBe(64 * KB + 1);
  });

  test("a reply that is refused is cancelled, so that its connection ends", async () => {
    await expectCancelled(await openEndpoint(MB), "overloaded");
  });

  test("a reply whose request was cut off stops counting after ten seconds", async () => {
    const larger = await openEndpoint(64 * KB + 1);
    // A request that was cut off never reaches its `finally`: to the budget it looks like a reply that hangs.
    clock.advance(9);
    expect(await read(larger)).toBe("overloaded");
    clock.advance(1);
    expect(await read(larger)).toBe(64 * KB + 1);
  });
});

test.each([
  [16 * MB, {}, 16 * MB],
  [16 * MB + 1, {}, "record_too_large"],
  [16 * MB, UNDECLARED, 16 * MB],
  [16 * MB + 1, UNDECLARED, "record_too_large"],
])("one reply may have 16 MB: of %i bytes with the headers %j, the outcome is %s", async (bytes, headers, outcome) => {
  expect(await read(await openEndpoint(bytes, headers))).toBe(outcome);
});

test.each([
  [8 * MB, 8 * MB],
  [8 * MB + 1, "overloaded"],
])(
  "all replies together may have 24 MB: beside 16 MB, the outcome of one of %i bytes is %s",
  async (bytes, outcome) => {
    const ends = new AbortController();
    const large = await openEndpoint(8 * MB);
    await large.fail({ kind: "hang-in-body" });
    const stuck = [read(large, ends.signal), read(large, ends.signal)];
    const probe = await openEndpoint(8 * MB + 1);
    await expect.poll(() => read(probe), PATIENCE).toBe("overloaded");
    expect(await read(await openEndpoint(bytes))).toBe(outcome);
    ends.abort();
    await Promise.all(stuck);
  },
);

test("a reply that declares more than 16 MB is cancelled, so that its connection ends", async () => {
  await expectCancelled(await openEndpoint(17 * MB), "record_too_large");
});
