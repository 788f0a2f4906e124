// docs/faults.md as the suites' expectation: what a line of its table says of an answer and of the log is what is checked.
import { expect } from "vitest";
import text from "../../docs/faults.md?raw";
import type { Answer } from "./read-run.ts";

interface FaultLine {
  fault: string;
  client: string;
  log: string;
  lasts: string;
}

export const FAULT_TABLE: readonly FaultLine[] = text
  .split("\n")
  .filter((line) => /^\| (?!Fault |-)/.test(line))
  .map((line) => {
    const [fault = "", client = "", log = "", lasts = ""] = line
      .split("|")
      .slice(1)
      .map((cell) => cell.trim());
    return { fault, client, log, lasts };
  });

/**
 * Checks an answer and its log line against the table's line for a fault: status and `code`, each `Header: value`, each
 * `member=value` of the log, where the value is a part of what is logged.
 */
export function expectAsDocumented(fault: string, answer: Answer): void {
  const line = FAULT_TABLE.find((each) => each.fault === fault);
  if (line === undefined) throw new Error(`docs/faults.md has no line "${fault}"`);
  const { response, body, log } = answer;
  const [outcome = "", ...headers] = quotes(line.client);
  const [status, code] = outcome.split(" ");
  expect(response.status).toBe(Number(status));
  expect(log["status"]).toBe(Number(status));
  expect(log["level"]).toBe(Number(status) >= 500 ? "error" : "info");
  for (const header of headers) {
    const [name = "", value = ""] = header.split(": ");
    expect(response.headers.get(name)).toContain(value);
  }
  for (const member of quotes(line.log)) {
    const [name = "", value = ""] = member.split("=");
    expect(String(log[name])).toContain(value);
  }
  expect(log["code"]).toBe(code);
  if (code === undefined) return;
  const detail = Number(status) === 503 ? "Service temporarily unavailable" : expect.any(String);
  expect(JSON.parse(body)).toEqual({ detail, code, request_id: response.headers.get("x-request-id") });
  expect(response.headers.get("cache-control")).toBe("no-store");
  expect(response.headers.get("content-type")).toBe("application/json");
  for (const name of ["etag", "age", "cache-status"]) expect(response.headers.get(name)).toBeNull();
}

function quotes(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, quoted = ""]) => quoted);
}
