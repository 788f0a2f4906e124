// `Prefer: wait=N` (RFC 7240 §4.3) on an unfinished run: what ends a wait, and what a wait costs. Time is simulated, so each
// wait takes its time to the millisecond.
// Random waits by several readers while the row changes: test/histories/. A wait ends when its client leaves:
// test/node/sockets.test.ts, because here there is no client.
import { beforeEach, describe, expect, test, vi } from "vitest";
import { Failure } from "../../src/failure.ts";
import { answerFetches, controlClock, hangFetches } from "../support/clock.ts";
import { insertRun, updateRun } from "../support/database.ts";
import { ROW_ID, makeReply } from "../support/database-reply.ts";
import { expectFault } from "../support/documented-fault.ts";
import { type ReadResult, type Reader, createReader } from "../support/reader.ts";

const clock = controlClock();
beforeEach(() => {
  // Half past a second, so that whole seconds of a token are the same each time.
  clock.stopAt(Math.floor(Date.now() / 1_000) * 1_000 + 500);
  clock.simulate();
});

const wait = ({ read }: Reader, id: string, prefer: string, etag?: string | null): Promise<ReadResult> =>
  read(id, { headers: { prefer, ...(etag && { "if-none-match": etag }) } });

const readTag = async ({ read }: Reader, id: string) => (await read(id)).headers.get("etag") ?? "";

const start = (id: string) => updateRun(id, "status = 'running'");
const finish = (id: string) => updateRun(id, "status = 'completed', result = 'done'");
const pause = (milliseconds: number) => scheduler.wait(milliseconds);

/** From now on the database's reply is this row. Returns the number of queries so far. */
function answerQueries(row: object): () => number {
  const reply = new TextEncoder().encode(makeReply(row));
  let count = 0;
  answerFetches("/sql", async () => {
    count += 1;
    // Mocks keep what they were given and what they returned: here, megabytes each time.
    for (const mock of [fetch, crypto.subtle.digest]) vi.mocked(mock).mockClear();
    return new Response(reply, { headers: { "content-length": String(reply.byteLength) } });
  });
  return () => count;
}

describe("a wait", () => {
  test("without If-None-Match ends with the run, not when it starts, and caches it", async () => {
    const reader = await createReader();
    const id = await insertRun();
    const waiting = wait(reader, id, "wait=20");
    await pause(300);
    await start(id);
    await pause(700);
    await finish(id);
    const { status, headers, body, log } = await waiting;
    expect([status, headers.get("preference-applied"), headers.get("retry-after")]).toEqual([200, "wait=20", null]);
    expect(JSON.parse(body)).toMatchObject({ id, status: "completed", result: "done" });
    expect(log["waited_ms"]).toBeGreaterThanOrEqual(1_000);
    expect(log["waited_ms"]).toBeLessThanOrEqual(4_000);
    expect((await wait(reader, id, "wait=20")).queries).toBe(0);
  });

  test("with the client's tag ends with a 200 on the first change, and the client should pause before the next request", async () => {
    const reader = await createReader();
    const id = await insertRun();
    const etag = await readTag(reader, id);
    const waiting = wait(reader, id, "wait=20", etag);
    await pause(700);
    await start(id);
    const { status, headers, body, log } = await waiting;
    expect([status, headers.get("retry-after")]).toEqual([200, "1"]);
    expect(JSON.parse(body)).toMatchObject({ status: "running" });
    expect(headers.get("etag")).not.toBe(etag);
    expect(log["waited_ms"]).toBeLessThanOrEqual(3_700);
  });

  test("with the client's tag ends with a 304 when the time is up, and the client need not pause", async () => {
    const reader = await createReader();
    const id = await insertRun();
    const etag = await readTag(reader, id);
    const { status, headers, body, log } = await wait(reader, id, "wait=1", etag);
    expect([status, body, headers.get("etag"), log["waited_ms"]]).toEqual([304, "", etag, 1_000]);
    expect([headers.get("preference-applied"), headers.get("retry-after")]).toEqual(["wait=1", "0"]);
  });

  test("ends before the token does", async () => {
    const { issuer, read } = await createReader({ settings: { JWT_LEEWAY_SECONDS: 0 } });
    const exp = Math.floor(Date.now() / 1_000) + 4;
    const token = await issuer.sign({ exp });
    const { status, headers } = await read(await insertRun(), { token, headers: { prefer: "wait=20" } });
    expect([status, headers.get("preference-applied")]).toEqual([200, "wait=2"]);
    expect(Date.now()).toBeLessThan(exp * 1_000);
  });

  test.each([
    [60, 5, 5, 4, 8],
    [60, 60, 60, 16, 30],
    [1, 1_000, 1, 2, 4],
  ])("with MAX_WAIT_SECONDS = %i and wait=%i takes %i seconds, and %i to %i queries", async (...row) => {
    const [MAX_WAIT_SECONDS, preferred, seconds, fewest, most] = row;
    const reader = await createReader({ settings: { MAX_WAIT_SECONDS } });
    const { headers, log, queries } = await wait(reader, await insertRun(), `wait=${preferred}`);
    expect([headers.get("preference-applied"), headers.get("retry-after")]).toEqual([`wait=${seconds}`, "0"]);
    expect(log).toMatchObject({ waited_ms: seconds * 1_000, db_attempts: queries });
    expect(queries).toBeGreaterThanOrEqual(fewest);
    expect(queries).toBeLessThanOrEqual(most);
  });

  test("counts from the start of the request: a slow first read shortens it, or leaves none", async () => {
    const reader = await createReader();
    const id = await insertRun();
    const delayFirst = () => {
      const end = answerFetches("/sql", async (send) => {
        end();
        await pause(3_000);
        return send();
      });
    };
    await reader.read(id);
    delayFirst();
    const shortened = await wait(reader, id, "wait=4");
    expect(shortened.log).toMatchObject({ ms: 4_000, waited_ms: 1_000, db_ms: 3_000 });
    expect(shortened.headers.get("preference-applied")).toBe("wait=4");
    delayFirst();
    const none = await wait(reader, id, "wait=2");
    expect(none.log).toMatchObject({ ms: 3_000 });
    expect(none.log).not.toHaveProperty("waited_ms");
    expect(none.headers.get("preference-applied")).toBeNull();
    expect(none.headers.get("retry-after")).toBe("1");
  });

  test("leaves an unfinished run in the database until its last poll", async () => {
    const reader = await createReader();
    const id = await insertRun({ status: "running", result: "x".repeat(10_000) });
    const replies: number[] = [];
    answerFetches("/sql", async (send) => {
      const response = await send();
      replies.push((await response.clone().arrayBuffer()).byteLength);
      return response;
    });
    await wait(reader, id, "wait=5");
    const [first, ...polls] = replies;
    const last = polls.pop();
    expect(Math.min(first ?? 0, last ?? 0)).toBeGreaterThan(10_000);
    expect(polls.length).toBeGreaterThan(1);
    expect(Math.max(...polls)).toBeLessThan(2_000);
  });
});

describe("there is no wait", () => {
  test.each<[string, object, string, string | null, number, number?]>([
    ["for a client that has another representation", {}, "wait=20", '"other"', 200],
    ["for a finished run", { status: "completed" }, "wait=20", null, 200],
    ["for a run of somebody else", { owner_id: "stranger" }, "wait=20", null, 404],
    ["for the preference wait=0", {}, "wait=0", null, 200],
    ["for one that is malformed", {}, "wait=soon", null, 200],
    ["if MAX_WAIT_SECONDS is 0", {}, "wait=20", null, 200, 0],
  ])("%s", async (_, row, prefer, tag, expected, MAX_WAIT_SECONDS = 30) => {
    const reader = await createReader({ settings: { MAX_WAIT_SECONDS } });
    const { status, headers, log, queries } = await wait(reader, await insertRun(row), prefer, tag);
    expect([status, queries, headers.get("preference-applied")]).toEqual([expected, 1, null]);
    expect(log).not.toHaveProperty("waited_ms");
  });

  test("for a client that leaves: its read goes on, so that the run is cached", async () => {
    const { read } = await createReader();
    const id = await insertRun({ status: "completed" });
    const leaver = new AbortController();
    answerFetches("/sql", async (send) => {
      leaver.abort();
      return send();
    });
    expect((await read(id, { signal: leaver.signal })).status).toBe(200);
    expect((await read(id)).queries).toBe(0);
  });
});

/** A refusal by Postgres, as the endpoint passes it on. */
const refusal = (code: string): string => JSON.stringify({ message: "no", code });

describe("during a wait", () => {
  test.each<[string, string, () => Promise<Response>]>([
    ["a failing database", "endpoint_error", async () => new Response(null, { status: 500 })],
    ["a slow statement", "statement_timeout", async () => new Response(refusal("57014"), { status: 400 })],
    ["a full budget of replies", "overloaded", () => Promise.reject(new Failure("overloaded"))],
  ])("%s doesn't end it", async (_, fault, respond) => {
    const reader = await createReader();
    const id = await insertRun();
    const waiting = wait(reader, id, "wait=20");
    await pause(300);
    const end = answerFetches("/sql", respond);
    await pause(1_000);
    end();
    await finish(id);
    const run = await waiting;
    if (fault === "endpoint_error") expectFault("recovers_during_wait", run);
    expect(JSON.parse(run.body)).toMatchObject({ status: "completed" });
    expect(run.log["db_faults"]).toMatch(new RegExp(`^${fault}( ${fault})+$`));
  });

  test("its run may get another owner: it ends with the 404 of the next poll", async () => {
    const reader = await createReader();
    const id = await insertRun();
    const { headers } = await reader.read(id);
    const waiting = wait(reader, id, "wait=20", headers.get("etag"));
    await pause(300);
    await updateRun(id, "owner_id = 'another'");
    expect(await waiting).toMatchObject({ status: 404, queries: 2 });
  });

  test("a database that fails to the end is a 503, after the attempts of any read and one lookup of a copy", async () => {
    const reader = await createReader();
    const id = await insertRun();
    const waiting = wait(reader, id, "wait=20");
    await pause(300);
    await reader.database.fail({ kind: "status", status: 500 });
    const match = vi.mocked(Cache.prototype.match);
    match.mockClear();
    await pause(19_600);
    const before = await reader.database.received();
    // The first read, and one attempt of each poll.
    expect(before).toBeLessThanOrEqual(12);
    const run = await waiting;
    expectFault("fails_to_end_of_wait", run);
    expect(run.headers.get("preference-applied")).toBeNull();
    expect((await reader.database.received()) - before).toBe(3);
    expect(match.mock.calls.filter(([address]) => String(address).includes(id))).toHaveLength(1);
  });

  test.each([
    ["a refused credential", "28P01"],
    ["a missing table", "42P01"],
  ])("%s ends it at once", async (_, code) => {
    const reader = await createReader();
    const waiting = wait(reader, await insertRun(), "wait=20");
    await pause(300);
    await reader.database.fail({ kind: "status", status: 400, text: refusal(code) });
    const run = await waiting;
    expectFault("refuses_during_wait", run);
    expect(run.log["ms"]).toBeLessThanOrEqual(1_000);
    expect(await reader.database.received()).toBe(2);
  });

  test.each([
    ["its first read", 0],
    ["a later poll", 700],
  ])("a client that leaves in %s isn't an outage", async (_, afterMs) => {
    const { read } = await createReader();
    const id = await insertRun({ status: "running" });
    const leaver = new AbortController();
    if (afterMs === 0) hangFetches("/sql", "silent");
    const left = read(id, { headers: { prefer: "wait=20" }, signal: leaver.signal });
    await pause(afterMs);
    if (afterMs > 0) hangFetches("/sql", "silent");
    await pause(2_000);
    leaver.abort();
    const { log } = await left;
    expect(log).toMatchObject({ level: "info", status: 499, code: "client_left", run_id: id });
    expect(log).not.toHaveProperty("db_faults");
    // Its query ends with it.
    expect(log["ms"]).toBeLessThan(3_000);
  });

  test("an isolate without room for the first and the last reply ends none, if it has room soon after", async () => {
    const reader = await createReader();
    const id = await insertRun();
    const end = answerFetches("/sql", () => Promise.reject(new Failure("overloaded")));
    const waiting = wait(reader, id, "wait=1");
    await pause(1_500);
    end();
    const { status, log } = await waiting;
    expect([status, log["db_faults"]]).toEqual([200, expect.stringMatching(/^overloaded( overloaded)+$/)]);
  });
});

describe("waits of 100 clients for one run", { timeout: 60_000 }, () => {
  test("that begin one after another all end within 3.5 seconds after it, by few queries", async () => {
    const reader = await createReader();
    answerQueries({ status: "running" });
    const endsMs = 26_000;
    const startedMs = Date.now();
    const waits = Array.from({ length: 100 }, async (_, index) => {
      await pause(index * 100);
      const { status, body } = await wait(reader, ROW_ID, "wait=30");
      expect([status, JSON.parse(body)]).toMatchObject([200, { status: "completed", result: "done" }]);
      return Date.now() - startedMs - endsMs;
    });
    await pause(endsMs);
    const countQueries = answerQueries({ status: "completed", result: "done" });
    expect(Math.max(...(await Promise.all(waits)))).toBeLessThanOrEqual(3_500);
    // The first to find it finished serves those that poll later.
    expect(countQueries()).toBeLessThan(10);
  });

  test("all end in 200 if it has 5 MB: too much for the memory cache, and all replies for their budget", async () => {
    const reader = await createReader();
    // The simulated cache would store each of them twice.
    vi.mocked(Cache.prototype.put).mockResolvedValue();
    answerQueries({ status: "completed", task_input: `{"text":"${"x".repeat(5_000_000)}"}` });
    const waits = Array.from({ length: 100 }, async () => (await wait(reader, ROW_ID, "wait=1")).status);
    expect(new Set(await Promise.all(waits))).toEqual(new Set([200]));
  });
});

test("a clock that jumps back lengthens a wait by its own time at most", async () => {
  const reader = await createReader();
  const waiting = wait(reader, await insertRun(), "wait=5");
  await pause(1_000);
  clock.advance(-120);
  const first = await Promise.race([waiting.then(() => "the wait ended"), pause(10_500).then(() => "it goes on")]);
  expect(first).toBe("the wait ended");
});

test("a clock that jumps back a little ends no wait with a failure", async () => {
  const reader = await createReader();
  const id = await insertRun();
  await reader.read(id);
  await pause(60_000);
  const waiting = wait(reader, id, "wait=5");
  await pause(300);
  answerFetches("/sql", async (send, signal) => {
    // As long as a quick query.
    await pause(5);
    signal?.throwIfAborted();
    return send();
  });
  clock.advance(-2);
  await finish(id);
  expect((await waiting).status).toBe(200);
});
