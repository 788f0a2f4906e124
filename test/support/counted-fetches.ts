// Counts what the Worker under test sends to each upstream, and sends queries through the fault proxy of its test app.
import { inject } from "vitest";

const counts = new Map<string, number>();
const send = globalThis.fetch;

/** Counts from now on. */
export function countAllFetches(): void {
  globalThis.fetch = async (input, init) => {
    const proxy = readProxy(new Headers(init?.headers).get("neon-connection-string") ?? "");
    const url = proxy === undefined ? String(input) : `${inject("localStack").faultProxyServer}/proxy/${proxy}`;
    counts.set(url, countFetches(url) + 1);
    return send(proxy === undefined ? input : url, init);
  };
}

/** How many requests have been sent to this address in this isolate. */
export const countFetches = (url: string): number => counts.get(url) ?? 0;

/**
 * Neon's driver has one endpoint per isolate, and many test apps are in one. So that is the local stack's for all of them, and the
 * host of the connection string names the fault proxy to go through.
 */
export function nameProxy(variables: Record<string, unknown>): Record<string, unknown> {
  const { DATABASE_URL, NEON_FETCH_ENDPOINT } = variables;
  const url = URL.parse(String(DATABASE_URL));
  const proxy = /\/proxy\/(.+)/.exec(String(NEON_FETCH_ENDPOINT))?.[1];
  if (url === null || proxy === undefined) return variables;
  url.hostname = `${proxy}.proxy`;
  return {
    ...variables,
    DATABASE_URL: url.href,
    NEON_FETCH_ENDPOINT: inject("localStack").variables.NEON_FETCH_ENDPOINT,
  };
}

const readProxy = (databaseUrl: string) => /@(.+)\.proxy\//.exec(databaseUrl)?.[1];
