// Where a run comes from. For a stranger, another user's run is the same response and the same work as a missing run.
import { expect, test, vi } from "vitest";
import { catchLines } from "../support/log-lines.ts";
import { readRun } from "../support/read-run.ts";
import { type TestApp, createTestApp } from "../support/test-app.ts";
import { insertRun } from "../support/database.ts";
import { openDatabaseProxy } from "../support/fault-proxy.ts";
import { type User, fetchToken } from "../support/issuer.ts";

const lines = catchLines();

/** A database on a proxy, and what a read costs: its status, its body but for the request's id, queries and look-ups. */
async function openDatabase() {
  const proxy = await openDatabaseProxy();
  const received = async () => await proxy.received();
  return {
    proxy,
    start: () => createTestApp({ NEON_FETCH_ENDPOINT: proxy.url }),
    async weigh(app: TestApp, id: string, user: User) {
      const token = await fetchToken(user);
      const before = await received();
      const match = vi.spyOn(Cache.prototype, "match");
      const put = vi.spyOn(Cache.prototype, "put");
      const { response, body, log } = await readRun(app, id, token, lines);
      await app.settle();
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

test("a finished run: first the memory cache, then the data-center cache, for admins as well, then the database", async () => {
  const { start, weigh } = await openDatabase();
  const app = start();
  const id = await insertRun({ status: "completed" });
  expect(await weigh(app, id, "owner")).toMatchObject({ status: 200, lookUps: 1, queries: 1, puts: 2 });
  expect(await weigh(app, id, "owner")).toMatchObject({ status: 200, lookUps: 0, queries: 0, puts: 0 });
  for (const user of ["owner", "admin"] as const) {
    const cold = start();
    expect(await weigh(cold, id, user)).toMatchObject({ status: 200, lookUps: 1, queries: 0, puts: 0 });
    expect(await weigh(cold, id, user)).toMatchObject({ status: 200, lookUps: 0, queries: 0, puts: 0 });
  }
});

test("an unfinished run: the database each time, and the data-center cache once", async () => {
  const { start, weigh } = await openDatabase();
  const app = start();
  const id = await insertRun({ status: "running" });
  expect(await weigh(app, id, "owner")).toMatchObject({ status: 200, lookUps: 1, queries: 1, puts: 0 });
  expect(await weigh(app, id, "owner")).toMatchObject({ status: 200, lookUps: 0, queries: 1, puts: 0 });
});

test.each(["completed", "running"] as const)(
  "a stranger's read of a %s run is the same work as one of a missing run, also while the database is down",
  async (status) => {
    const { proxy, start, weigh } = await openDatabase();
    const app = start();
    const [known, missing] = [await insertRun({ status }), crypto.randomUUID()];
    expect(await weigh(app, known, "owner")).toMatchObject({ status: 200 });
    for (const isolate of [app, app, start()]) {
      const foreign = await weigh(isolate, known, "stranger");
      expect(foreign).toMatchObject({ status: 404, queries: 1, puts: 0 });
      expect(foreign).toEqual(await weigh(isolate, missing, "stranger"));
    }
    await proxy.fail({ kind: "drop" });
    const foreign = await weigh(app, known, "stranger");
    expect(foreign).toMatchObject({ status: 503, queries: 3 });
    expect(foreign).toEqual(await weigh(app, missing, "stranger"));
    const isKept = status === "completed";
    expect(await weigh(app, known, "owner")).toMatchObject({ status: isKept ? 200 : 503, queries: isKept ? 0 : 3 });
  },
);
