// A client of the Worker under test: reads runs, and keeps of each answer what a test may ask about.
import { expect } from "vitest";
import { type TestApp, bearer } from "./test-app.ts";
import type { CaughtLines } from "./log-lines.ts";

export interface ReadRun {
  response: Response;
  body: string;
  /** The request's log line. */
  log: Record<string, unknown>;
  milliseconds: number;
}

/** Reads a run and its one log line. */
export async function readRun(
  app: TestApp,
  id: string,
  token: string,
  lines: CaughtLines,
  headers: Record<string, string> = {},
): Promise<ReadRun> {
  const startedMs = performance.now();
  const response = await app.fetch(`/api/crew-runs/${id}`, { headers: { ...bearer(token), ...headers } });
  const body = await response.text();
  const milliseconds = performance.now() - startedMs;
  const [log, ...more] = lines.of(response.headers.get("x-request-id"));
  expect(more).toEqual([]);
  if (log === undefined) throw new Error("a request without a log line");
  return { response, body, log, milliseconds };
}
