// What global setup hands to the tests, and how they ask for it: `inject("stack")`. Types only.
import type {} from "vitest";

export interface StackAddresses {
  /** The Worker's settings; the Worker under test has them as its environment. */
  variables: {
    DATABASE_URL: string;
    NEON_FETCH_ENDPOINT: string;
    JWT_ISSUER: string;
    JWT_AUDIENCE: string;
    JWKS_URL: string;
  };
  /** A connection string of the role that owns the table: it may write. */
  ownerDatabaseUrl: string;
  tokenEndpoint: string;
  /** For the client credentials grant. */
  clients: Record<"owner" | "stranger" | "admin", { id: string; secret: string }>;
  /** Where lanes are opened. */
  unreliableUpstream: string;
}

declare module "vitest" {
  interface ProvidedContext {
    stack: StackAddresses;
    /** How many histories a test of test/histories/ plays. */
    histories: number;
  }
}
