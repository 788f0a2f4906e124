// Cached runs survive their database: what is cached, for whom, for how long, and at what cost. To a stranger, a run of another
// user is the same response and the same work as a missing one, whatever is cached.
// No order of events makes a cached run too old or shows it to others: test/histories/. A cache that fails: isolate/.
import { describe, expect, inject, test, vi } from "vitest";
import { createCachedRuns } from "../../src/crew-runs/cached-runs.ts";
import { createMemoryCache } from "../../src/crew-runs/memory-cache.ts";
import type { Run } from "../../src/crew-runs/record.ts";
import { type DataCenterCache, createDataCenterCache } from "../../src/isolate/data-center-cache.ts";
import { readSettings } from "../../src/settings.ts";
import { controlClock } from "../support/clock.ts";
import { insertRun, updateRun } from "../support/database.ts";
import { expectFault } from "../support/documented-fault.ts";
import { untilHeld } from "../support/fault-proxy-protocol.ts";
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

  test("costs a lookup in the data center once, and two entries there", async () => {
    const reader = await createMinuteReader();
    const id = await insertFinished();
    expect(await readCounted(reader, id)).toMatchObject({ lookups: 1, queries: 1, puts: 2 });
    expect(await readCounted(reader, id)).toMatchObject({ lookups: 0, queries: 0, puts: 0 });
    for (const as of ["owner", "admin"] as const) {
      const cold = reader.restart();
      expect(await readCounted(cold, id, { as })).toMatchObject({ status: 200, lookups: 1, queries: 0, puts: 0 });
      expect(await readCounted(cold, id, { as })).toMatchObject({ status: 200, lookups: 0, queries: 0, puts: 0 });
    }
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

  test("isn't found by a deployment for another database, issuer or claim", async () => {
    const reader = await createMinuteReader();
    const id = await insertFinished();
    const claims = { sub: "owner", uid: "owner" };
    await reader.read(id, { token: await reader.issuer.sign(claims) });
    await reader.app.settle();
    const url = new URL(inject("localStack").variables.DATABASE_URL);
    url.searchParams.set("application_name", "another");
    for (const [settings, cache] of [
      [{}, "hit"],
      [{ DATABASE_URL: url.href }, "miss"],
      [{ CF_VERSION_METADATA: { id: "another deployment" } }, "miss"],
      [{ JWT_ISSUER: "https://issuer.test/another" }, "miss"],
      [{ SUBJECT_CLAIM: "uid" }, "miss"],
    ] as const) {
      const iss = "JWT_ISSUER" in settings ? settings.JWT_ISSUER : reader.issuer.variables.JWT_ISSUER;
      const token = await reader.issuer.sign({ ...claims, iss });
      expect((await reader.restart(settings).read(id, { token })).log["cache"]).toBe(cache);
    }
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

  test("from the moment on at which it changed hands: by a tag, a cache or a wait", async () => {
    const { read } = await createMinuteReader();
    const id = await insertRun();
    const tag = (await read(id)).headers.get("etag") ?? "";
    const waiting = read(id, { headers: { prefer: "wait=1" } });
    await scheduler.wait(200);
    await updateRun(id, "owner_id = 'stranger'");
    expect((await waiting).status).toBe(404);
    expect((await read(id, { headers: { "if-none-match": tag } })).status).toBe(404);
    const theirs = await read(id, { as: "stranger", headers: { "if-none-match": tag } });
    expect([theirs.status, JSON.parse(theirs.body).owner_id]).toEqual([200, "stranger"]);
  });
});

describe("the copies are the Worker's own:", () => {
  test("no path of the public API reads or writes an entry of the data-center cache", async () => {
    const put = vi.spyOn(Cache.prototype, "put");
    const match = vi.spyOn(Cache.prototype, "match");
    const { app, read } = await createReader({ settings: { FINISHED_RUN_TTL_SECONDS: 120 } });
    const id = await insertRun({ status: "completed", result: "kept" });
    await read(id);
    await app.settle();
    const entries = put.mock.calls.map(([key, entry]) => [String(key), entry.headers.get("cache-control")] as const);
    // The key set, and the run for its owner and for admins.
    expect(entries.map(([key, control]) => [key.includes(id), control]).toSorted()).toEqual([
      [false, "max-age=14400"],
      [true, "max-age=120"],
      [true, "max-age=120"],
    ]);
    const cache = await caches.open("crew-runs");
    const readEntries = () => Promise.all(entries.map(async ([key]) => (await cache.match(key))?.text()));
    const texts = await readEntries();
    expect(texts.filter((text) => text?.includes("kept"))).toHaveLength(2);
    put.mockClear();
    match.mockClear();

    const [origin, area] = ["https://api.test", "/.crew-runs/"];
    for (const path of [...entries.map(([key]) => key.slice(origin.length)), area, `${area}x`]) {
      for (const as of ["nobody", "owner"] as const) {
        for (const method of ["GET", "HEAD", "PUT", "DELETE", "PURGE"]) {
          const { status, body } = await read(path, { as, method });
          expect(status).toBe(404);
          if (method !== "HEAD") expect(JSON.parse(body)).toMatchObject({ code: "not_found" });
        }
      }
    }
    const documents = ["/", "/health", "/ready", "/.well-known/oauth-protected-resource", "/nowhere"];
    const others = [...documents, `/api/crew-runs/${id}`];
    for (const path of others) await read(path, { as: "nobody" });
    await app.settle();
    expect(put).not.toHaveBeenCalled();
    expect(match).not.toHaveBeenCalled();
    expect(await readEntries()).toEqual(texts);
    for (const path of others) expect(await cache.match(origin + path)).toBeUndefined();
  });

  test("a response from memory has no header of the request before it", async () => {
    const { read } = await createReader({ settings: { CORS_ORIGINS: "https://a.test https://b.test" } });
    const id = await insertFinished();
    await read(id);
    for (const origin of ["https://a.test", "https://b.test", "https://evil.test"]) {
      const { headers, queries } = await read(id, { headers: { origin, "x-request-id": origin.slice(8) } });
      expect(queries).toBe(0);
      expect(headers.get("vary")).toBe("Origin, Authorization");
      expect(headers.get("access-control-allow-origin")).toBe(origin.includes("evil") ? null : origin);
      expect(headers.get("x-request-id")).toBe(origin.slice(8));
    }
  });

  test("a slow read does not put an older state of a finished run over a newer one", async () => {
    const { app, database, read } = await createMinuteReader();
    const id = await insertRun({ status: "completed", result: "first" });
    const resultOf = async (as: "owner" | "admin") => JSON.parse((await read(id, { as })).body).result;
    await read();
    // The database's reply to the first reader is held. Meanwhile the run is corrected, and another reader gets it.
    await database.fail({ kind: "hold-response", times: 1 });
    const slow = resultOf("owner");
    await untilHeld(database);
    await updateRun(id, "result = 'corrected'");
    expect(await resultOf("admin")).toBe("corrected");
    await database.heal();
    expect(await slow).toBe("first");
    expect(await resultOf("admin")).toBe("corrected");
    await app.settle();
  });
});

describe("the memory cache", () => {
  const rest = { ownerId: "owner", isFinal: true, createdMs: 0, etag: `"x"`, readMs: 0 };
  const makeRun = (id: string, kilobytes: number): Run => ({ ...rest, id, body: new Uint8Array(kilobytes * 1_024) });
  const has = (memory: ReturnType<typeof createMemoryCache>, ids: string) =>
    [...ids].filter((id) => memory.get(id) !== undefined).join("");

  test("evicts the run used least recently, and counts a run that is read again once", () => {
    // Three of 10 KB, with two kilobytes more for each, are exactly as many as fit.
    const memory = createMemoryCache(36_864, 16_384);
    for (const id of "aabbbc") memory.set(makeRun(id, 10));
    expect(has(memory, "abca")).toBe("abca");
    memory.set(makeRun("d", 10));
    expect(has(memory, "abcd")).toBe("acd");
  });

  test("does not cache a run that is larger than its share", () => {
    const memory = createMemoryCache(36_864, 16_384);
    memory.set(makeRun("a", 16));
    memory.set(makeRun("b", 16 + 1 / 1_024));
    expect(has(memory, "ab")).toBe("a");
  });

  test("is bounded for many small runs as well: each counts two kilobytes besides its body", () => {
    const memory = createMemoryCache(20_480, 16_384);
    for (const id of "0123456789x") memory.set(makeRun(id, 0));
    expect(has(memory, "01")).toBe("1");
  });
});

describe("the caches by themselves", () => {
  const ORIGIN = "https://api.test";
  const settings = readSettings({ ...inject("localStack").variables });
  if (!settings.ok) throw new Error("the local stack's settings are refused");
  const reader = { subject: "owner", isAdmin: false };
  const rest = { ownerId: "owner", createdMs: 0, etag: `"x"` };
  const makeRun = (isFinal: boolean, bytes = 1): Run => ({
    ...rest,
    id: crypto.randomUUID(),
    isFinal,
    readMs: Date.now(),
    body: new Uint8Array(bytes),
  });
  const left: Promise<unknown>[] = [];
  const create = (cache: DataCenterCache, NEON_FETCH_ENDPOINT = "https://one.test/sql") =>
    createCachedRuns({ ...settings.settings, NEON_FETCH_ENDPOINT }, cache, "v1", (work) => left.push(work));

  test("a copy of another NEON_FETCH_ENDPOINT isn't found", async () => {
    const cache = createDataCenterCache();
    const run = makeRun(true);
    await create(cache).add(run, reader, ORIGIN);
    await Promise.all(left);
    expect((await create(cache).findShared(run.id, reader, ORIGIN))?.layer).toBe("data_center");
    expect(await create(cache, "https://two.test/sql").findShared(run.id, reader, ORIGIN)).toBeUndefined();
  });

  test("a run of up to 2 MB is cached in memory, and 16 MB of runs", async () => {
    const cachedRuns = create({ read: async () => undefined, write: async () => {} });
    const largest = makeRun(true, 2_097_152);
    const larger = makeRun(true, 2_097_153);
    for (const run of [largest, larger]) await cachedRuns.add(run, reader, ORIGIN);
    expect(cachedRuns.findInMemory(largest.id, reader)?.run).toBe(largest);
    expect(cachedRuns.findInMemory(larger.id, reader)).toBeUndefined();
    const runs = Array.from({ length: 9 }, () => makeRun(true, 2_097_152 - 2_048));
    for (const run of runs) await cachedRuns.add(run, reader, ORIGIN);
    const found = runs.map(({ id }) => cachedRuns.findInMemory(id, reader) !== undefined);
    expect(found).toEqual([false, ...Array.from({ length: 8 }, () => true)]);
  });

  test.each([
    ["of the same millisecond replaces it", 0, 0, true],
    ["that began before doesn't", 0, -1, false],
    ["replaces it if the clock has jumped back meanwhile", 60_000, 0, true],
  ])("beside a cached run, another read %s", async (_, cachedMs, otherMs, isReplaced) => {
    const cachedRuns = create({ read: async () => undefined, write: async () => {} });
    const run = makeRun(true);
    const cached = { ...run, readMs: run.readMs + cachedMs };
    const other = { ...run, readMs: run.readMs + otherMs };
    for (const each of [cached, other]) await cachedRuns.add(each, reader, ORIGIN);
    expect(cachedRuns.findInMemory(run.id, reader)?.run).toBe(isReplaced ? other : cached);
  });

  test("a run that was seen unfinished is looked up in the data center once it was read finished", async () => {
    const read = vi.fn(async () => undefined);
    const cachedRuns = create({ read, write: async () => {} });
    const finished = makeRun(true, 2_097_153);
    for (const isFinal of [false, true]) await cachedRuns.add({ ...finished, isFinal }, reader, ORIGIN);
    await cachedRuns.findShared(finished.id, reader, ORIGIN);
    expect(read).toHaveBeenCalledOnce();
  });

  test("the ids of runs seen unfinished are bounded: after 4,096 others a run is looked up in the data center again", async () => {
    const read = vi.fn(async () => undefined);
    const cachedRuns = create({ read, write: async () => {} });
    const run = makeRun(false);
    await cachedRuns.add(run, reader, ORIGIN);
    for (let count = 0; count < 4_095; count += 1) await cachedRuns.add(makeRun(false), reader, ORIGIN);
    await cachedRuns.findShared(run.id, reader, ORIGIN);
    expect(read).toHaveBeenCalledTimes(0);
    await cachedRuns.add(makeRun(false), reader, ORIGIN);
    await cachedRuns.findShared(run.id, reader, ORIGIN);
    expect(read).toHaveBeenCalledTimes(1);
  });
});
