// What docs/data/faults.json documents of a fault, checked on a response and its log line.
import { expect } from "vitest";
import { type DocumentedFault, FAULTS, type FaultName } from "../../docs/faults.ts";
import type { ReadRun } from "./read-run.ts";

/** Checks status, `code`, headers and fields of the log line, and that an error has the body of every error. */
export function expectFault(name: FaultName, { response, body, log }: ReadRun): void {
  const { status, code, headers = {}, log: fields }: DocumentedFault = FAULTS[name];
  expect(response.status).toBe(status);
  for (const [header, value] of Object.entries(headers)) expect(response.headers.get(header)).toContain(value);
  expect(log).toMatchObject({ status, level: status >= 500 ? "error" : "info" });
  for (const [field, value] of Object.entries(fields)) expect(String(log[field])).toContain(value);
  expect(log["code"]).toBe(code);
  if (code === undefined) return;
  const detail = status === 503 ? "Service temporarily unavailable" : expect.anything();
  expect(JSON.parse(body)).toEqual({ detail, code, request_id: response.headers.get("x-request-id") });
  expect(response.headers.get("cache-control")).toBe("no-store");
  expect(response.headers.get("content-type")).toBe("application/json");
  for (const header of ["etag", "age", "cache-status"]) expect(response.headers.get(header)).toBeNull();
}

/** The names of the faults in these tables of troubleshooting.md, sorted. */
export function listFaults(...tables: string[]): string[] {
  const faults = Object.entries<DocumentedFault>(FAULTS).filter(([, { where }]) => tables.includes(where));
  return faults.map(([name]) => name).toSorted();
}
