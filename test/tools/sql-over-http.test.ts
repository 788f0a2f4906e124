// The local SQL endpoint through the real driver: one connection to PGlite serves all sessions, and none notices another.
// Errors are left to the Worker's tests, passwords and rights to the doctor's.
import { neon, neonConfig } from "@neondatabase/serverless";
import { expect, onTestFinished, test } from "vitest";
import { startUpstreams } from "../../dev/local-stack.ts";

test("a session leaves nothing to the next one", async () => {
  const { variables, ownerDatabaseUrl, close } = await startUpstreams();
  onTestFinished(close);
  neonConfig.fetchEndpoint = variables.NEON_FETCH_ENDPOINT;
  const [owner, reader] = [neon(ownerDatabaseUrl), neon(variables.DATABASE_URL)];
  await owner`set statement_timeout = '7s'`;
  await owner`create temporary table left_behind (a int)`;
  await owner`begin`;
  await reader`reset session authorization`;
  const look = `select current_user as role, current_setting('statement_timeout') as timeout, to_regclass('left_behind') as left`;
  expect(await owner.query(look)).toEqual([{ role: "crew_runs_owner", timeout: "0", left: null }]);
  expect(await reader.query(look)).toEqual([{ role: "crew_runs_reader", timeout: "3s", left: null }]);
});
