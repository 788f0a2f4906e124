// What global setup hands to the Worker's tests: `inject("localStack")`. Types only.
import type {} from "vitest";

export interface LocalStackAddresses {
  /** The Worker's settings; the Worker under test has them as its environment. */
  variables: Record<"DATABASE_URL" | "NEON_FETCH_ENDPOINT" | "JWT_ISSUER" | "JWT_AUDIENCE" | "JWKS_URL", string>;
  /** A connection string of the role that owns the table: it may write. */
  ownerDatabaseUrl: string;
  /** The server that fault proxies are opened at. */
  faultProxyServer: string;
}

declare module "vitest" {
  interface ProvidedContext {
    localStack: LocalStackAddresses;
    /** How many histories a test of test/histories/ plays. */
    histories: number;
  }
}
