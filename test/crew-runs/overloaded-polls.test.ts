// A poll that finds the budget of replies used up doesn't end its wait.
import { expect, test } from "vitest";
import { insertRun, updateRun } from "../support/database.ts";
import { untilReceived } from "../support/fault-proxy-protocol.ts";
import { createReader } from "../support/reader.ts";

/** Two of these leave no room for another large one. */
const LARGE_BYTES = 12_582_900;

test("a wait outlasts a full budget of replies", { timeout: 20_000 }, async () => {
  const { database, read } = await createReader();
  const id = await insertRun({ status: "running" });
  const waiting = read(id, { headers: { prefer: "wait=20" } });
  // Its last poll finds no room, and is repeated.
  const short = read(id, { headers: { prefer: "wait=1" } });
  await untilReceived(database, 2);

  const settings = { DATABASE_ATTEMPT_TIMEOUT_MS: 1_500, REQUEST_TIMEOUT_MS: 1_500 };
  const large = await createReader({ settings, database: { text: " ".repeat(LARGE_BYTES) } });
  await large.database.fail({ kind: "hang-in-body" });
  const hanging = [large.read(), large.restart().read()];
  await untilReceived(large.database, 2);
  await updateRun(id, "status = 'completed', result = repeat('x', 100000)");

  const { status, log } = await waiting;
  expect(status).toBe(200);
  expect(log["db_faults"]).toContain("overloaded");
  expect((await short).status).toBe(200);
  for (const result of await Promise.all(hanging)) expect(result.status).toBe(503);
});
