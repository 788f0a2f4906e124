// `Prefer: wait=N` (RFC 7240 §4.3) on an unfinished run: what ends a wait, and what a wait costs.
// Waits of several readers while the row changes are in test/histories/; that a wait ends when its client goes away is in
// test/node/client-gone.test.ts, because here there is no client.
import { afterEach, describe, expect, test, vi } from "vitest";
import { expectFault } from "../support/documented-fault.ts";
import { catchLines } from "../support/log-lines.ts";
import { type ReadRun, readRun } from "../support/read-run.ts";
import { type TestApp, bearer, createTestApp } from "../support/test-app.ts";
import { controlClock } from "../support/clock.ts";
import { connectAsOwner, insertRun } from "../support/database.ts";
import { openDatabaseProxy } from "../support/fault-proxy.ts";
import type { Fault } from "../support/fault-proxy-protocol.ts";
import { fetchToken, openIssuer } from "../support/issuer.ts";
import { makeKey } from "../support/signing.ts";

const lines = catchLines();
const clock = controlClock();

async function openDatabase(variables: Record<string, string | number> = {}) {
  const proxy = await openDatabaseProxy();
  const app = createTestApp({ NEON_FETCH_ENDPOINT: proxy.url, ...variables });
  return { proxy, app, queries: async () => await proxy.received() };
}

async function read(app: TestApp, id: string, prefer: string, etag?: string | null): Promise<ReadRun> {
  const condition: Record<string, string> = etag ? { "if-none-match": etag } : {};
  return readRun(app, id, await fetchToken("owner"), lines, { prefer, ...condition });
}

const change = (id: string, assignments: string) =>
  connectAsOwner().query(`update crew_runs set ${assignments} where id = $1`, [id]);
const start = (id: string) => change(id, "status = 'running'");
const finish = (id: string) => change(id, "status = 'completed', result = 'done'");
const pause = (milliseconds: number) => scheduler.wait(milliseconds);

async function readTag(app: TestApp, id: string): Promise<string> {
  return (await read(app, id, "")).response.headers.get("etag") ?? "";
}

describe.concurrent("a wait", () => {
  test("without If-None-Match ends when the run is finished, and not when it starts; the run is kept", async () => {
    const { app, queries } = await openDatabase();
    const id = await insertRun();
    const waiting = read(app, id, "wait=20");
    await pause(300);
    await start(id);
    await pause(700);
    await finish(id);
    const { response, body, log, milliseconds } = await waiting;
    expect(response.status).toBe(200);
    expect(JSON.parse(body)).toMatchObject({ id, status: "completed", result: "done" });
    expect(response.headers.get("preference-applied")).toBe("wait=20");
    expect(response.headers.get("retry-after")).toBeNull();
    expect(response.headers.get("cache-control")).toBe("private, max-age=3600");
    expect(milliseconds).toBeGreaterThan(950);
    expect(milliseconds).toBeLessThan(6_000);
    expect(log["waited_ms"]).toBeGreaterThan(900);
    const before = await queries();
    expect((await read(app, id, "wait=20")).response.headers.get("age")).not.toBeNull();
    expect(await queries()).toBe(before);
  });

  test("with the tag that the client holds ends with a 200 on the first change", async () => {
    const { app } = await openDatabase();
    const id = await insertRun();
    const etag = await readTag(app, id);
    const waiting = read(app, id, "wait=20", etag);
    await pause(700);
    await start(id);
    const { response, body, milliseconds } = await waiting;
    expect(response.status).toBe(200);
    expect(JSON.parse(body)).toMatchObject({ status: "running" });
    expect(response.headers.get("etag")).not.toBe(etag);
    expect(milliseconds).toBeLessThan(6_000);
  });

  test("ends with a 304 when the time is up, and the client need not pause", async () => {
    const { app } = await openDatabase();
    const id = await insertRun();
    const etag = await readTag(app, id);
    const { response, body, milliseconds } = await read(app, id, "wait=1", etag);
    expect(response.status).toBe(304);
    expect(body).toBe("");
    expect(response.headers.get("etag")).toBe(etag);
    expect(response.headers.get("preference-applied")).toBe("wait=1");
    expect(response.headers.get("retry-after")).toBe("0");
    expect(milliseconds).toBeGreaterThan(980);
    expect(milliseconds).toBeLessThan(4_000);
  });

  test.each([
    ["as long as MAX_WAIT_SECONDS at most", "wait=1000"],
    ["as long as a quoted preference among others says", 'respond-async, Wait="7"; x=y'],
    ["not as long as a quoted string says", 'foo="a, wait=0", bar="\\", wait=0", wait=1'],
  ])("lasts %s", async (_, prefer) => {
    const { app } = await openDatabase({ MAX_WAIT_SECONDS: 1 });
    const { response, milliseconds } = await read(app, await insertRun(), prefer);
    expect(response.headers.get("preference-applied")).toBe("wait=1");
    expect(milliseconds).toBeGreaterThan(980);
    expect(milliseconds).toBeLessThan(4_000);
  });

  test("ends before the token does", async () => {
    const issuer = await openIssuer([await makeKey("ES256")]);
    const { app } = await openDatabase({ ...issuer.variables, JWT_LEEWAY_SECONDS: 0 });
    const exp = Math.floor(Date.now() / 1_000) + 3;
    const token = await issuer.sign({ exp });
    const { response } = await readRun(app, await insertRun(), token, lines, { prefer: "wait=20" });
    expect(response.status).toBe(200);
    expect(Date.now() / 1_000).toBeLessThan(exp + 0.5);
    expect(response.headers.get("preference-applied")).toMatch(/^wait=[12]$/);
  });
});

describe.concurrent("there is no wait", () => {
  test.each([
    ["for a client that holds another representation", {}, 200, '"other"'],
    ["for a finished run", { status: "completed" }, 200, null],
    ["for a run of somebody else", { owner_id: "stranger" }, 404, null],
  ] as const)("%s", async (_, row, status, tag) => {
    const { app, queries } = await openDatabase();
    const { response, milliseconds } = await read(app, await insertRun(row), "wait=20", tag);
    expect(response.status).toBe(status);
    expect(milliseconds).toBeLessThan(3_000);
    expect(await queries()).toBe(1);
  });

  test.each([
    ["for the preference", 30, ["wait=0", "wait", "wait=", "wait=-1", "wait=1.5", "wait=soon", "waiting=9", ""]],
    ["where MAX_WAIT_SECONDS is 0", 0, ["wait=20"]],
  ] as const)("%s", async (_, MAX_WAIT_SECONDS, preferences) => {
    const { app, queries } = await openDatabase({ MAX_WAIT_SECONDS });
    const id = await insertRun();
    for (const prefer of preferences) {
      const { response } = await read(app, id, prefer);
      expect(response.status).toBe(200);
      expect(response.headers.get("preference-applied")).toBeNull();
    }
    expect(await queries()).toBe(preferences.length);
  });
});

/** What Postgres says through the endpoint. */
const refusal = (code: string): Fault => ({
  kind: "status",
  status: 400,
  text: JSON.stringify({ message: "no", code }),
});
const failure: Fault = { kind: "status", status: 500 };

describe.concurrent("during a wait", () => {
  test.each([
    ["a failing database", failure, "endpoint_error endpoint_error"],
    ["a statement that takes too long", refusal("57014"), "statement_timeout statement_timeout"],
  ])("%s is ridden out", async (_, fault, logged) => {
    const { proxy, app } = await openDatabase();
    const id = await insertRun();
    const waiting = read(app, id, "wait=20");
    await pause(300);
    await proxy.fail({ ...fault, times: 2 });
    await finish(id);
    const answer = await waiting;
    if (fault === failure) expectFault("recovers_during_wait", answer);
    expect(JSON.parse(answer.body)).toMatchObject({ status: "completed" });
    expect(answer.log["db_faults"]).toBe(logged);
  });

  test.each([
    ["fails", failure],
    ["hangs", { kind: "hang" }],
  ] as const)("a database that %s to the end is a 503, after the attempts of any read", async (_, fault) => {
    const { proxy, app, queries } = await openDatabase({
      DATABASE_ATTEMPT_TIMEOUT_MS: 700,
      REQUEST_TIMEOUT_MS: 1_000,
    });
    const waiting = read(app, await insertRun(), "wait=1");
    await pause(300);
    await proxy.fail(fault);
    const answer = await waiting;
    if (fault === failure) expectFault("fails_to_end_of_wait", answer);
    expect(answer.response.status).toBe(503);
    expect(answer.response.headers.get("preference-applied")).toBeNull();
    expect(answer.milliseconds).toBeLessThan(3_500);
    expect(await queries()).toBe(fault === failure ? 5 : 4);
  });

  test.each([
    ["a refused credential", "28P01"],
    ["a missing table", "42P01"],
  ])("%s ends it at once", async (_, code) => {
    const { proxy, app, queries } = await openDatabase();
    const waiting = read(app, await insertRun(), "wait=20");
    await pause(300);
    await proxy.fail(refusal(code));
    const answer = await waiting;
    expectFault("refuses_during_wait", answer);
    expect(answer.milliseconds).toBeLessThan(5_000);
    expect(await queries()).toBe(2);
  });

  test("a row that breaks the contract is a 500", async () => {
    const { app } = await openDatabase();
    const id = await insertRun();
    const waiting = read(app, id, "wait=1");
    await pause(100);
    await change(id, `crew_config = '{"agents": "none"}'`);
    expect((await waiting).response.status).toBe(500);
  });
});

describe("the cost of a wait", () => {
  afterEach(() => {
    vi.unstubAllGlobals();
  });

  /** Pauses take no time, and are over at the right time. */
  const hurry = () =>
    vi.stubGlobal("scheduler", {
      wait: async (milliseconds: number) => clock.advance(milliseconds / 1_000),
    });

  test.each([
    [1, 3],
    [5, 6],
    [30, 14],
    [60, 24],
  ])("of %i seconds is %i queries", async (seconds, expected) => {
    const { app, queries } = await openDatabase({ MAX_WAIT_SECONDS: 60 });
    const id = await insertRun();
    hurry();
    const { response } = await read(app, id, `wait=${seconds}`);
    expect(response.headers.get("preference-applied")).toBe(`wait=${seconds}`);
    expect(await queries()).toBe(expected);
  });

  test("stays under 30 queries when the run changes all the time, and when first and last read are repeated", async () => {
    const { proxy, app, queries } = await openDatabase({ MAX_WAIT_SECONDS: 60 });
    const id = await insertRun();
    let changes = 0;
    vi.stubGlobal("scheduler", {
      async wait(milliseconds: number) {
        clock.advance(milliseconds / 1_000);
        await change(id, `correlation_id = '${(changes += 1)}'`);
        if (changes === 23) await proxy.fail({ kind: "drop" });
      },
    });
    await proxy.fail({ kind: "drop", times: 2 });
    const { response, log } = await read(app, id, "wait=60");
    expect(response.status).toBe(503);
    expect(log["db_attempts"]).toBe(await queries());
    expect(await queries()).toBeLessThan(30);
  });

  test("is small: the looks leave an unfinished run in the database, and the last one is whole", async () => {
    const { proxy, app } = await openDatabase();
    const id = await insertRun({ status: "running" });
    hurry();
    await read(app, id, "wait=5");
    const areLight = (await proxy.requests()).map(({ body }) => /status::text IN/.test(body));
    expect(areLight).toEqual([false, true, true, true, true, false]);
  });
});

describe("a crowd that waits for one run", () => {
  /** As many waits as there are, `spreadMs` between one and the next; the run ends after six seconds. */
  async function gather(count: number, spreadMs: number, untilChanged: boolean) {
    const { proxy, app, queries } = await openDatabase();
    await proxy.fail({ kind: "delay", milliseconds: 40 });
    const id = await insertRun({ status: "running" });
    const tag = untilChanged ? await readTag(app, id) : null;
    const before = await queries();
    const startedMs = Date.now();
    const ended = pause(6_000).then(() => finish(id));
    const waits = Array.from({ length: count }, async (_, index) => {
      await pause(index * spreadMs);
      return read(app, id, "wait=30", tag);
    });
    const answers = await Promise.all(waits);
    await ended;
    return { answers, tookMs: Date.now() - startedMs, queries: (await queries()) - before };
  }

  test.each([
    ["in the same moment", 0, false],
    ["10 ms apart, with the tag that they hold", 10, true],
  ])(
    "costs its first reads and twice what one client costs, and all hear of the end: %s",
    { timeout: 20_000 },
    async (_, spreadMs, untilChanged) => {
      const { answers, tookMs, queries } = await gather(100, spreadMs, untilChanged);
      for (const { response, body } of answers) {
        expect(response.status).toBe(200);
        expect(JSON.parse(body)).toMatchObject({ status: "completed", result: "done" });
      }
      // One client: a first read and six looks.
      expect(queries).toBeLessThanOrEqual(100 + 2 * 7);
      expect(tookMs).toBeLessThan(6_000 + 3_500);
    },
  );

  test("is seen by whoever may see the run, and by nobody else", async () => {
    const { app } = await openDatabase();
    const id = await insertRun({ status: "running" });
    const admin = readRun(app, id, await fetchToken("admin"), lines, { prefer: "wait=4" });
    const owner = readRun(app, id, await fetchToken("owner"), lines, { prefer: "wait=4" });
    const stranger = await readRun(app, id, await fetchToken("stranger"), lines, { prefer: "wait=4" });
    expect(stranger.response.status).toBe(404);
    await change(id, "owner_id = 'somebody', status = 'completed'");
    expect((await admin).response.status).toBe(200);
    expect((await owner).response.status).toBe(404);
  });

  test("of which one leaves in the middle of its look goes on", async () => {
    const { proxy, app, queries } = await openDatabase();
    const id = await insertRun({ status: "running" });
    await proxy.fail({ kind: "delay", milliseconds: 300 });
    const leaver = new AbortController();
    const headers = { ...bearer(await fetchToken("owner")), prefer: "wait=20" };
    const left = app.fetch(`/api/crew-runs/${id}`, { headers, signal: leaver.signal });
    await pause(100);
    const stayed = read(app, id, "wait=20");
    while ((await queries()) < 3) await pause(20);
    leaver.abort();
    await finish(id);
    expect((await left).status).toBe(499);
    const { response, milliseconds } = await stayed;
    expect(response.status).toBe(200);
    expect(milliseconds).toBeLessThan(4_000);
    const [line] = lines.all().filter((each) => each.includes("client_left"));
    expect(JSON.parse(line ?? "{}")).toMatchObject({ run_id: id, status: 499, code: "client_left" });
  });
});
