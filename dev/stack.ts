// Everything the Worker needs around it, on the loopback interface: database, SQL over HTTP, authorization server.
// Guarantees that a start that fails leaves nothing running. `npm run dev` and the tests start this very stack.
import { randomUUID } from "node:crypto";
import { type AuthorizationServer, startAuthorizationServer } from "./authorization-server.ts";
import { type Database, ownerRole, readerRole, startDatabase } from "./database.ts";
import { seedRuns } from "./seed.ts";
import { type SqlEndpoint, startSqlEndpoint } from "./sql-over-http.ts";

/** The same as in wrangler.toml. */
export const audience = "https://api.example.com";

/** A native client's address: whichever port it listens on (RFC 8252 §7.3). */
export const nativeRedirectUri = "http://127.0.0.1/callback";

export interface StackOptions {
  /** Free ports where left out. */
  ports?: { sql?: number; authorizationServer?: number };
  /** A folder that keeps the database; in memory if left out. */
  dataDirectory?: string;
  /** Whether to insert the runs of seed.ts. */
  seed?: boolean;
  /** Where a browser client may return to, besides a native client's address. */
  extraRedirectUris?: readonly string[];
}

export interface Stack {
  database: Database;
  sql: SqlEndpoint;
  authorizationServer: AuthorizationServer;
  /** The Worker's settings, by the name of the variable. */
  variables: {
    DATABASE_URL: string;
    NEON_FETCH_ENDPOINT: string;
    JWT_ISSUER: string;
    JWT_AUDIENCE: string;
    JWKS_URL: string;
  };
  /** What DATABASE_URL would be for a writer: the owner of the table. */
  ownerDatabaseUrl: string;
  close(): Promise<void>;
}

/**
 * Starts the stack.
 *
 * @throws what the part that failed to start has thrown, for example EADDRINUSE for a port that is taken
 */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const { ports = {}, dataDirectory, seed = false, extraRedirectUris = [] } = options;
  const closers: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const closeOne of closers.splice(0).toReversed()) {
      await closeOne();
    }
  };

  async function startStore(): Promise<{ database: Database; sql: SqlEndpoint }> {
    const database = await startDatabase(dataDirectory === undefined ? {} : { dataDirectory });
    closers.push(() => database.close());
    if (seed) {
      await seedRuns(database);
    }
    const sql = await startSqlEndpoint(database, {
      ...(ports.sql !== undefined && { port: ports.sql }),
      passwords: { [readerRole]: randomUUID(), [ownerRole]: randomUUID() },
    });
    closers.push(() => sql.close());
    return { database, sql };
  }

  async function startIssuer(): Promise<AuthorizationServer> {
    const server = await startAuthorizationServer({
      ...(ports.authorizationServer !== undefined && { port: ports.authorizationServer }),
      audience,
      redirectUris: [nativeRedirectUri, ...extraRedirectUris],
    });
    closers.push(() => server.close());
    return server;
  }

  const starting = [startStore(), startIssuer()] as const;
  const [{ database, sql }, authorizationServer] = await Promise.all(starting).catch(async (error: unknown) => {
    await Promise.allSettled(starting);
    await close();
    throw error;
  });
  return {
    database,
    sql,
    authorizationServer,
    variables: {
      DATABASE_URL: sql.databaseUrl(readerRole),
      NEON_FETCH_ENDPOINT: sql.url,
      JWT_ISSUER: authorizationServer.issuer,
      JWT_AUDIENCE: audience,
      JWKS_URL: authorizationServer.jwksUrl,
    },
    ownerDatabaseUrl: sql.databaseUrl(ownerRole),
    close,
  };
}
