// The Worker under test, inside the isolate of its test file: an app with separate state, on the local stack's settings.
import { inject } from "vitest";
import { createApp } from "../../src/app.ts";
import { nameProxy } from "./counted-fetches.ts";

export interface TestApp {
  /** `path` is resolved against the origin, https://api.test by default, byte for byte as the URL parser leaves it. */
  fetch(path: string, init?: RequestInit, origin?: string): Promise<Response>;
  /** Waits for what the requests so far left to be finished later. */
  settle(): Promise<void>;
}

/** `variables` are added to the local stack's settings or replace them; one that is undefined is left out. */
export function createTestApp(variables: Record<string, unknown> = {}): TestApp {
  const all = { ...inject("localStack").variables, ...variables };
  const environment = Object.fromEntries(Object.entries(nameProxy(all)).filter(([, value]) => value !== undefined));
  const unfinished = new Set<Promise<unknown>>();
  const app = createApp(environment, (work) => {
    unfinished.add(work);
    void work.finally(() => unfinished.delete(work));
  });
  return {
    fetch: async (path, init, origin = "https://api.test") => app.fetch(new Request(`${origin}${path}`, init)),
    async settle() {
      while (unfinished.size > 0) await Promise.all(unfinished);
    },
  };
}

/** A request's headers with this token. */
export const bearer = (token: string): { authorization: string } => ({ authorization: `Bearer ${token}` });
