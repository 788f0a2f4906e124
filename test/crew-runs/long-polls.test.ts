// `Prefer: wait=N` (RFC 7240 §4.3) on an unfinished run: what ends a wait, and what a wait costs. Time is simulated, so each
// wait takes its time to the millisecond.
// Random waits by several readers while the row changes: test/histories/. A wait ends when its client leaves:
// test/node/client-gone.test.ts, because here there is no client.
import { beforeEach, describe, expect, test, vi } from "vitest";
import { controlClock } from "../support/clock.ts";
import { insertRun, updateRun } from "../support/database.ts";
import { expectFault } from "../support/documented-fault.ts";
import { openDatabaseProxy } from "../support/fault-proxy.ts";
import { type Fault, untilReceived } from "../support/fault-proxy-protocol.ts";
import { fetchToken, openIssuer } from "../support/issuer.ts";
import { catchLines } from "../support/log-lines.ts";
import { type ReadRun, readRun } from "../support/read-run.ts";
import { makeKey } from "../support/signing.ts";
import { type TestApp, bearer, createTestApp } from "../support/test-app.ts";

const lines = catchLines();
const clock = controlClock();
beforeEach(() => {
  // Half past a second, so that whole seconds of a token are the same each time.
  clock.stopAt(Math.floor(Date.now() / 1_000) * 1_000 + 500);
  clock.simulate();
});

async function openDatabase(variables: Record<string, string | number> = {}) {
  const proxy = await openDatabaseProxy();
  return { proxy, app: createTestApp({ NEON_FETCH_ENDPOINT: proxy.url, ...variables }) };
}

async function read(app: TestApp, id: string, prefer: string, etag?: string | null): Promise<ReadRun> {
  const condition: Record<string, string> = etag ? { "if-none-match": etag } : {};
  return readRun(app, id, await fetchToken("owner"), lines, { prefer, ...condition });
}

async function readTag(app: TestApp, id: string): Promise<string> {
  return (await read(app, id, "")).response.headers.get("etag") ?? "";
}

const start = (id: string) => updateRun(id, "status = 'running'");
const finish = (id: string) => updateRun(id, "status = 'completed', result = 'done'");
const pause = (milliseconds: number) => scheduler.wait(milliseconds);

describe("a wait", () => {
  test("without If-None-Match ends with the run, not when it starts, and caches it", async () => {
    const { app, proxy } = await openDatabase();
    const id = await insertRun();
    const waiting = read(app, id, "wait=20");
    await pause(300);
    await start(id);
    await pause(700);
    await finish(id);
    const { response, body, log } = await waiting;
    expect(response.status).toBe(200);
    expect(JSON.parse(body)).toMatchObject({ id, status: "completed", result: "done" });
    expect(response.headers.get("preference-applied")).toBe("wait=20");
    expect(response.headers.get("retry-after")).toBeNull();
    expect(response.headers.get("cache-control")).toBe("private, max-age=3600");
    // Polls are due after 0.5 s and 1.25 s.
    expect(log["waited_ms"]).toBe(1_250);
    const before = await proxy.received();
    expect((await read(app, id, "wait=20")).response.headers.get("age")).not.toBeNull();
    expect(await proxy.received()).toBe(before);
  });

  test("with the client's tag ends with a 200 on the first change, and the client should pause before the next request", async () => {
    const { app } = await openDatabase();
    const id = await insertRun();
    const etag = await readTag(app, id);
    const waiting = read(app, id, "wait=20", etag);
    await pause(700);
    await start(id);
    const { response, body, log } = await waiting;
    expect(response.status).toBe(200);
    expect(JSON.parse(body)).toMatchObject({ status: "running" });
    expect(response.headers.get("etag")).not.toBe(etag);
    expect(response.headers.get("retry-after")).toBe("1");
    expect(log["waited_ms"]).toBe(1_250);
  });

  test("with the client's tag ends with a 304 when the time is up, and the client need not pause", async () => {
    const { app } = await openDatabase();
    const id = await insertRun();
    const etag = await readTag(app, id);
    const { response, body, log } = await read(app, id, "wait=1", etag);
    expect(response.status).toBe(304);
    expect(body).toBe("");
    expect(response.headers.get("etag")).toBe(etag);
    expect(response.headers.get("preference-applied")).toBe("wait=1");
    expect(response.headers.get("retry-after")).toBe("0");
    expect(log["waited_ms"]).toBe(1_000);
  });

  test.each([
    ["at most MAX_WAIT_SECONDS", "wait=1000"],
    ["as long as a quoted preference among others says", 'respond-async, Wait="7"; x=y'],
    ["not as long as a quoted string says", 'foo="a, wait=0", bar="\\", wait=0", wait=1'],
  ])("lasts %s", async (_, prefer) => {
    const { app } = await openDatabase({ MAX_WAIT_SECONDS: 1 });
    const { response, log } = await read(app, await insertRun(), prefer);
    expect(response.headers.get("preference-applied")).toBe("wait=1");
    expect(log["waited_ms"]).toBe(1_000);
  });

  test("ends before the token does", async () => {
    const issuer = await openIssuer([await makeKey("ES256")]);
    const { app } = await openDatabase({ ...issuer.variables, JWT_LEEWAY_SECONDS: 0 });
    const exp = Math.floor(Date.now() / 1_000) + 4;
    const { response } = await readRun(app, await insertRun(), await issuer.sign({ exp }), lines, {
      prefer: "wait=20",
    });
    expect(response.status).toBe(200);
    expect(response.headers.get("preference-applied")).toBe("wait=2");
    expect(Date.now()).toBeLessThan(exp * 1_000);
  });

  test.each([
    [1, 3],
    [5, 6],
    [30, 14],
    [60, 24],
  ])("of %i seconds takes exactly these, and %i queries", async (seconds, queries) => {
    const { app, proxy } = await openDatabase({ MAX_WAIT_SECONDS: 60 });
    const { response, log } = await read(app, await insertRun(), `wait=${seconds}`);
    expect(response.headers.get("preference-applied")).toBe(`wait=${seconds}`);
    expect(log["waited_ms"]).toBe(seconds * 1_000);
    expect(await proxy.received()).toBe(queries);
  });

  test("takes less than 30 queries if the run changes all the time, and the first and the last read are repeated", async () => {
    const { proxy, app } = await openDatabase({ MAX_WAIT_SECONDS: 60 });
    const id = await insertRun();
    await proxy.fail({ kind: "drop", times: 2 });
    const waiting = read(app, id, "wait=60");
    for (let second = 2; second < 60; second += 2) {
      await pause(2_000);
      await updateRun(id, `correlation_id = '${second}'`);
    }
    await proxy.fail({ kind: "drop" });
    const { response, log } = await waiting;
    expect(response.status).toBe(503);
    expect(log["db_attempts"]).toBe(await proxy.received());
    expect(await proxy.received()).toBeLessThan(30);
  });

  test("leaves an unfinished run in the database until its last poll", async () => {
    const { proxy, app } = await openDatabase();
    await read(app, await insertRun({ status: "running" }), "wait=5");
    const areLight = (await proxy.requests()).map(({ body }) => /status::text IN/.test(body));
    expect(areLight).toEqual([false, true, true, true, true, false]);
  });
});

describe("there is no wait", () => {
  test.each([
    ["for a client that has another representation", {}, 200, '"other"'],
    ["for a finished run", { status: "completed" }, 200, null],
    ["for a run of somebody else", { owner_id: "stranger" }, 404, null],
  ] as const)("%s", async (_, row, status, tag) => {
    const { app, proxy } = await openDatabase();
    const { response, log } = await read(app, await insertRun(row), "wait=20", tag);
    expect(response.status).toBe(status);
    expect(log).not.toHaveProperty("waited_ms");
    expect(await proxy.received()).toBe(1);
  });

  test.each([
    ["for the preference", 30, ["wait=0", "wait", "wait=", "wait=-1", "wait=1.5", "wait=soon", "waiting=9", ""]],
    ["if MAX_WAIT_SECONDS is 0", 0, ["wait=20"]],
  ] as const)("%s", async (_, MAX_WAIT_SECONDS, preferences) => {
    const { app, proxy } = await openDatabase({ MAX_WAIT_SECONDS });
    const id = await insertRun();
    for (const prefer of preferences) {
      const { response } = await read(app, id, prefer);
      expect(response.status).toBe(200);
      expect(response.headers.get("preference-applied")).toBeNull();
    }
    expect(await proxy.received()).toBe(preferences.length);
  });
});

/** A refusal by Postgres, as the endpoint passes it on. */
const refusal = (code: string): Fault => ({
  kind: "status",
  status: 400,
  text: JSON.stringify({ message: "no", code }),
});
const failure: Fault = { kind: "status", status: 500 };

describe("during a wait", () => {
  test.each([
    ["a failing database", failure, "endpoint_error endpoint_error"],
    ["a statement that takes too long", refusal("57014"), "statement_timeout statement_timeout"],
  ])("%s doesn't end it", async (_, fault, logged) => {
    const { proxy, app } = await openDatabase();
    const id = await insertRun();
    const waiting = read(app, id, "wait=20");
    await pause(300);
    await proxy.fail({ ...fault, times: 2 });
    await finish(id);
    const run = await waiting;
    if (fault === failure) expectFault("recovers_during_wait", run);
    expect(JSON.parse(run.body)).toMatchObject({ status: "completed" });
    expect(run.log["db_faults"]).toBe(logged);
  });

  test("a database that fails to the end is a 503, after the attempts of any read", async () => {
    const { proxy, app } = await openDatabase();
    const waiting = read(app, await insertRun(), "wait=1");
    await pause(300);
    await proxy.fail(failure);
    const run = await waiting;
    expectFault("fails_to_end_of_wait", run);
    expect(run.response.headers.get("preference-applied")).toBeNull();
    // The first read, a poll, and three attempts at the end.
    expect(await proxy.received()).toBe(5);
  });

  test("a database that hangs to the end is a 503", async () => {
    const { proxy, app } = await openDatabase({ DATABASE_ATTEMPT_TIMEOUT_MS: 100, REQUEST_TIMEOUT_MS: 300 });
    const waiting = read(app, await insertRun(), "wait=1");
    await pause(300);
    await proxy.fail({ kind: "hang" });
    const { response, log } = await waiting;
    expect(response.status).toBe(503);
    expect(response.headers.get("preference-applied")).toBeNull();
    expect(log["db_faults"]).toMatch(/^timeout( timeout)+$/);
  });

  test.each([
    ["a refused credential", "28P01"],
    ["a missing table", "42P01"],
  ])("%s ends it at once", async (_, code) => {
    const { proxy, app } = await openDatabase();
    const waiting = read(app, await insertRun(), "wait=20");
    await pause(300);
    await proxy.fail(refusal(code));
    const run = await waiting;
    expectFault("refuses_during_wait", run);
    expect(run.log["ms"]).toBe(500);
    expect(await proxy.received()).toBe(2);
  });

  test("a row that breaks the contract is a 500", async () => {
    const { app } = await openDatabase();
    const id = await insertRun();
    const waiting = read(app, id, "wait=1");
    await pause(100);
    await updateRun(id, `crew_config = '{"agents": "none"}'`);
    expect((await waiting).response.status).toBe(500);
  });
});

describe("waits for one run", () => {
  test.each([
    ["that begin together", 0, false, 45],
    ["that begin 25 ms apart, with the tag of each client", 25, true, 46],
  ])(
    "%s share their polls: each of 40 makes its first read only, and all get the end",
    async (_, spreadMs, untilChanged, expected) => {
      const { proxy, app } = await openDatabase();
      const id = await insertRun({ status: "running" });
      const tag = untilChanged ? await readTag(app, id) : null;
      const before = await proxy.received();
      const ended = pause(6_000).then(() => finish(id));
      const waits = Array.from({ length: 40 }, async (__, index) => {
        await pause(index * spreadMs);
        return read(app, id, "wait=30", tag);
      });
      for (const { response, body } of await Promise.all(waits)) {
        expect(response.status).toBe(200);
        expect(JSON.parse(body)).toMatchObject({ status: "completed", result: "done" });
      }
      await ended;
      expect((await proxy.received()) - before).toBe(expected);
    },
  );

  test("end with it for whoever may see the run then, and for nobody else", async () => {
    const { app } = await openDatabase();
    const id = await insertRun({ status: "running" });
    const wait = async (user: "admin" | "owner" | "stranger") =>
      readRun(app, id, await fetchToken(user), lines, { prefer: "wait=4" });
    const [admin, owner] = [wait("admin"), wait("owner")];
    expect((await wait("stranger")).response.status).toBe(404);
    await pause(100);
    await updateRun(id, "owner_id = 'somebody', status = 'completed'");
    expect((await admin).response.status).toBe(200);
    expect((await owner).response.status).toBe(404);
  });

  test("with a tag and without: each change ends the one, only the run's end the other", async () => {
    const { app } = await openDatabase();
    const id = await insertRun();
    const etag = await readTag(app, id);
    // This one polls first, for both.
    const plain = read(app, id, "wait=20");
    await pause(100);
    const tagged = read(app, id, "wait=20", etag);
    await pause(600);
    await start(id);
    const changed = await tagged;
    expect(changed.response.status).toBe(200);
    expect(JSON.parse(changed.body)).toMatchObject({ status: "running" });
    expect(changed.log["waited_ms"]).toBe(1_150);
    await finish(id);
    expect(JSON.parse((await plain).body)).toMatchObject({ status: "completed" });
  });

  test("end by their own attempts: a poll of another wait that fails does not end one whose time is up", async () => {
    const { proxy, app } = await openDatabase();
    const id = await insertRun();
    // Its second poll, after 1.25 s, comes when the shorter wait's time is up.
    const long = read(app, id, "wait=20");
    await pause(250);
    const short = read(app, id, "wait=1");
    await pause(750);
    await proxy.fail({ ...failure, times: 1 });
    const { response, log } = await short;
    expect(response.status).toBe(200);
    expect(log).toMatchObject({ waited_ms: 1_000, db_attempts: 2 });
    await finish(id);
    const { log: line } = await long;
    expect(line["db_faults"]).toBe("endpoint_error");
  });

  test("end soon after their time if every poll is slow, though another goes on", async () => {
    const { app } = await openDatabase();
    const id = await insertRun();
    const long = read(app, id, "wait=25");
    await pause(100);
    const short = read(app, id, "wait=2");
    await pause(100);
    const simulated = vi.mocked(fetch);
    const fetchAtOnce = simulated.getMockImplementation() ?? fetch;
    simulated.mockImplementation(async (...query) => {
      // Longer than the longest pause.
      await pause(3_300);
      return fetchAtOnce(...query);
    });
    const { response, log } = await short;
    expect(response.status).toBe(200);
    // The long wait polls after 0.5 s; the short one then polls once more.
    expect(log).toMatchObject({ waited_ms: 7_000, db_attempts: 2 });
    await finish(id);
    expect(JSON.parse((await long).body)).toMatchObject({ status: "completed" });
  });

  test("go on if the client leaves whose poll is under way", async () => {
    const { proxy, app } = await openDatabase();
    const id = await insertRun({ status: "running" });
    const leaver = new AbortController();
    const headers = { ...bearer(await fetchToken("owner")), prefer: "wait=20" };
    await proxy.fail({ kind: "hold" });
    const left = app.fetch(`/api/crew-runs/${id}`, { headers, signal: leaver.signal });
    await untilReceived(proxy, 1);
    const stayed = read(app, id, "wait=20");
    await untilReceived(proxy, 2);
    // Lets the first reads pass, and holds the poll.
    await proxy.fail({ kind: "hold" });
    await untilReceived(proxy, 3);
    leaver.abort();
    expect((await left).status).toBe(499);
    await finish(id);
    await proxy.heal();
    const { body, log } = await stayed;
    expect(JSON.parse(body)).toMatchObject({ status: "completed" });
    // It polls in the leaver's place, at once.
    expect(log["waited_ms"]).toBe(500);
    const [line] = lines.all().filter((each) => each.includes("client_left"));
    expect(JSON.parse(line ?? "{}")).toMatchObject({ run_id: id, status: 499, code: "client_left" });
  });
});

test("a wait whose time ends during another's last poll takes its result, and makes no attempts of its own", async () => {
  const { proxy, app } = await openDatabase();
  const id = await insertRun();
  // The longest pauses between attempts: the last poll of the first wait lasts beyond the end of the second.
  const random = vi.spyOn(Math, "random").mockReturnValue(0.99);
  const first = read(app, id, "wait=1");
  await pause(300);
  const second = read(app, id, "wait=1");
  await pause(600);
  const before = await proxy.received();
  await proxy.fail(failure);
  for (const { response } of await Promise.all([first, second])) expect(response.status).toBe(503);
  expect((await proxy.received()) - before).toBe(3);
  random.mockRestore();
});

test("a clock that jumps back lengthens a wait by its own time at most", async () => {
  const { app } = await openDatabase();
  const waiting = read(app, await insertRun(), "wait=5");
  await pause(1_000);
  clock.advance(-120);
  const first = await Promise.race([waiting.then(() => "the wait ended"), pause(10_500).then(() => "it goes on")]);
  expect(first).toBe("the wait ended");
});
