// Many at once: every answer is right, and belongs to who asked.
import { expect, inject, test } from "vitest";
import { type User, fetchToken } from "../issuer.ts";
import { openLane } from "../lane.ts";
import { insertRun } from "../rows.ts";
import { startWorker } from "../worker.ts";
import { catchLines } from "./log-lines.ts";
import { readRun } from "./reader.ts";

const lines = catchLines();
const users: readonly User[] = ["owner", "stranger", "admin"];

test("200 requests at once against a slow database are all answered right, on a cold isolate", async () => {
  const lane = await openLane(inject("stack").variables.NEON_FETCH_ENDPOINT);
  const worker = startWorker({ NEON_FETCH_ENDPOINT: lane.url, DATABASE_ATTEMPT_TIMEOUT_MS: 9_000 });
  const owners = ["owner", "stranger"] as const;
  const runs = await Promise.all(
    Array.from({ length: 20 }, async (_, index) => {
      const owner = owners[index % 2] ?? "owner";
      return { owner, id: await insertRun({ owner_id: owner, status: index % 3 === 0 ? "completed" : "running" }) };
    }),
  );
  await lane.fail({ kind: "delay", milliseconds: 500 });
  const startedMs = performance.now();
  await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const run = runs[index % runs.length];
      const user = users[index % users.length] ?? "owner";
      if (run === undefined) throw new Error("no run");
      const { response, body } = await readRun(worker, run.id, await fetchToken(user), lines);
      const mayRead = user === "admin" || user === run.owner;
      expect(response.status).toBe(mayRead ? 200 : 404);
      expect(JSON.parse(body)).toMatchObject(mayRead ? { id: run.id, owner_id: run.owner } : { code: "run_not_found" });
    }),
  );
  expect(performance.now() - startedMs).toBeLessThan(12_000);
  // A finished run that was read meanwhile costs the next reader no query.
  expect((await lane.counters()).received).toBeLessThanOrEqual(200);
}, 20_000);
