// What `npm run dev` prints once all is up: addresses, runs, and lines for pasting into another terminal. Nothing is wrapped.
// Each line leaves the response's body on standard output byte for byte, and prints status and time on standard error.
import { EXAMPLE_ROWS, SEEDED_RUNS } from "./seeded-runs.ts";
import type { LocalStack } from "./local-stack.ts";

/** The run that a pasted line finishes, so that a wait can be seen to succeed. */
const PENDING_ID = EXAMPLE_ROWS.pending.id;
const FINISH = {
  query:
    "update crew_runs set status = 'completed', result = $1, started_at = now(), completed_at = now() where id = $2",
  params: ["# Finished\n\nBy a pasted line.", PENDING_ID],
};

export async function formatPanel(localStack: LocalStack, dataDirectory: string | undefined): Promise<string> {
  const { url, authorizationServer, sql, ownerDatabaseUrl } = localStack;
  const foreign = SEEDED_RUNS.find(({ ownerId }) => ownerId === "stranger");
  const readRun = async (id: string | undefined, user: "owner" | "stranger" | "admin", option = "") =>
    curl(
      `${url}/api/crew-runs/${id}${option} -H 'Authorization: Bearer ${await authorizationServer.fetchToken(user)}'`,
    );
  const newTokens = Object.values(authorizationServer.clients).map(({ id, secret }) =>
    curl(`${authorizationServer.tokenEndpoint} -u ${id}:${secret} -d grant_type=client_credentials`),
  );
  // JSON may write a quotation mark as an escape, but the shell can't.
  const finish = JSON.stringify(FINISH).replaceAll("'", String.raw`\u0027`);
  return `
Worker                ${url}
Documentation         ${url}/docs
Authorization server  ${authorizationServer.issuer}
SQL over HTTP         ${sql.url}
Database              ${dataDirectory ?? "in memory"}

Runs
${SEEDED_RUNS.map(({ id, ownerId, description }) => `${id}  ${ownerId.padEnd(8)}  ${description}`).join("\n")}

Read a run as its owner:
${await readRun(EXAMPLE_ROWS.completed.id, "owner")}

Get a 404 for it as a stranger:
${await readRun(EXAMPLE_ROWS.completed.id, "stranger")}

Read the stranger's run as an admin:
${await readRun(foreign?.id, "admin")}

Wait for the pending run as its owner, 30 seconds at most:
${await readRun(PENDING_ID, "owner", " -H 'Prefer: wait=30'")}

Finish it meanwhile as the table's owner, in a third terminal:
${curl(`${sql.url} -H 'Neon-Connection-String: ${ownerDatabaseUrl}' -d '${finish}'`)}

A token lasts an hour. New tokens for owner, stranger and admin:
${newTokens.join("\n")}
`;
}

function curl(request: string): string {
  const report = String.raw`%{stderr}\n%{http_code}, %{time_total} s\n`;
  return `curl -sS -w '${report}' ${request} || echo 'No response: is npm run dev still running?' >&2`;
}
