// How the driver's errors are sorted: each class of SQLSTATE, each status, each message, as far as faults.test.ts doesn't cause them.
import { NeonDbError } from "@neondatabase/serverless";
import { expect, test } from "vitest";
import { type Fault, classify, failBy, isWorthRepeating } from "../../../src/crew-runs/postgres/fault.ts";
import { Failure } from "../../../src/failure.ts";

type Kind = Fault["kind"];

const neonError = (message: string, fields = {}) => Object.assign(new NeonDbError(message), fields);
const classifyStatus = (status: number) => classify(neonError(`Server error (HTTP status ${status}): "x"`), []);

test.each<[Kind, string]>([
  ["server_busy", "08006 40001 40P01 53300 57P01 57P02 57P03 58030 55P03 XX000"],
  ["statement_timeout", "57014"],
  ["refused", "28000 28P01 3D000"],
  ["invalid_value", "22P02 22003"],
  ["sql_error", "0A000 23514 25006 42P01 42501 55006 55P04 57000 XX001 P0001"],
])("%s: SQLSTATE %s", (kind, codes) => {
  const kinds = codes.split(" ").map((code) => classify(neonError("no", { code }), []).kind);
  expect(new Set(kinds)).toEqual(new Set([kind]));
});

test("only messages that name identifiers and states are logged; of other errors, the names that Postgres gives apart", () => {
  const names = { table: "crew_runs", column: "result", constraint: "c" };
  const whyOf = (code: string) => classify(neonError("MESSAGE", { code, ...names }), []).why;
  for (const code of ["08006", "3D000", "40001", "42P01", "53300", "55P03", "57014", "58030", "XX000"]) {
    expect(whyOf(code)).toBe(`${code} MESSAGE`);
  }
  for (const code of ["22P02", "23514", "28000", "P0001", "0A000", "25006"]) {
    expect(whyOf(code)).toBe(`${code} crew_runs result c`);
  }
  expect(classify(neonError("MESSAGE", { code: "22P02" }), []).why).toBe("22P02");
});

test.each<[Kind, number[]]>([
  ["refused", [301, 400, 401, 403, 404, 422, 499]],
  ["quota_exhausted", [402]],
  ["endpoint_error", [408, 429, 500, 502, 503, 504]],
  ["reply_too_large", [507]],
])("%s: status %j", (kind, statuses) => {
  expect(new Set(statuses.map((status) => classifyStatus(status).kind))).toEqual(new Set([kind]));
});

test.each<[Kind, string, unknown]>([
  ["refused", "status 400", neonError("Password is wrong for the role r")],
  ["refused", "status 400", neonError("no authentication by the role r")],
  ["endpoint_error", "Control plane request failed", neonError("Control plane request failed", { code: "" })],
  ["connection_lost", "no route", neonError("fetch", { sourceError: new Error("no route") })],
  ["timeout", "late", new DOMException("late", "TimeoutError")],
  ["timeout", "late", neonError("fetch", { sourceError: new DOMException("late", "AbortError") })],
  ["overloaded", "full", neonError("fetch", { sourceError: new Failure("overloaded", { why: "full" }) })],
  ["reply_too_large", "17", neonError("fetch", { sourceError: new Failure("record_too_large", { why: "17" }) })],
  ["invalid_reply", "SyntaxError", new SyntaxError(`"A VALUE" is no JSON`)],
  ["invalid_reply", "TypeError", new TypeError("A VALUE is not iterable")],
])("%s, %s: %s", (kind, why, error) => {
  expect(classify(error, [])).toEqual({ kind, why });
});

test("a message is cut to 200 characters after its secrets are masked", () => {
  const whyOf = (message: string) => classify(new DOMException(message, "TimeoutError"), ["SECRET"]).why;
  expect(whyOf(`${"x".repeat(197)}SECRET`)).toBe(`${"x".repeat(197)}***`);
  expect(whyOf(`${"x".repeat(198)}SECRET`)).toBe(`${"x".repeat(198)}**`);
  expect(whyOf("SECRET SECRET")).toBe("*** ***");
});

test.each<[Kind, "repeated" | "polled again" | "an end", string]>([
  ["timeout", "repeated", "database_unavailable"],
  ["connection_lost", "repeated", "database_unavailable"],
  ["endpoint_error", "repeated", "database_unavailable"],
  ["invalid_reply", "repeated", "database_unavailable"],
  ["server_busy", "repeated", "database_unavailable"],
  ["statement_timeout", "polled again", "database_unavailable"],
  ["overloaded", "polled again", "overloaded"],
  ["refused", "an end", "database_unavailable"],
  ["quota_exhausted", "an end", "database_unavailable"],
  ["sql_error", "an end", "database_unavailable"],
  ["invalid_value", "an end", "invalid_record"],
  ["reply_too_large", "an end", "record_too_large"],
])("after %s a read is %s: %s", (kind, remedy, code) => {
  expect(isWorthRepeating({ kind, why: "" })).toBe(remedy === "repeated");
  const details = { why: "w", isTransient: remedy !== "an end" };
  expect(failBy({ kind, why: "" }, "w")).toMatchObject({ code, details });
});
