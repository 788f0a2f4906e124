// A poll that finds the budget of replies used up doesn't end its wait.
import { expect, test } from "vitest";
import { insertRun, updateRun } from "../support/database.ts";
import { openDatabaseProxy, openFaultProxy } from "../support/fault-proxy.ts";
import { fetchToken } from "../support/issuer.ts";
import { catchLines } from "../support/log-lines.ts";
import { readRun } from "../support/read-run.ts";
import { createTestApp } from "../support/test-app.ts";

const lines = catchLines();
/** Two of these leave no room for another large one. */
const LARGE_BYTES = 12_582_900;

test("a wait outlasts a full budget of replies", { timeout: 20_000 }, async () => {
  const token = await fetchToken("owner");
  const database = await openDatabaseProxy();
  const app = createTestApp({ NEON_FETCH_ENDPOINT: database.url });
  const id = await insertRun({ status: "running" });
  const waiting = readRun(app, id, token, lines, { prefer: "wait=20" });
  // Its last poll finds no room, and is repeated.
  const short = readRun(app, id, token, lines, { prefer: "wait=1" });
  while ((await database.received()) < 2) await scheduler.wait(10);

  const large = await openFaultProxy({ text: " ".repeat(LARGE_BYTES) });
  await large.fail({ kind: "hang-in-body" });
  const settings = { NEON_FETCH_ENDPOINT: large.url, DATABASE_ATTEMPT_TIMEOUT_MS: 1_500, REQUEST_TIMEOUT_MS: 1_500 };
  const hanging = [0, 1].map(() => readRun(createTestApp(settings), id, token, lines));
  while ((await large.received()) < 2) await scheduler.wait(10);
  await updateRun(id, "status = 'completed', result = repeat('x', 100000)");

  const { response, log } = await waiting;
  expect(response.status).toBe(200);
  expect(log["db_faults"]).toContain("overloaded");
  expect((await short).response.status).toBe(200);
  for (const each of await Promise.all(hanging)) expect(each.response.status).toBe(503);
});
