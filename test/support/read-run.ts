// Reads a run as a client of the test app does: the response with its body, and its log line.
import { expect } from "vitest";
import { type TestApp, bearer } from "./test-app.ts";
import type { CaughtLines } from "./log-lines.ts";

export interface ReadRun {
  response: Response;
  status: number;
  headers: Headers;
  body: string;
  /** The request's log line. */
  log: Record<string, unknown>;
}

/** Reads a run and its one log line. */
export async function readRun(
  app: TestApp,
  id: string,
  token: string,
  lines: CaughtLines,
  headers: Record<string, string> = {},
): Promise<ReadRun> {
  const response = await app.fetch(`/api/crew-runs/${id}`, { headers: { ...bearer(token), ...headers } });
  const body = await response.text();
  const [log, ...more] = lines.of(response.headers.get("x-request-id"));
  expect(more).toEqual([]);
  if (log === undefined) throw new Error("a request without a log line");
  const { status, headers: received } = response;
  return { response, status, headers: received, body, log };
}
