// What docs/data/faults.json documents of a fault, checked on a response and its log line.
import { expect } from "vitest";
import { type DocumentedFault, FAULTS, type FaultName } from "../../docs/faults.ts";
import type { ReadResult } from "./reader.ts";

/** Checks status, `code`, headers and fields of the log line, and that an error has the body of every error. */
export function expectFault(name: FaultName, result: Omit<ReadResult, "queries" | "fetches">): void {
  const { status, code, headers: documented = {}, log: fields }: DocumentedFault = FAULTS[name];
  const { headers, body, log } = result;
  expect(result.status).toBe(status);
  for (const [header, value] of Object.entries(documented)) expectValue(headers.get(header), value);
  expect(log).toMatchObject({ status, level: status >= 500 ? "error" : "info" });
  for (const [field, value] of Object.entries(fields)) expectValue(String(log[field]), value);
  expect(log["code"]).toBe(code);
  if (code === undefined) return;
  const detail = status === 503 ? "Service temporarily unavailable" : expect.anything();
  expect(JSON.parse(body)).toEqual({ detail, code, request_id: headers.get("x-request-id") });
  expect(headers.get("cache-control")).toBe("no-store");
  expect(headers.get("content-type")).toBe("application/json");
  for (const header of ["etag", "age", "cache-status"]) expect(headers.get(header)).toBeNull();
}

/** A number is documented as a whole, a text in part. */
function expectValue(actual: string | null, documented: string): void {
  if (/^\d+$/.test(documented)) expect(actual).toBe(documented);
  else expect(actual).toContain(documented);
}

/** The names of the faults in these tables of troubleshooting.md, sorted. */
export function listFaults(...tables: string[]): string[] {
  const faults = Object.entries<DocumentedFault>(FAULTS).filter(([, { where }]) => tables.includes(where));
  return faults.map(([name]) => name).toSorted();
}
