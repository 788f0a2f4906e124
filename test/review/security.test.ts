// What a hostile reader of the source tried, where the attempt is worth keeping.
import { describe, expect, inject, test, vi } from "vitest";
import { createApp } from "../../src/app.ts";
import { readWaitSeconds } from "../../src/crew-runs/conditional.ts";
import { fetchToken } from "../issuer.ts";
import { openLane } from "../lane.ts";
import { connectAsOwner, insertRun } from "../rows.ts";
import { bearer, startWorker } from "../worker.ts";

const change = (id: string, assignments: string) =>
  connectAsOwner().query(`update crew_runs set ${assignments} where id = $1`, [id]);

async function openDatabase(variables: Record<string, string | number> = {}) {
  const lane = await openLane(inject("stack").variables.NEON_FETCH_ENDPOINT);
  const worker = startWorker({ NEON_FETCH_ENDPOINT: lane.url, ...variables });
  return { lane, worker, queries: async () => (await lane.counters()).received };
}

/** All of an answer that a client can compare, without what differs from request to request. */
async function describeAnswer(response: Response) {
  const headers = [...response.headers].filter(([name]) => !["x-request-id", "server-timing"].includes(name));
  const body = (await response.text()).replace(/"request_id":"[^"]*"/, "");
  return { status: response.status, headers, body };
}

describe("a Prefer header costs time in proportion to its length", () => {
  const blanks = " ".repeat(24_000);
  test.each([
    ["blanks after a name", `a${blanks}x y`],
    ["blanks after an equals sign", `wait=${blanks}x y`],
    ["blanks before a semicolon", `wait${blanks};${blanks}, wait=5`],
    ["quotes", `wait=${'"'.repeat(24_000)}`],
    ["commas", ",".repeat(24_000)],
  ])("%s", (_, prefer) => {
    const startedMs = performance.now();
    readWaitSeconds(prefer);
    expect(performance.now() - startedMs).toBeLessThan(100);
  });
});

describe("a run of somebody else, remembered or not, is no run at all", () => {
  const asks: [string, string, Record<string, string>][] = [
    ["plainly", "GET", {}],
    ["with HEAD", "HEAD", {}],
    ["with its very tag", "GET", { "if-none-match": "TAG" }],
    ["with any tag", "GET", { "if-none-match": "*" }],
    ["with its weak tag and a wait", "GET", { "if-none-match": "W/TAG", prefer: "wait=5" }],
    ["with a wait", "GET", { prefer: "wait=5" }],
    ["with a range", "GET", { range: "bytes=0-1" }],
  ];
  test.each(asks)("asked for %s", async (_, method, given) => {
    const { worker, queries } = await openDatabase();
    const match = vi.spyOn(Cache.prototype, "match");
    const [owner, stranger] = await Promise.all([fetchToken("owner"), fetchToken("stranger")]);
    for (const status of ["running", "completed"] as const) {
      const id = await insertRun({ status, started_at: "2026-03-01T10:00:00Z", created_at: "2026-03-01T10:00:00Z" });
      const own = await worker.fetch(`/api/crew-runs/${id}`, { headers: bearer(owner) });
      const tag = own.headers.get("etag") ?? "";
      expect(tag).not.toBe("");
      await worker.settle();
      const headers = Object.fromEntries(
        Object.entries(given).map(([name, value]) => [name, value.replace("TAG", tag)]),
      );
      const ask = async (target: string) => {
        match.mockClear();
        const before = await queries();
        const response = await worker.fetch(`/api/crew-runs/${target}`, {
          method,
          headers: { ...headers, ...bearer(stranger) },
        });
        const answer = await describeAnswer(response);
        const lookUps = match.mock.calls.filter(([key]) => String(key).includes(target)).length;
        return { ...answer, queries: (await queries()) - before, lookUps };
      };
      const theirs = await ask(id);
      expect(theirs).toEqual(await ask(crypto.randomUUID()));
      expect(theirs).toMatchObject({ status: 404, queries: 1 });
    }
    match.mockRestore();
  });
});

test("an unfinished run that changed hands is shown to neither by an old tag, an old memory or a wait", async () => {
  const { worker } = await openDatabase();
  const id = await insertRun();
  const headers = bearer(await fetchToken("owner"));
  const first = await worker.fetch(`/api/crew-runs/${id}`, { headers });
  const tag = first.headers.get("etag") ?? "";
  const waiting = worker.fetch(`/api/crew-runs/${id}`, { headers: { ...headers, prefer: "wait=1" } });
  await scheduler.wait(200);
  await change(id, "owner_id = 'stranger'");
  expect((await waiting).status).toBe(404);
  expect((await worker.fetch(`/api/crew-runs/${id}`, { headers: { ...headers, "if-none-match": tag } })).status).toBe(
    404,
  );
  const theirs = await worker.fetch(`/api/crew-runs/${id}`, {
    headers: { ...bearer(await fetchToken("stranger")), "if-none-match": tag },
  });
  expect(theirs.status).toBe(200);
  expect(await theirs.json()).toMatchObject({ id, owner_id: "stranger" });
});

test("a tag of another's making never yields an answer without a body", async () => {
  const { worker } = await openDatabase();
  const id = await insertRun();
  const headers = bearer(await fetchToken("owner"));
  const tag = (await worker.fetch(`/api/crew-runs/${id}`, { headers })).headers.get("etag") ?? "";
  const version = tag.slice(3, -1);
  const others = [version, `"${version}"`, `"2-${version}"`, `"1-${version.toUpperCase()}"`, `1-${version}`];
  for (const given of [...others, `${tag.slice(0, -1)} "`, `w/${tag.slice(1)}`, `"", "1-${version}x"`]) {
    // A new isolate each: the tag that is pushed down is the client's.
    const fresh = await openDatabase();
    const answer = await fresh.worker.fetch(`/api/crew-runs/${id}`, {
      headers: { ...headers, "if-none-match": given },
    });
    expect([given, answer.status]).toEqual([given, 200]);
    expect(await answer.json()).toMatchObject({ id });
  }
});

test("a slow read does not put an older state of a finished run over a newer one", async () => {
  const { lane, worker } = await openDatabase();
  const id = await insertRun({ status: "completed", result: "first", created_at: "2026-03-01T10:00:00Z" });
  const [owner, admin] = await Promise.all([fetchToken("owner"), fetchToken("admin")]);
  const read = (token: string) => worker.fetch(`/api/crew-runs/${id}`, { headers: bearer(token) });
  // The database has answered the first reader; the answer crawls. Meanwhile the run is corrected, and somebody sees it.
  await worker.fetch(`/api/crew-runs/${crypto.randomUUID()}`, { headers: bearer(owner) });
  await lane.fail({ kind: "trickle", bytes: 40, intervalMs: 60, times: 1 });
  const slow = read(owner);
  await scheduler.wait(400);
  await change(id, "result = 'corrected'");
  expect(await (await read(admin)).json()).toMatchObject({ result: "corrected" });
  expect(await (await slow).json()).toMatchObject({ result: "first" });
  expect(await (await read(admin)).json()).toMatchObject({ result: "corrected" });
  await worker.settle();
});

test("an answer from memory bears no header of the request before it", async () => {
  const worker = startWorker({ CORS_ORIGINS: "https://a.test https://b.test" });
  const id = await insertRun({ status: "completed" });
  const headers = bearer(await fetchToken("owner"));
  await worker.fetch(`/api/crew-runs/${id}`, { headers });
  for (const origin of ["https://a.test", "https://b.test", "https://evil.test"]) {
    const answer = await worker.fetch(`/api/crew-runs/${id}`, {
      headers: { ...headers, origin, "x-request-id": origin.slice(8) },
    });
    expect(answer.headers.get("cache-status")).toContain("hit");
    expect(answer.headers.get("vary")).toBe("Origin, Authorization");
    expect(answer.headers.get("access-control-allow-origin")).toBe(origin.includes("evil") ? null : origin);
    expect(answer.headers.get("x-request-id")).toBe(origin.slice(8));
  }
});

test("a check of readiness goes on when the client that began it leaves", async () => {
  const { lane } = await openDatabase();
  await lane.fail({ kind: "delay", milliseconds: 300 });
  const variables = { ...inject("stack").variables, NEON_FETCH_ENDPOINT: lane.url };
  const waitUntil = vi.fn();
  // What is not handed to the context ends with its client: all who ask next would wait 9.5 s for nothing.
  const context = { waitUntil, passThroughOnException() {}, props: {} } as unknown as ExecutionContext;
  const answer = createApp().fetch(new Request("https://api.test/ready"), variables, context);
  await scheduler.wait(200);
  const handedOver = waitUntil.mock.calls.map(([work]) =>
    Promise.race([work, scheduler.wait(20).then(() => "on its way")]),
  );
  expect(await Promise.all(handedOver)).toContain("on its way");
  expect((await answer).status).toBe(200);
});
