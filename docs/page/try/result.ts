// The headers of a response in one line: how long it took, how large it is, and where the run came from.
import type { Answered } from "./exchange.ts";

/** HTTP/2 has no reason phrases. */
const PHRASES: Record<number, string> = {
  200: "OK",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  422: "Unprocessable Content",
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

const SOURCES: [pattern: RegExp, text: string][] = [
  [/; hit; detail=isolate/, "cached in this isolate"],
  [/; hit; detail=data-cent(er|re)/, "cached in this data center"],
  [/; fwd=/, "read from the database"],
];

export function describeStatus(status: number): string {
  return `${status} ${PHRASES[status] ?? ""}`.trim();
}

/** The parts of the line, after the status. */
export function describeResult({ milliseconds, bytes, headers }: Answered): string[] {
  const [, source] = SOURCES.find(([pattern]) => pattern.test(headers.get("cache-status") ?? "")) ?? [];
  const [, databaseMs] = /\bdb;dur=([\d.]+)/.exec(headers.get("server-timing") ?? "") ?? [];
  const size = bytes < 1_000 ? `${bytes} B` : `${(bytes / 1_000).toFixed(1)} KB`;
  return [
    `${milliseconds} ms`,
    size,
    ...(source === undefined ? [] : [source]),
    ...(databaseMs === undefined ? [] : [`database ${databaseMs} ms`]),
  ];
}

/** What the reader may do next, in words; empty if there is nothing to do. */
export function describeNextStep({ status, headers, request }: Answered): string {
  const seconds = headers.get("retry-after");
  if (seconds === null) return "";
  if (status !== 200) return `Send again in ${seconds} s.`;
  if (headers.has("preference-applied")) return "Still running: send again.";
  return request.waits
    ? `Not finished: send again in ${seconds} s.`
    : `Not finished: send again in ${seconds} s, or wait.`;
}

/** The description in a challenge (RFC 6750 §3). */
export function readChallenge(headers: Headers): string {
  return /error_description="([^"]*)"/.exec(headers.get("www-authenticate") ?? "")?.[1] ?? "No access token was sent";
}

/** The stable code of an error. */
export function readCode(text: string): string {
  return /"code":\s*"(\w+)"/.exec(text)?.[1] ?? "";
}
