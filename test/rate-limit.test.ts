// The optional rate limit: what counts, and that it is a brake, not a gate.
import { expect, test } from "vitest";
import { fetchToken } from "./issuer.ts";
import { insertRun } from "./rows.ts";
import { type Worker, bearer, startWorker } from "./worker.ts";

/** A limiter that lets so many reads of each user pass, and notes whom it was asked about. */
function makeLimiter(limit: number) {
  const keys: string[] = [];
  const RATE_LIMITER = {
    async limit({ key }: { key: string }) {
      keys.push(key);
      return { success: keys.filter((each) => each === key).length <= limit };
    },
  };
  return { RATE_LIMITER, keys };
}

const read = async (worker: Worker, id: string, headers: Record<string, string> = {}) =>
  worker.fetch(`/api/crew-runs/${id}`, { headers: { ...bearer(await fetchToken("owner")), ...headers } });

test("a user over the limit gets a 429 with Retry-After; another user does not", async () => {
  const { RATE_LIMITER, keys } = makeLimiter(1);
  const worker = startWorker({ RATE_LIMITER });
  const id = await insertRun();
  expect((await read(worker, id)).status).toBe(200);
  const limited = await read(worker, id);
  expect(limited.status).toBe(429);
  expect(limited.headers.get("retry-after")).toBe("60");
  expect(await limited.json()).toMatchObject({ detail: "Too Many Requests", code: "rate_limited" });
  const admin = await worker.fetch(`/api/crew-runs/${id}`, { headers: bearer(await fetchToken("admin")) });
  expect(admin.status).toBe(200);
  expect(keys).toEqual(["owner", "owner", "admin"]);
});

test("what does not reach the database is not counted: kept runs, their 304s, refusals, documents", async () => {
  const { RATE_LIMITER, keys } = makeLimiter(1);
  const worker = startWorker({ RATE_LIMITER });
  const id = await insertRun({ status: "completed", result: "done" });
  const etag = (await read(worker, id)).headers.get("etag") ?? "";
  for (let time = 0; time < 3; time += 1) {
    expect((await read(worker, id)).status).toBe(200);
    expect((await read(worker, id, { "if-none-match": etag })).status).toBe(304);
    expect((await read(worker, "no-uuid")).status).toBe(422);
    expect((await worker.fetch(`/api/crew-runs/${id}`)).status).toBe(401);
    expect((await worker.fetch("/health")).status).toBe(200);
  }
  expect(keys).toEqual(["owner"]);
});

test("a wait counts once", async () => {
  const { RATE_LIMITER, keys } = makeLimiter(1);
  const worker = startWorker({ RATE_LIMITER });
  expect((await read(worker, await insertRun(), { prefer: "wait=2" })).status).toBe(200);
  expect(keys).toEqual(["owner"]);
});

test("a limiter that fails lets the read pass, and the log says so", async () => {
  const RATE_LIMITER = { limit: () => Promise.reject(new Error("out of order")) };
  expect((await read(startWorker({ RATE_LIMITER }), await insertRun())).status).toBe(200);
});
