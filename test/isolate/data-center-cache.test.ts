// The data-center cache as an optimization: what fails or is slow in it costs no more than it must.
// What is cached, and for whom: crew-runs/cached-runs.test.ts.
import { beforeEach, describe, expect, test, vi } from "vitest";
import { type DataCenterCache, createDataCenterCache } from "../../src/isolate/data-center-cache.ts";
import { controlClock, elapsed } from "../support/clock.ts";
import { insertRun } from "../support/database.ts";
import { expectFault } from "../support/documented-fault.ts";
import { createReader } from "../support/reader.ts";

const clock = controlClock();
const { put } = Cache.prototype;

// So that no real read takes too long on a busy machine.
beforeEach(() => {
  clock.simulate();
});

const ORIGIN = "https://api.test";
const read = (cache: DataCenterCache, path: string, origin = ORIGIN) =>
  cache.read(origin, path, (_, body): unknown => JSON.parse(new TextDecoder().decode(body)));

/** A path of this test's own. */
const makePath = () => `test/${crypto.randomUUID()}`;

const never = () => new Promise<never>(() => {});
const fail = async () => {
  throw new Error("broken");
};

test.each<[string, (send: () => Promise<void>) => Promise<void>, string | undefined]>([
  ["never ends", never, undefined],
  ["fails", fail, undefined],
  ["takes longer than a read may", (send) => scheduler.wait(500).then(send), "written"],
])("a write that %s stops no read, and what it wrote is found", async (_, write, expected) => {
  const cache = createDataCenterCache();
  const [path, known] = [makePath(), makePath()];
  await cache.write(ORIGIN, known, `"known"`, {}, 60);
  vi.spyOn(Cache.prototype, "put").mockImplementationOnce(async function (this: Cache, ...words) {
    return write(() => put.apply(this, words));
  });
  void cache.write(ORIGIN, path, `"written"`, {}, 60);
  await scheduler.wait(1_000);
  expect([await read(cache, known), await read(cache, path)]).toEqual(["known", expected]);
});

test.each([
  ["fails", fail, 0],
  ["takes too long", never, 400],
])("a lookup that %s stops those after it for a minute, so that they cost no time", async (_, lookUp, costMs) => {
  const cache = createDataCenterCache();
  const match = vi.spyOn(Cache.prototype, "match").mockImplementationOnce(lookUp);
  expect(await elapsed(read(cache, makePath()))).toBe(costMs);
  // Writes go out nevertheless.
  const known = makePath();
  await cache.write(ORIGIN, known, `"known"`, {}, 600);
  expect(await read(cache, known)).toBeUndefined();
  expect(match).toHaveBeenCalledOnce();
  await scheduler.wait(59_999);
  expect(await read(cache, known)).toBeUndefined();
  await scheduler.wait(1);
  expect(await read(cache, known)).toBe("known");
});

test.each([
  ["whose body takes too long", () => vi.spyOn(Response.prototype, "bytes").mockImplementationOnce(never), 400],
  ["that can't be parsed", () => vi.spyOn(JSON, "parse").mockImplementationOnce(() => expect.fail("an old entry")), 0],
])("an entry %s is a miss of that entry alone", async (_, spoil, costMs) => {
  const cache = createDataCenterCache();
  const [bad, known] = [makePath(), makePath()];
  for (const path of [bad, known]) await cache.write(ORIGIN, path, `"known"`, {}, 600);
  spoil();
  expect(await elapsed(read(cache, bad))).toBe(costMs);
  expect([await read(cache, known), await read(cache, bad)]).toEqual(["known", "known"]);
});

test("each request finds and leaves entries under its own origin, whatever the isolate's first request had", async () => {
  const reader = await createReader();
  const id = await insertRun({ status: "completed" });
  const readFrom = async (origin: string, by = reader.restart()) => {
    const { headers } = await by.read(id, { origin });
    await by.app.settle();
    return headers.get("cache-status");
  };
  // The path makes the host `api.test,b`.
  expect((await reader.read("/health", { origin: "https://api.test,b" })).status).toBe(200);
  expect(await readFrom("https://reader.workers.test", reader)).toContain("stored");
  expect(await readFrom("https://runs.test")).toContain("fwd=uri-miss");
  for (const origin of ["https://reader.workers.test", "https://runs.test"]) {
    expect(await readFrom(origin), origin).toBe("crew-runs; hit; detail=data-center");
  }
});

describe("without a data-center cache", () => {
  const open = (match: () => Promise<unknown>) => ({ open: async () => ({ match, put: fail }) });
  const breakOff = () => new ReadableStream({ pull: (controller) => controller.error(new Error("broken")) });

  test.each([
    ["not there", undefined],
    ["there, and of no use", {}],
    ["failing", open(fail)],
    ["silent", open(never)],
    ["broken in the middle of a body", open(async () => new Response(breakOff()))],
    ["full of what is no entry", open(async () => new Response("x"))],
  ])("because it is %s, every request has its response, and runs are cached in memory", async (_, stub) => {
    const { app, read: readRun } = await createReader();
    const id = await insertRun({ status: "completed" });
    vi.stubGlobal("caches", stub);
    expect((await readRun(id)).status).toBe(200);
    const cached = await readRun(id);
    expectFault("no_data_center_cache", cached);
    expect([cached.log["cache_layer"], cached.queries]).toEqual(["isolate", 0]);
    expect((await readRun()).status).toBe(404);
    await app.settle();
  });
});

test("without a usable Host the cache is as if empty, and no read counts as failed", async () => {
  const cache = createDataCenterCache();
  const path = makePath();
  await cache.write("", path, `"nowhere"`, {}, 60);
  expect(await read(cache, path, "")).toBeUndefined();
  await cache.write(ORIGIN, path, `"here"`, {}, 60);
  expect(await read(cache, path)).toBe("here");
});
