// The Worker's surroundings on the loopback interface: database, SQL over HTTP, authorization server.
// Guarantees that a failed start leaves nothing running. `npm run dev` and the tests start the same stack.
import { randomUUID } from "node:crypto";
import { SettingsSchema } from "../src/settings.ts";
import { type AuthorizationServer, startAuthorizationServer } from "./authorization-server.ts";
import { type Database, OWNER_ROLE, READER_ROLE, startDatabase } from "./database.ts";
import { seedRuns } from "./seed.ts";
import { type SqlEndpoint, startSqlEndpoint } from "./sql-over-http.ts";

interface StackOptions {
  /** The audience of every access token. The Worker's address, if strict clients are to discover the issuer (RFC 9728). */
  audience?: string;
  /** Free ports if left out or 0. */
  ports?: { sql: number; authorizationServer: number } | undefined;
  /** A folder for the database; in memory if left out. */
  dataDirectory?: string | undefined;
  /** Whether to insert the runs of seed.ts. */
  seed?: boolean;
}

export interface Stack {
  database: Database;
  sql: SqlEndpoint;
  authorizationServer: AuthorizationServer;
  /** The Worker's settings, all of them: the others are empty and have their defaults, whatever wrangler.toml contains. */
  variables: Record<"DATABASE_URL" | "NEON_FETCH_ENDPOINT" | "JWT_ISSUER" | "JWT_AUDIENCE" | "JWKS_URL", string>;
  /** The connection string of the table's owner, who may write. */
  ownerDatabaseUrl: string;
  close(): Promise<void>;
}

/** Starts the stack; throws the error of the part that failed, such as EADDRINUSE for a taken port. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const { audience = "https://api.example.com", ports, dataDirectory, seed = false } = options;
  const started: { close(): Promise<void> }[] = [];
  const close = async () => {
    for (const part of started.splice(0).toReversed()) await part.close();
  };
  try {
    const authorizationServer = await startAuthorizationServer(ports?.authorizationServer ?? 0, audience);
    started.push(authorizationServer);
    const database = await startDatabase(dataDirectory);
    started.push(database);
    if (seed) await seedRuns(database);
    const passwords = { [READER_ROLE]: randomUUID(), [OWNER_ROLE]: randomUUID() };
    const sql = await startSqlEndpoint(database, { port: ports?.sql ?? 0, passwords });
    started.push(sql);
    const variables = {
      ...Object.fromEntries(Object.keys(SettingsSchema.shape).map((name) => [name, ""])),
      DATABASE_URL: sql.databaseUrl(READER_ROLE),
      NEON_FETCH_ENDPOINT: sql.url,
      JWT_ISSUER: authorizationServer.issuer,
      JWT_AUDIENCE: audience,
      JWKS_URL: authorizationServer.jwksUrl,
    };
    return { database, sql, authorizationServer, variables, ownerDatabaseUrl: sql.databaseUrl(OWNER_ROLE), close };
  } catch (error) {
    await close();
    throw error;
  }
}
