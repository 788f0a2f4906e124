// The data-center cache as an optimization: what fails or is slow in it costs no more than it must.
// What is cached, and for whom: crew-runs/cached-runs.test.ts.
import { beforeEach, describe, expect, test, vi } from "vitest";
import { type DataCenterCache, createDataCenterCache } from "../../src/isolate/data-center-cache.ts";
import { controlClock } from "../support/clock.ts";
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
  cache.read(origin, path, (_, body) => new TextDecoder().decode(body));

/** A path of this test's own. */
const makePath = () => `test/${crypto.randomUUID()}`;

/** Waits longer than a read may take. */
const waitForReadTimeout = () => scheduler.wait(500);

describe("a write", () => {
  let cache: DataCenterCache;
  let known: string;

  beforeEach(async () => {
    cache = createDataCenterCache();
    known = makePath();
    await cache.write(ORIGIN, known, "known", {}, 60);
  });

  test("that never ends doesn't stop reads", async () => {
    vi.spyOn(Cache.prototype, "put").mockReturnValueOnce(new Promise(() => {}));
    void cache.write(ORIGIN, makePath(), "never", {}, 60);
    await waitForReadTimeout();
    expect(await read(cache, known)).toBe("known");
  });

  test("that fails doesn't stop reads", async () => {
    vi.spyOn(Cache.prototype, "put").mockRejectedValueOnce(new Error("full"));
    await cache.write(ORIGIN, makePath(), "refused", {}, 60);
    expect(await read(cache, known)).toBe("known");
  });

  test("may take longer than a read, and is found", async () => {
    vi.spyOn(Cache.prototype, "put").mockImplementationOnce(async function (this: Cache, key, entry) {
      await waitForReadTimeout();
      return put.call(this, key, entry);
    });
    const path = makePath();
    await cache.write(ORIGIN, path, "late", {}, 60);
    expect(await read(cache, path)).toBe("late");
  });

  test("goes out though a read failed", async () => {
    vi.spyOn(Cache.prototype, "match").mockRejectedValueOnce(new Error("broken"));
    expect(await read(cache, known)).toBeUndefined();
    const path = makePath();
    await cache.write(ORIGIN, path, "written", {}, 60);
    const other = createDataCenterCache();
    expect(await read(other, path)).toBe("written");
  });
});

/** Stores an entry whose body hangs when it is read. */
function hangBodyOf(path: string): void {
  // Of the simulated clock.
  const match = vi.mocked(Cache.prototype.match).getMockImplementation();
  vi.mocked(Cache.prototype.match).mockImplementation(async function (this: Cache, key) {
    const entry = await match?.call(this, key);
    if (String(key).endsWith(path) && entry) vi.spyOn(entry, "bytes").mockReturnValue(new Promise(() => {}));
    return entry;
  });
}

const elapsed = async (work: Promise<unknown>): Promise<number> => {
  const startedMs = Date.now();
  await work;
  return Date.now() - startedMs;
};

test.each([
  ["fails", () => Promise.reject(new Error("broken")), 0],
  ["takes too long", () => new Promise<never>(() => {}), 400],
])("a lookup that %s stops those after it for a minute, so that they cost no time", async (_, lookUp, costMs) => {
  const cache = createDataCenterCache();
  const known = makePath();
  await cache.write(ORIGIN, known, "known", {}, 600);
  const match = vi.spyOn(Cache.prototype, "match").mockImplementationOnce(lookUp);
  expect(await elapsed(read(cache, makePath()))).toBe(costMs);
  expect(await read(cache, known)).toBeUndefined();
  expect(match).toHaveBeenCalledOnce();
  await scheduler.wait(59_999);
  expect(await read(cache, known)).toBeUndefined();
  await scheduler.wait(1);
  expect(await read(cache, known)).toBe("known");
});

test("a body that takes too long stops lookups of that entry for a minute, and of no other", async () => {
  const cache = createDataCenterCache();
  const [slow, known] = [makePath(), makePath()];
  for (const path of [slow, known]) await cache.write(ORIGIN, path, "known", {}, 600);
  hangBodyOf(slow);
  expect(await elapsed(read(cache, slow))).toBe(400);
  expect(await elapsed(read(cache, slow))).toBe(0);
  expect(await read(cache, known)).toBe("known");
  await scheduler.wait(60_000);
  expect(await elapsed(read(cache, slow))).toBe(400);
});

test("an entry that can't be parsed is a miss of that entry alone, for a minute", async () => {
  const cache = createDataCenterCache();
  const [bad, known] = [makePath(), makePath()];
  for (const path of [bad, known]) await cache.write(ORIGIN, path, "known", {}, 600);
  const fail = () => {
    throw new Error("an old entry");
  };
  expect(await cache.read(ORIGIN, bad, fail)).toBeUndefined();
  expect([await read(cache, bad), await read(cache, known)]).toEqual([undefined, "known"]);
  await scheduler.wait(60_000);
  expect(await read(cache, bad)).toBe("known");
});

test("so many broken entries are remembered that the isolate's memory isn't used up: 1,000", async () => {
  const cache = createDataCenterCache();
  const paths = Array.from({ length: 1_001 }, makePath);
  const match = vi.mocked(Cache.prototype.match).mockImplementation(async () => {
    const entry = new Response("");
    vi.spyOn(entry, "bytes").mockRejectedValue(new Error("broken"));
    return entry;
  });
  for (const path of paths.slice(0, 1_000)) await read(cache, path);
  await read(cache, paths[0] ?? "");
  expect(match).toHaveBeenCalledTimes(1_000);
  await read(cache, paths[1_000] ?? "");
  await read(cache, paths[0] ?? "");
  expect(match).toHaveBeenCalledTimes(1_002);
});

test.each(["owner", "admin"] as const)(
  "if a copy of a finished run can't be written, the other still is, and %s finds it",
  async (as) => {
    const reader = await createReader();
    const id = await insertRun({ status: "completed" });
    const isOther = (key: unknown) => String(key).includes(id) && String(key).endsWith("/admins") !== (as === "admin");
    vi.spyOn(Cache.prototype, "put").mockImplementation(async function (this: Cache, key, entry) {
      if (isOther(key)) return new Promise(() => {});
      return put.call(this, key, entry);
    });
    await reader.read(id);
    // The write that never ends keeps the request's context open.
    await waitForReadTimeout();
    expect((await reader.restart().read(id, { as })).log["cache_layer"]).toBe("data_center");
  },
);

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
  const gone = () => {
    throw new Error("no cache here");
  };
  const broken = () => Promise.reject(new Error("broken"));
  const open = (match: () => unknown, brokenPut: () => unknown = broken) => ({
    open: async () => ({ match, put: brokenPut }),
  });
  const brokenBody = async () =>
    new Response(new ReadableStream({ pull: (controller) => controller.error(new Error("broken")) }));
  const unheard: unknown[] = [];
  addEventListener("unhandledrejection", ({ reason }) => unheard.push(reason));

  test.each([
    ["not there", undefined],
    ["there, and of no use", {}],
    ["a method that throws", { open: gone }],
    ["a method that fails", { open: broken }],
    ["failing", open(broken)],
    ["throwing", open(gone, gone)],
    ["silent", open(() => new Promise(() => {}))],
    ["broken in the middle of a body", open(brokenBody)],
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
    expect(unheard).toEqual([]);
  });
});

test("without a usable Host the cache is as if empty, and no read counts as failed", async () => {
  const cache = createDataCenterCache();
  const path = makePath();
  await cache.write("", path, "nowhere", {}, 60);
  expect(await read(cache, path, "")).toBeUndefined();
  await cache.write(ORIGIN, path, "here", {}, 60);
  expect(await read(cache, path)).toBe("here");
});
