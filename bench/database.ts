// The database's process: real Postgres semantics (PGlite) behind the local stack's SQL over HTTP, with the
// benchmark's runs in it. The canned endpoint learns its replies here; the second part measures against it.

import { randomUUID } from "node:crypto";
import { readerRole, startDatabase } from "../dev/database.ts";
import { startSqlEndpoint } from "../dev/sql-over-http.ts";
import { answerCalls } from "./processes.ts";
import { insertRuns } from "./runs.ts";

export type DatabaseCall = "start";
export type DatabaseReply = { endpoint: string; databaseUrl: string };

answerCalls<DatabaseCall, DatabaseReply>(async () => {
  const database = await startDatabase();
  await insertRuns(database);
  const sql = await startSqlEndpoint(database, { passwords: { [readerRole]: randomUUID() } });
  return { endpoint: sql.url, databaseUrl: sql.databaseUrl(readerRole) };
});
