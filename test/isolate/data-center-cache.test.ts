// The data-center cache as an optimisation: what fails or is slow in it costs no more than it must.
// What is cached, and for whom: crew-runs/cached-runs.test.ts and crew-runs/data-center-copies.test.ts.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type DataCenterCache, createDataCenterCache } from "../../src/isolate/data-center-cache.ts";
import { controlClock } from "../support/clock.ts";
import { insertRun } from "../support/database.ts";
import { fetchToken } from "../support/issuer.ts";
import { bearer, createTestApp } from "../support/test-app.ts";

const clock = controlClock();
const { put } = Cache.prototype;

// So that no real read takes too long on a busy machine.
beforeEach(() => {
  clock.simulate();
});
afterEach(() => {
  vi.restoreAllMocks();
});

const read = (cache: DataCenterCache, path: string) => cache.read(path, (_, body) => new TextDecoder().decode(body));

/** A path of this test's own. */
const makePath = () => `test/${crypto.randomUUID()}`;

/** Waits longer than a read may take. */
const waitForReadTimeout = () => scheduler.wait(500);

describe("a write", () => {
  let cache: DataCenterCache;
  let known: string;

  beforeEach(async () => {
    cache = createDataCenterCache();
    cache.origin = "https://api.test";
    known = makePath();
    await cache.write(known, "known", {}, 60);
  });

  test("that never ends doesn't stop reads", async () => {
    vi.spyOn(Cache.prototype, "put").mockReturnValueOnce(new Promise(() => {}));
    void cache.write(makePath(), "never", {}, 60);
    await waitForReadTimeout();
    expect(await read(cache, known)).toBe("known");
  });

  test("that fails doesn't stop reads", async () => {
    vi.spyOn(Cache.prototype, "put").mockRejectedValueOnce(new Error("full"));
    await cache.write(makePath(), "refused", {}, 60);
    expect(await read(cache, known)).toBe("known");
  });

  test("may take longer than a read, and is found", async () => {
    vi.spyOn(Cache.prototype, "put").mockImplementationOnce(async function (this: Cache, key, entry) {
      await waitForReadTimeout();
      return put.call(this, key, entry);
    });
    const path = makePath();
    await cache.write(path, "late", {}, 60);
    expect(await read(cache, path)).toBe("late");
  });

  test("goes out though a read failed", async () => {
    vi.spyOn(Cache.prototype, "match").mockRejectedValueOnce(new Error("broken"));
    expect(await read(cache, known)).toBeUndefined();
    const path = makePath();
    await cache.write(path, "written", {}, 60);
    const other = createDataCenterCache();
    other.origin = cache.origin;
    expect(await read(other, path)).toBe("written");
  });
});

test("a read that takes too long stops those after it, so that they cost no time", async () => {
  const cache = createDataCenterCache();
  cache.origin = "https://api.test";
  const match = vi.spyOn(Cache.prototype, "match").mockReturnValue(new Promise(() => {}));
  expect(await read(cache, makePath())).toBeUndefined();
  expect(await read(cache, makePath())).toBeUndefined();
  expect(match).toHaveBeenCalledOnce();
});

test.each(["owner", "admin"] as const)(
  "if a copy of a finished run can't be written, the other still is, and %s finds it",
  async (user) => {
    const id = await insertRun({ status: "completed" });
    const readAs = async (reader: "owner" | "admin", app = createTestApp()) => {
      const response = await app.fetch(`/api/crew-runs/${id}`, { headers: bearer(await fetchToken(reader)) });
      await response.text();
      return response.headers.get("cache-status");
    };
    const isOther = (key: unknown) =>
      String(key).includes(id) && String(key).endsWith("/admins") !== (user === "admin");
    vi.spyOn(Cache.prototype, "put").mockImplementation(async function (this: Cache, key, entry) {
      if (isOther(key)) return new Promise(() => {});
      return put.call(this, key, entry);
    });
    void (await readAs("owner"));
    // The write that never ends keeps the request's context open.
    await waitForReadTimeout();
    expect(await readAs(user)).toBe("crew-runs; hit; detail=data-center");
  },
);

test("an isolate whose first request has an unusable Host uses the cache from the next request on", async () => {
  const id = await insertRun({ status: "completed" });
  const headers = bearer(await fetchToken("owner"));
  const app = createTestApp();
  // The path makes the host `api.test,b`.
  expect((await app.fetch(",b/health")).status).toBe(200);
  await (await app.fetch(`/api/crew-runs/${id}`, { headers })).text();
  await app.settle();
  const other = await createTestApp().fetch(`/api/crew-runs/${id}`, { headers });
  expect(other.headers.get("cache-status")).toBe("crew-runs; hit; detail=data-center");
});

test("without a usable Host the cache is as if empty, and no read counts as failed", async () => {
  const cache = createDataCenterCache();
  const path = makePath();
  await cache.write(path, "nowhere", {}, 60);
  expect(await read(cache, path)).toBeUndefined();
  cache.origin = "https://api.test";
  await cache.write(path, "here", {}, 60);
  expect(await read(cache, path)).toBe("here");
});
