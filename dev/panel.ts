// What `npm run dev` prints once all is up: addresses, runs, and lines to paste into other terminals. Nothing is wrapped.
import { OWNER_ROLE } from "./database.ts";
import type { LocalStack } from "./local-stack.ts";
import { EXAMPLE_ROWS, SEEDED_RUNS } from "./seeded-runs.ts";

/** The run that a pasted line finishes, so that a wait can be seen to succeed. */
const PENDING_ID = EXAMPLE_ROWS.pending.id;
const FINISH = {
  query:
    "update crew_runs set status = 'completed', result = $1, started_at = now(), completed_at = now() where id = $2",
  params: ["# Finished\n\nBy a pasted line.", PENDING_ID],
};

export async function formatPanel(localStack: LocalStack, dataDirectory: string | undefined): Promise<string> {
  const { url, authorizationServer, sql, ownerDatabaseUrl } = localStack;
  const { tokenEndpoint, clients } = authorizationServer;
  const newTokens = Object.values(clients).map(
    ({ id, secret }) =>
      String.raw`export TOKEN=$(curl -s ${tokenEndpoint} -u ${id}:${secret} -d grant_type=client_credentials | sed 's/.*"access_token":"\([^"]*\)".*/\1/')`,
  );
  // JSON may write a quotation mark as an escape, but the shell can't.
  const finish = JSON.stringify(FINISH).replaceAll("'", String.raw`\u0027`);
  return `
Worker         ${url}
Documentation  ${url}/docs
Issuer         ${authorizationServer.issuer}
SQL over HTTP  ${sql.url}
Database       ${dataDirectory ?? "in memory"}

Runs
${SEEDED_RUNS.map(({ id, ownerId, description }) => `${id}  ${ownerId.padEnd(8)}  ${description}`).join("\n")}

Paste these two lines into another terminal, then read the first run as its owner:
export URL=${url}/api/crew-runs/${EXAMPLE_ROWS.completed.id}
export TOKEN=${await authorizationServer.fetchToken("owner")}

curl "$URL" -H "Authorization: Bearer $TOKEN"

Wait for the pending run, 30 seconds at most:
curl "\${URL%/*}/${PENDING_ID}" -H "Authorization: Bearer $TOKEN" -H "Prefer: wait=30"

Finish it meanwhile, in a third terminal:
curl ${sql.url} -u ${OWNER_ROLE}:${new URL(ownerDatabaseUrl).password} -d '${finish}'

Be the owner again (a token lasts an hour), the stranger or the admin:
${newTokens.join("\n")}

The Python module writes to a PostgreSQL server, which this database isn't: start one, for example by
docker run --rm -p 5432:5432 -e POSTGRES_PASSWORD=local postgres:17, apply schema.sql, and follow docs/writing-runs.md.
`;
}
