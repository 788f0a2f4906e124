// Cached runs survive their database: what is cached, for whom, for how long, and at what cost. To a stranger, a run of another
// user is the same response and the same work as a missing one, whatever is cached.
// No order of events makes a cached run too old or shows it to others: test/histories/. A cache that fails: isolate/.
import { describe, expect, inject, test, vi } from "vitest";
import { createCachedRuns } from "../../src/crew-runs/cached-runs.ts";
import type { Run } from "../../src/crew-runs/record.ts";
import { type DataCenterCache, createDataCenterCache } from "../../src/isolate/data-center-cache.ts";
import { readSettings } from "../../src/settings.ts";
import { controlClock } from "../support/clock.ts";
import { insertRun, updateRun } from "../support/database.ts";
import { expectFault } from "../support/documented-fault.ts";
import { type Reader, createReader } from "../support/reader.ts";

const clock = controlClock();
const createMinuteReader = () => createReader({ settings: { FINISHED_RUN_TTL_SECONDS: 60 } });
const insertFinished = () => insertRun({ status: "completed", result: "done" });

type Options = Parameters<Reader["read"]>[1];

/** Reads a run, and counts its lookups and writes in the data-center cache. Leaves out what differs from request to request. */
async function readCounted({ app, read }: Reader, id: string, options?: Options) {
  const calls = [vi.spyOn(Cache.prototype, "match"), vi.spyOn(Cache.prototype, "put")].map(({ mock }) => mock.calls);
  const before = calls.map(({ length }) => length);
  const { status, headers, body, log, queries } = await read(id, options);
  await app.settle();
  const [lookups, puts] = calls.map((each, at) => each.slice(before[at]).filter(([key]) => String(key).includes(id)));
  return {
    status,
    headers: [...headers].filter(([name]) => !["x-request-id", "server-timing"].includes(name)),
    body: body.replace(/"request_id":"[^"]*"/, ""),
    logged: [...Object.keys(log), log["db_faults"]],
    queries,
    lookups: lookups?.length,
    puts: puts?.length,
  };
}

describe("a finished run that was read once", () => {
  test("is served from memory, else from the data center, to its owner and to admins, with its age and its tag", async () => {
    const reader = await createMinuteReader();
    const id = await insertFinished();
    const first = await reader.read(id);
    expect([first.queries, first.headers.get("age")]).toEqual([1, null]);
    expect(first.headers.get("cache-status")).toBe("crew-runs; fwd=uri-miss; stored");
    await reader.app.settle();
    clock.advance(7);
    const etag = first.headers.get("etag") ?? "";
    const layers = { isolate: reader, "data-center": reader.restart() };
    for (const [layer, { read }] of Object.entries(layers)) {
      for (const as of ["owner", "admin"] as const) {
        const { status, headers, body, log, queries } = await read(id, { as });
        expect([status, body, queries]).toEqual([200, first.body, 0]);
        expect(Object.fromEntries(headers)).toMatchObject({ etag, age: "7", "cache-control": "private, max-age=60" });
        // An admin's entry is another one, but the isolate now has the run.
        const expected = layer === "data-center" && as === "owner" ? layer : "isolate";
        expect(headers.get("cache-status")).toBe(`crew-runs; hit; detail=${expected}`);
        expect(log).toMatchObject({ cache: "hit", cache_layer: expected.replace("-", "_") });
        expect(log).not.toHaveProperty("db_attempts");
      }
    }
    const same = await reader.read(id, { headers: { "if-none-match": etag } });
    expect([same.status, same.headers.get("age"), same.queries]).toEqual([304, "7", 0]);
  });

  test("costs a lookup in the data center once, and two entries there, which no other version finds", async () => {
    const reader = await createMinuteReader();
    const id = await insertFinished();
    expect(await readCounted(reader, id)).toMatchObject({ lookups: 1, queries: 1, puts: 2 });
    expect(await readCounted(reader, id)).toMatchObject({ lookups: 0, queries: 0, puts: 0 });
    for (const as of ["owner", "admin"] as const) {
      const cold = reader.restart();
      expect(await readCounted(cold, id, { as })).toMatchObject({ status: 200, lookups: 1, queries: 0, puts: 0 });
      expect(await readCounted(cold, id, { as })).toMatchObject({ status: 200, lookups: 0, queries: 0, puts: 0 });
    }
    const other = reader.restart({ CF_VERSION_METADATA: { id: "another version" } });
    expect(await readCounted(other, id)).toMatchObject({ lookups: 1, queries: 1 });
  });

  test("stays readable while database and issuer are down, in its isolate and in one that has just started", async () => {
    const reader = await createMinuteReader();
    const id = await insertFinished();
    const first = await reader.read(id);
    await reader.app.settle();
    await Promise.all([reader.database.fail({ kind: "drop" }), reader.issuer.proxy.fail({ kind: "drop" })]);
    for (const isolate of [reader, reader.restart()]) {
      const cached = await isolate.read(id);
      expectFault("both_down_cached_run", cached);
      expect([cached.body, cached.queries]).toEqual([first.body, 0]);
    }
  });

  test.each(["100%", "李", 'o"brien', "é€😀"])("by the owner %j, is found by another isolate", async (owner_id) => {
    const reader = await createMinuteReader();
    const id = await insertRun({ owner_id, status: "completed", result: "done" });
    const token = await reader.issuer.sign({ sub: owner_id });
    const first = await reader.read(id, { token });
    await reader.app.settle();
    const { body, log } = await reader.restart().read(id, { token });
    expect(log).toMatchObject({ cache: "hit", cache_layer: "data_center" });
    expect(body).toBe(first.body);
  });

  test("in another isolate is found by one that has seen it unfinished, though the database is down", async () => {
    const reader = await createMinuteReader();
    const other = reader.restart();
    const id = await insertRun({ status: "running" });
    await reader.read(id);
    await updateRun(id, "status = 'completed', result = 'done'");
    await other.read(id);
    await other.app.settle();
    await reader.database.fail({ kind: "drop" });
    const { status, log } = await reader.read(id);
    expect(status).toBe(200);
    expect(log).toMatchObject({ cache: "hit", cache_layer: "data_center", db_attempts: 3 });
  });

  test("is read again after FINISHED_RUN_TTL_SECONDS, wherever a copy has been meanwhile", async () => {
    const reader = await createMinuteReader();
    const other = reader.restart();
    const id = await insertFinished();
    const age = async ({ read }: Reader) => (await read(id)).headers.get("age");
    await age(reader);
    await reader.app.settle();
    clock.advance(40);
    expect(await age(other)).toBe("40");
    clock.advance(19.5);
    expect([await age(reader), await age(other)]).toEqual(["59", "59"]);
    clock.advance(0.5);
    const again = await reader.read(id);
    expect([again.queries, again.headers.get("age")]).toEqual([1, null]);
    await reader.app.settle();
    expect(await age(other)).toBe("0");
  });
});

test.each([
  // Looked up until it is known to be unfinished.
  ["an unfinished run", "running", 60, [1, 0]],
  ["with FINISHED_RUN_TTL_SECONDS = 0, a finished run", "completed", 0, [0, 0]],
] as const)("%s is not cached", async (_, status, FINISHED_RUN_TTL_SECONDS, lookups) => {
  const reader = await createReader({ settings: { FINISHED_RUN_TTL_SECONDS } });
  const id = await insertRun({ status });
  for (const each of lookups) {
    const result = await readCounted(reader, id);
    expect(result).toMatchObject({ status: 200, queries: 1, puts: 0, lookups: each });
    const headers = Object.fromEntries(result.headers);
    expect(headers["cache-control"]).toBe("private, no-cache");
    expect(headers["cache-status"]).toBe("crew-runs; fwd=uri-miss");
    expect(headers).not.toHaveProperty("age");
  }
});

describe("to a stranger, a run is a missing one: the same response, and the same work", () => {
  test.each<[string, string, Record<string, string>]>([
    ["plainly", "GET", {}],
    ["with HEAD", "HEAD", {}],
    ["with its very tag", "GET", { "if-none-match": "TAG" }],
    ["with any tag", "GET", { "if-none-match": "*" }],
    ["with its weak tag and a wait", "GET", { "if-none-match": "W/TAG", prefer: "wait=5" }],
    ["with a wait", "GET", { prefer: "wait=5" }],
    ["with a range", "GET", { range: "bytes=0-1" }],
  ])("read %s", async (_, method, { ...headers }) => {
    const reader = await createMinuteReader();
    for (const status of ["running", "completed"] as const) {
      const id = await insertRun({ status });
      const tag = (await reader.read(id)).headers.get("etag") ?? "";
      await reader.app.settle();
      if (headers["if-none-match"]) headers["if-none-match"] = headers["if-none-match"].replace("TAG", tag);
      for (const isolate of [reader, reader.restart()]) {
        const options = { as: "stranger", method, headers } as const;
        const foreign = await readCounted(isolate, id, options);
        expect(foreign).toMatchObject({ status: 404, queries: 1, puts: 0 });
        expect(foreign.body).toBe(method === "HEAD" ? "" : `{"detail":"Run not found","code":"run_not_found",}`);
        expect(foreign).toEqual(await readCounted(isolate, crypto.randomUUID(), options));
      }
    }
  });

  test.each(["completed", "running"] as const)("though it is %s and the database is down", async (status) => {
    const reader = await createMinuteReader();
    const id = await insertRun({ status });
    await reader.read(id);
    await reader.database.fail({ kind: "drop" });
    const foreign = await readCounted(reader, id, { as: "stranger" });
    expect(foreign).toMatchObject({ status: 503, queries: 3 });
    expect(foreign).toEqual(await readCounted(reader, crypto.randomUUID(), { as: "stranger" }));
    expect(await readCounted(reader, id)).toMatchObject(
      status === "completed" ? { status: 200, queries: 0 } : { status: 503, queries: 3 },
    );
  });
});

test("entries of the data-center cache live as long as runs do, in a cache of their own, at paths that the API doesn't have", async () => {
  const { app, read } = await createReader({ settings: { FINISHED_RUN_TTL_SECONDS: 120 } });
  const id = await insertFinished();
  const put = vi.spyOn(Cache.prototype, "put");
  const { body } = await read(id);
  await app.settle();
  const entries = put.mock.calls.filter(([key]) => String(key).includes(id));
  expect(entries).toHaveLength(2);
  const cache = await caches.open("crew-runs");
  for (const [key, { headers }] of entries) {
    expect(headers.get("cache-control")).toBe("max-age=120");
    expect(await (await cache.match(key))?.text()).toBe(body);
    const path = String(key).slice("https://api.test".length);
    for (const as of ["nobody", "owner"] as const) {
      expect((await read(path, { as })).log).toMatchObject({ status: 404, code: "not_found" });
    }
  }
});

describe("the caches by themselves", () => {
  const ORIGIN = "https://api.test";
  const local = readSettings({ ...inject("localStack").variables });
  if (!local.ok) throw new Error("the local stack's settings are refused");
  const reader = { subject: "owner", isAdmin: false };
  const about = { ownerId: "owner", createdMs: 0, etag: `"x"` };
  const makeRun = (isFinished = true, bytes = 1): Run => {
    return { ...about, id: crypto.randomUUID(), isFinished, readMs: Date.now(), body: new Uint8Array(bytes) };
  };
  const left: Promise<unknown>[] = [];
  const create = (cache: DataCenterCache, changes = {}) =>
    createCachedRuns({ ...local.settings, ...changes }, cache, "v1", (work) => left.push(work));
  const createEmpty = () => {
    const read = vi.fn(async () => undefined);
    const cachedRuns = create({ read, write: async () => {} });
    const add = (run: Run) => cachedRuns.add(run, reader, ORIGIN);
    const find = (run: Run) => cachedRuns.findInMemory(run.id, reader)?.run;
    const countLookups = async (run: Run) => {
      await cachedRuns.findShared(run.id, reader, ORIGIN);
      return read.mock.calls.length;
    };
    return { add, find, countLookups };
  };

  test.each([
    [true, {}],
    [false, { DATABASE_URL: "postgresql://another:secret@localhost/runs" }],
    [false, { NEON_FETCH_ENDPOINT: "https://another.test/sql" }],
    [false, { JWT_ISSUER: "https://issuer.test/another" }],
    [false, { SUBJECT_CLAIM: "uid" }],
  ])("a copy is found: %s, by a deployment with other settings: %j", async (isFound, changes) => {
    const cache = createDataCenterCache();
    const run = makeRun();
    await create(cache).add(run, reader, ORIGIN);
    await Promise.all(left);
    const found = await create(cache, changes).findShared(run.id, reader, ORIGIN);
    expect(found !== undefined).toBe(isFound);
  });

  test("the copies for the owner and for admins are written side by side, in case one write hangs", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const write = vi.fn(() => promise);
    await create({ read: async () => undefined, write }).add(makeRun(), reader, ORIGIN);
    await expect.poll(() => write.mock.calls.length).toBe(2);
    resolve();
  });

  test("a run of up to 2 MB is cached in memory", async () => {
    const { add, find } = createEmpty();
    const [largest, larger] = [makeRun(true, 2_097_152), makeRun(true, 2_097_153)];
    for (const run of [largest, larger]) await add(run);
    expect([find(largest), find(larger)]).toEqual([largest, undefined]);
  });

  test("16 MB of runs are, each with two kilobytes besides its body; the one used least recently is evicted", async () => {
    const { add, find } = createEmpty();
    const [first, second, third] = [makeRun(true, 0), makeRun(true, 0), makeRun(true, 0)];
    const others = Array.from({ length: 8_189 }, () => makeRun(true, 0));
    // A run that is read again counts once.
    for (const run of [first, first, second, third, ...others]) await add(run);
    expect(find(first)).toBe(first);
    await add(makeRun(true, 0));
    expect([first, second, third].map(find)).toEqual([first, undefined, third]);
  });

  test("a run that was seen unfinished is looked up in the data center once it was read finished", async () => {
    const { add, countLookups } = createEmpty();
    const finished = makeRun(true, 2_097_153);
    for (const isFinished of [false, true]) await add({ ...finished, isFinished });
    expect(await countLookups(finished)).toBe(1);
  });

  test("the ids of runs seen unfinished are bounded: after 4,096 others a run is looked up in the data center again", async () => {
    const { add, countLookups } = createEmpty();
    const run = makeRun(false);
    for (const each of [run, ...Array.from({ length: 4_095 }, () => makeRun(false))]) await add(each);
    expect(await countLookups(run)).toBe(0);
    await add(makeRun(false));
    expect(await countLookups(run)).toBe(1);
  });
});
