// Where a run comes from, and that a run of somebody else costs what a missing run costs.
import { expect, inject, test, vi } from "vitest";
import { type User, fetchToken } from "../issuer.ts";
import { openLane } from "../lane.ts";
import { catchLines } from "../reliability/log-lines.ts";
import { readRun } from "../reliability/reader.ts";
import { connectAsOwner, insertRun } from "../rows.ts";
import { type Worker, startWorker } from "../worker.ts";

const lines = catchLines();

/** A database on a lane, and what a read costs: its status, its body but for the request's id, queries and look-ups. */
async function openDatabase() {
  const lane = await openLane(inject("stack").variables.NEON_FETCH_ENDPOINT);
  const received = async () => (await lane.counters()).received;
  return {
    lane,
    start: () => startWorker({ NEON_FETCH_ENDPOINT: lane.url }),
    async weigh(worker: Worker, id: string, user: User) {
      const token = await fetchToken(user);
      const before = await received();
      const match = vi.spyOn(Cache.prototype, "match");
      const put = vi.spyOn(Cache.prototype, "put");
      const { response, body, log } = await readRun(worker, id, token, lines);
      await worker.settle();
      const about = (call: readonly unknown[]) => String(call[0]).includes(id);
      const weight = {
        status: response.status,
        body: body.replace(response.headers.get("x-request-id") ?? "", ""),
        headers: [...response.headers].filter(([name]) => !["server-timing", "x-request-id"].includes(name)),
        queries: (await received()) - before,
        lookUps: match.mock.calls.filter(about).length,
        puts: put.mock.calls.filter(about).length,
        logged: Object.keys(log),
        faults: log["db_faults"],
      };
      match.mockRestore();
      put.mockRestore();
      return weight;
    },
  };
}

test("memory is asked first, then the data centre, then the database", async () => {
  const { start, weigh } = await openDatabase();
  const worker = start();
  const id = await insertRun({ status: "completed" });
  expect(await weigh(worker, id, "owner")).toMatchObject({ status: 200, lookUps: 1, queries: 1, puts: 2 });
  expect(await weigh(worker, id, "owner")).toMatchObject({ status: 200, lookUps: 0, queries: 0, puts: 0 });
  expect(await weigh(start(), id, "owner")).toMatchObject({ status: 200, lookUps: 1, queries: 0, puts: 0 });
});

test("who polls an unfinished run asks the database each time, and the data centre once", async () => {
  const { start, weigh } = await openDatabase();
  const worker = start();
  const id = await insertRun({ status: "running" });
  expect(await weigh(worker, id, "owner")).toMatchObject({ status: 200, lookUps: 1, queries: 1, puts: 0 });
  expect(await weigh(worker, id, "owner")).toMatchObject({ status: 200, lookUps: 0, queries: 1, puts: 0 });
});

test("a stranger's read of a kept run weighs what a read of a missing run weighs", async () => {
  const { start, weigh } = await openDatabase();
  const worker = start();
  const [kept, missing] = [await insertRun({ status: "completed" }), crypto.randomUUID()];
  expect(await weigh(worker, kept, "owner")).toMatchObject({ status: 200 });
  for (const isolate of [worker, worker, start()]) {
    const foreign = await weigh(isolate, kept, "stranger");
    expect(foreign).toMatchObject({ status: 404, queries: 1, puts: 0 });
    expect(foreign).toEqual(await weigh(isolate, missing, "stranger"));
  }
  expect(await weigh(worker, kept, "owner")).toMatchObject({ status: 200, queries: 0 });
});

test("while the database is down, a kept run and a missing run are the same 503 to a stranger", async () => {
  const { lane, start, weigh } = await openDatabase();
  const worker = start();
  const [kept, missing] = [await insertRun({ status: "completed" }), crypto.randomUUID()];
  await weigh(worker, kept, "owner");
  await weigh(worker, crypto.randomUUID(), "stranger");
  await lane.fail({ kind: "drop" });
  for (const isolate of [worker, worker]) {
    const foreign = await weigh(isolate, kept, "stranger");
    expect(foreign).toMatchObject({ status: 503, queries: 3 });
    expect(foreign).toEqual(await weigh(isolate, missing, "stranger"));
  }
  expect(await weigh(worker, kept, "owner")).toMatchObject({ status: 200, queries: 0 });
});

test("an unfinished run is read anew each time, and is a 503 while the database is down", async () => {
  const { lane, start } = await openDatabase();
  const worker = start();
  const id = await insertRun({ status: "running", task_input: { text: "x".repeat(50_000) } });
  const token = await fetchToken("owner");
  const [first, second] = [await readRun(worker, id, token, lines), await readRun(worker, id, token, lines)];
  expect(second.body).toBe(first.body);
  for (const name of ["etag", "cache-control", "cache-status", "retry-after", "content-type"]) {
    expect(second.response.headers.get(name)).toBe(first.response.headers.get(name));
  }
  expect(second.response.headers.get("age")).toBeNull();

  await connectAsOwner().query("update crew_runs set correlation_id = 'changed' where id = $1", [id]);
  const changed = await readRun(worker, id, token, lines);
  expect(JSON.parse(changed.body)).toMatchObject({ correlation_id: "changed" });
  expect(changed.response.headers.get("etag")).not.toBe(first.response.headers.get("etag"));

  await lane.fail({ kind: "drop" });
  expect((await readRun(worker, id, token, lines)).response.status).toBe(503);
});

test("to a stranger, an unfinished run that its owner polls looks like a missing one, in answer and in work", async () => {
  const { start, weigh } = await openDatabase();
  const worker = start();
  const id = await insertRun({ status: "running" });
  await weigh(worker, id, "owner");
  expect(await weigh(worker, id, "stranger")).toEqual(await weigh(worker, crypto.randomUUID(), "stranger"));
});

test("a run that is given to somebody else goes to nobody else", async () => {
  const { start } = await openDatabase();
  const worker = start();
  const id = await insertRun({ status: "running" });
  const read = async (user: User) => readRun(worker, id, await fetchToken(user), lines);
  expect((await read("owner")).response.status).toBe(200);
  await connectAsOwner().query("update crew_runs set owner_id = 'stranger' where id = $1", [id]);
  expect((await read("owner")).response.status).toBe(404);
  for (const user of ["stranger", "admin"] as const) {
    expect(JSON.parse((await read(user)).body)).toMatchObject({ id, owner_id: "stranger" });
  }
});

test("a client that holds an older tag than the isolate remembers gets the run", async () => {
  const { start } = await openDatabase();
  const worker = start();
  const id = await insertRun();
  const token = await fetchToken("owner");
  const old = (await readRun(worker, id, token, lines)).response.headers.get("etag") ?? "";
  await connectAsOwner().query("update crew_runs set status = 'running' where id = $1", [id]);
  const current = await readRun(worker, id, token, lines);
  for (const [tag, isolate] of [
    [old, worker],
    [old, start()],
  ] as const) {
    const { response, body } = await readRun(isolate, id, token, lines, { "if-none-match": tag });
    expect(response.status).toBe(200);
    expect(body).toBe(current.body);
  }
  const tag = current.response.headers.get("etag") ?? "";
  for (const held of [tag, `W/${tag}`, `"x", ${tag}`, "*"]) {
    for (const isolate of [worker, start()]) {
      const { response, body } = await readRun(isolate, id, token, lines, { "if-none-match": held });
      expect(response.status).toBe(304);
      expect(body).toBe("");
    }
  }
});
