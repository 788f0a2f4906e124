import { expect, test } from "vitest";
import { controlClock } from "./support/clock.ts";
import { catchLines } from "./support/log-lines.ts";
import { readRun } from "./support/read-run.ts";
import { createTestApp } from "./support/test-app.ts";
import { fetchToken } from "./support/issuer.ts";
const lines = catchLines();
const clock = controlClock();
test("x", async () => {
  clock.simulate();
  const r = await readRun(createTestApp(), crypto.randomUUID(), await fetchToken("owner"), lines);
  expect(r.log).toEqual({});
});
