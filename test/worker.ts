// The Worker under test: an application with a state of its own, on the stack's settings unless a test says otherwise.
import { createExecutionContext, waitOnExecutionContext } from "cloudflare:test";
import { inject } from "vitest";
import { createApp } from "../src/app.ts";

export interface Worker {
  /** `path` is resolved against https://api.test, byte for byte as the URL parser leaves it. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
  /** Waits for what the requests so far left to be finished later. */
  settle(): Promise<void>;
}

/** Starts an isolate of its own, so to speak. A variable that is undefined is left out. */
export function startWorker(variables: Record<string, unknown> = {}): Worker {
  const app = createApp();
  const all = { ...inject("stack").variables, ...variables };
  const environment = Object.fromEntries(Object.entries(routeDatabase(all)).filter(([, value]) => value !== undefined));
  const contexts: ExecutionContext[] = [];
  return {
    async fetch(path, init) {
      const context = createExecutionContext();
      contexts.push(context);
      return app.fetch(new Request(`https://api.test${path}`, init), environment, context);
    },
    async settle() {
      for (const context of contexts.splice(0)) await waitOnExecutionContext(context);
    },
  };
}

/**
 * Neon's driver has one endpoint for the whole isolate, and all Workers of a test file are in one: their endpoint is the
 * same, and the host in the connection string tells it which lane to take.
 */
function routeDatabase(variables: Record<string, unknown>): Record<string, unknown> {
  const { DATABASE_URL, NEON_FETCH_ENDPOINT } = variables;
  const url = URL.parse(String(DATABASE_URL));
  const { unreliableUpstream } = inject("stack");
  if (url === null || !isLocal(NEON_FETCH_ENDPOINT)) return variables;
  const lane = /\/lane\/(\d+)/.exec(String(NEON_FETCH_ENDPOINT))?.[1];
  if (lane !== undefined) url.hostname = `lane-${lane}.localhost`;
  return { ...variables, DATABASE_URL: url.href, NEON_FETCH_ENDPOINT: `${unreliableUpstream}/sql` };
}

const isLocal = (endpoint: unknown) => URL.parse(String(endpoint))?.hostname === "127.0.0.1";

/** A request's headers with this token. */
export const bearer = (token: string): { authorization: string } => ({ authorization: `Bearer ${token}` });
