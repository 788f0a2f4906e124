// Cached runs survive their database: what is cached, for whom, for how long, and at what price.
// No order of events makes a cached run too old or shows it to others: test/histories/.
import { afterEach, beforeEach, describe, expect, inject, test, vi } from "vitest";
import type { Run } from "../../src/crew-runs/record.ts";
import { createCachedRuns } from "../../src/crew-runs/cached-runs.ts";
import { type DataCenterCache, createDataCenterCache } from "../../src/isolate/data-center-cache.ts";
import { readSettings } from "../../src/settings.ts";
import { createMemoryCache } from "../../src/crew-runs/memory-cache.ts";
import { expectFault } from "../support/documented-fault.ts";
import { catchLines } from "../support/log-lines.ts";
import { readRun } from "../support/read-run.ts";
import { type TestApp, createTestApp } from "../support/test-app.ts";
import { controlClock } from "../support/clock.ts";
import { insertRun, updateRun } from "../support/database.ts";
import { openDatabaseProxy } from "../support/fault-proxy.ts";
import { type User, fetchToken, openIssuer } from "../support/issuer.ts";
import { makeKey } from "../support/signing.ts";

const lines = catchLines();
const clock = controlClock();
const TTL_SECONDS = 60;

const read = async (app: TestApp, id: string, user: User = "owner", headers: Record<string, string> = {}) =>
  readRun(app, id, await fetchToken(user), lines, headers);

/** A database on a proxy, and isolates that read from it. */
async function openDatabase(variables: Record<string, string | number> = {}) {
  const proxy = await openDatabaseProxy();
  const start = () =>
    createTestApp({ NEON_FETCH_ENDPOINT: proxy.url, FINISHED_RUN_TTL_SECONDS: TTL_SECONDS, ...variables });
  return { proxy, start, queries: async () => await proxy.received() };
}

const insertFinished = () => insertRun({ status: "completed", result: "done" });

describe("a finished run that was read once", () => {
  test("is served without a query, to its owner and to admins, with its age", async () => {
    const { start, queries } = await openDatabase();
    const app = start();
    const id = await insertFinished();
    const first = await read(app, id);
    expect(first.response.headers.get("cache-status")).toBe("crew-runs; fwd=uri-miss; stored");
    expect(first.response.headers.get("age")).toBeNull();
    const etag = first.response.headers.get("etag") ?? "";
    clock.advance(7);
    for (const user of ["owner", "admin"] as const) {
      const cached = await read(app, id, user);
      expect(cached.response.status).toBe(200);
      expect(cached.body).toBe(first.body);
      expect(cached.response.headers.get("etag")).toBe(etag);
      expect(cached.response.headers.get("age")).toBe("7");
      expect(cached.response.headers.get("cache-status")).toBe("crew-runs; hit; detail=isolate");
      expect(cached.response.headers.get("cache-control")).toBe("private, max-age=60");
      expect(cached.log).toMatchObject({ cache: "hit", cache_layer: "isolate" });
      expect(cached.log).not.toHaveProperty("db_attempts");
    }
    const { response } = await read(app, id, "owner", { "if-none-match": etag });
    expect([response.status, response.headers.get("age")]).toEqual([304, "7"]);
    expect(await queries()).toBe(1);
  });

  test("stays readable while database and issuer are down, in its isolate and in one that has just started", async () => {
    const issuer = await openIssuer([await makeKey("ES256")]);
    const { proxy, start, queries } = await openDatabase(issuer.variables);
    const token = await issuer.sign();
    const warm = start();
    const id = await insertFinished();
    const first = await readRun(warm, id, token, lines);
    await warm.settle();
    await Promise.all([proxy.fail({ kind: "drop" }), issuer.proxy.fail({ kind: "drop" })]);
    for (const [isolate, layer] of [
      [warm, "isolate"],
      [start(), "data_center"],
    ] as const) {
      const cached = await readRun(isolate, id, token, lines);
      expectFault("both_down_cached_run", cached);
      expect(cached.log["cache_layer"]).toBe(layer);
      expect(cached.body).toBe(first.body);
      expect(cached.response.headers.get("etag")).toBe(first.response.headers.get("etag"));
    }
    expect(await queries()).toBe(1);
  });

  test.each(["100%", "李", 'o"brien', "é€😀"])("by the owner %j, is found by another isolate", async (owner) => {
    const issuer = await openIssuer([await makeKey("ES256")]);
    const { start, queries } = await openDatabase(issuer.variables);
    const [one, other] = [start(), start()];
    const id = await insertRun({ owner_id: owner, status: "completed", result: "done" });
    const token = await issuer.sign({ sub: owner });
    const first = await readRun(one, id, token, lines);
    await one.settle();
    const { body, log } = await readRun(other, id, token, lines);
    expect(log).toMatchObject({ cache: "hit", cache_layer: "data_center" });
    expect(body).toBe(first.body);
    expect(await queries()).toBe(1);
  });

  test("in another isolate is found by one that has seen it unfinished, though the database is down", async () => {
    const { proxy, start } = await openDatabase();
    const [one, other] = [start(), start()];
    const id = await insertRun({ status: "running" });
    await read(one, id);
    await updateRun(id, "status = 'completed', result = 'done'");
    await read(other, id);
    await other.settle();
    await proxy.fail({ kind: "drop" });
    const { response, log } = await read(one, id);
    expect(response.status).toBe(200);
    expect(log).toMatchObject({ cache: "hit", cache_layer: "data_center", db_attempts: 3 });
  });

  test("is read again after FINISHED_RUN_TTL_SECONDS, wherever a copy has been meanwhile", async () => {
    const { start, queries } = await openDatabase();
    const [one, other] = [start(), start()];
    const id = await insertFinished();
    const age = async (isolate: TestApp) => (await read(isolate, id)).response.headers.get("age");
    await age(one);
    await one.settle();
    clock.advance(40);
    expect(await age(other)).toBe("40");
    clock.advance(19);
    expect([await age(one), await age(other)]).toEqual(["59", "59"]);
    expect(await queries()).toBe(1);
    clock.advance(1);
    expect(await age(one)).toBeNull();
    await one.settle();
    expect(await age(other)).toBe("0");
    expect(await queries()).toBe(2);
  });

  test("isn't found by a deployment for another database, issuer or claim", async () => {
    const issuer = await openIssuer([await makeKey("ES256")]);
    const { proxy, start } = await openDatabase(issuer.variables);
    const app = start();
    const id = await insertFinished();
    const claims = { sub: "owner", uid: "owner" };
    await readRun(app, id, await issuer.sign(claims), lines);
    await app.settle();
    const same = { ...issuer.variables, NEON_FETCH_ENDPOINT: proxy.url };
    const password = new URL(inject("localStack").variables.DATABASE_URL);
    password.searchParams.set("application_name", "another");
    for (const [variables, expected] of [
      [same, "hit"],
      [{ ...same, DATABASE_URL: password.href }, "miss"],
      [{ ...same, CF_VERSION_METADATA: { id: "another deployment" } }, "miss"],
      [{ ...same, JWT_ISSUER: "https://issuer.test/another" }, "miss"],
      [{ ...same, SUBJECT_CLAIM: "uid" }, "miss"],
    ] as const) {
      const token = await issuer.sign({ ...claims, iss: variables.JWT_ISSUER });
      expect((await readRun(createTestApp(variables), id, token, lines)).log["cache"]).toBe(expected);
    }
  });
});

test.each([
  ["an unfinished run", "running", TTL_SECONDS],
  ["with FINISHED_RUN_TTL_SECONDS = 0, a finished run", "completed", 0],
] as const)("%s is not cached", async (_, status, FINISHED_RUN_TTL_SECONDS) => {
  const { start, queries } = await openDatabase({ FINISHED_RUN_TTL_SECONDS });
  const app = start();
  const put = vi.spyOn(Cache.prototype, "put");
  const id = await insertRun({ status });
  for (const expected of [1, 2]) {
    const { headers } = (await read(app, id)).response;
    expect(headers.get("cache-control")).toBe("private, no-cache");
    expect(headers.get("cache-status")).toBe("crew-runs; fwd=uri-miss");
    expect(headers.get("age")).toBeNull();
    expect(await queries()).toBe(expected);
  }
  await app.settle();
  expect(put.mock.calls.filter(([key]) => String(key).includes(id))).toEqual([]);
  put.mockRestore();
});

describe("without a data-center cache", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
  });
  // A look-up that fails stops all others for a minute: each test begins after the minutes of those before it.
  let minutes = 0;
  beforeEach(() => {
    clock.advance((minutes += 1) * 61);
  });

  const gone = () => {
    throw new Error("no cache here");
  };
  const broken = () => Promise.reject(new Error("broken"));
  const open = (match: () => unknown, put: () => unknown = broken) => ({ open: async () => ({ match, put }) });
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
    const issuer = await openIssuer([await makeKey("ES256")]);
    const { start, queries } = await openDatabase(issuer.variables);
    const token = await issuer.sign();
    const id = await insertFinished();
    vi.stubGlobal("caches", stub);
    const app = start();
    const first = await readRun(app, id, token, lines);
    expect(first.response.status).toBe(200);
    const cached = await readRun(app, id, token, lines);
    expectFault("no_data_center_cache", cached);
    expect(cached.log["cache_layer"]).toBe("isolate");
    expect((await readRun(app, crypto.randomUUID(), token, lines)).response.status).toBe(404);
    await app.settle();
    expect(await queries()).toBe(2);
    expect(unheard).toEqual([]);
  });
});

test("a look-up in the data-center cache that failed is not repeated for a minute, and then is", async () => {
  const { start } = await openDatabase();
  const app = start();
  clock.advance(3_000);
  const match = vi.spyOn(Cache.prototype, "match").mockRejectedValue(new Error("broken"));
  const lookUps = async () => {
    match.mockClear();
    expect((await read(app, await insertRun())).response.status).toBe(200);
    return match.mock.calls.length;
  };
  expect(await lookUps()).toBe(1);
  expect(await lookUps()).toBe(0);
  clock.advance(60);
  expect(await lookUps()).toBe(1);
  match.mockRestore();
});

describe("the memory cache", () => {
  const rest = { ownerId: "owner", isFinal: true, createdMs: 0, etag: `"x"`, readMs: 0 };
  const makeRun = (id: string, kilobytes: number): Run => ({ ...rest, id, body: new Uint8Array(kilobytes * 1_024) });
  const has = (memory: ReturnType<typeof createMemoryCache>, ids: string) =>
    [...ids].filter((id) => memory.get(id) !== undefined).join("");

  test("evicts the run used least recently, and counts a run that is read again once", () => {
    const memory = createMemoryCache(36_864, 16_384);
    for (const id of "aabbbc") memory.set(makeRun(id, 10));
    expect(has(memory, "a")).toBe("a");
    memory.set(makeRun("d", 10));
    expect(has(memory, "abcd")).toBe("acd");
  });

  test("does not cache a run that is larger than its share", () => {
    const memory = createMemoryCache(36_864, 16_384);
    memory.set(makeRun("a", 10));
    memory.set(makeRun("b", 17));
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
  const rest = { ownerId: "owner", createdMs: 0, etag: `"x"`, body: new Uint8Array(1) };
  const makeRun = (isFinal: boolean): Run => ({ ...rest, id: crypto.randomUUID(), isFinal, readMs: Date.now() });
  const create = (cache: DataCenterCache, NEON_FETCH_ENDPOINT: string) =>
    createCachedRuns({ ...settings.settings, NEON_FETCH_ENDPOINT }, cache, "v1", (work) => left.push(work));
  const left: Promise<unknown>[] = [];

  test("a copy of another NEON_FETCH_ENDPOINT isn't found", async () => {
    const cache = createDataCenterCache();
    const run = makeRun(true);
    await create(cache, "https://one.test/sql").add(run, reader, ORIGIN);
    await Promise.all(left);
    expect((await create(cache, "https://one.test/sql").find(run.id, reader, ORIGIN))?.layer).toBe("data_center");
    expect(await create(cache, "https://two.test/sql").find(run.id, reader, ORIGIN)).toBeUndefined();
  });

  test("the ids of runs seen unfinished are bounded: after 4,096 others a run is looked up in the data center again", async () => {
    const cache = { ...createDataCenterCache(), read: vi.fn(async () => undefined) };
    const cachedRuns = create(cache, "https://one.test/sql");
    const run = makeRun(false);
    await cachedRuns.add(run, reader, ORIGIN);
    await cachedRuns.find(run.id, reader, ORIGIN);
    expect(cache.read).toHaveBeenCalledTimes(0);
    for (let count = 0; count < 4_096; count += 1) await cachedRuns.add(makeRun(false), reader, ORIGIN);
    await cachedRuns.find(run.id, reader, ORIGIN);
    expect(cache.read).toHaveBeenCalledTimes(1);
  });
});
