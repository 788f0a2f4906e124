// A response in words: its status, how long it took, how large it is, where the run came from, what to do next.
import type { RunResponse } from "./exchange.ts";

/** HTTP/2 has no reason phrases. */
const PHRASES: Record<number, string> = {
  200: "OK",
  304: "Not Modified",
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

export const describeStatus = (status: number) => `${status} ${PHRASES[status] ?? ""}`.trim();

/** With a space that never breaks a line. */
export function formatMilliseconds(milliseconds: number): string {
  return milliseconds < 1_000 ? `${milliseconds}\u00A0ms` : `${(milliseconds / 1_000).toFixed(1)}\u00A0s`;
}

export function formatBytes(bytes: number): string {
  if (bytes < 1_000) return `${bytes}\u00A0B`;
  const [amount, unit] = bytes < 999_950 ? [bytes / 1_000, "KB"] : [bytes / 1_000_000, "MB"];
  return `${amount.toFixed(1)}\u00A0${unit}`;
}

/** The parts of the line, after the status. */
export function describeResult({ milliseconds, bytes, headers }: RunResponse): string[] {
  const [, source] = SOURCES.find(([pattern]) => pattern.test(headers.get("cache-status") ?? "")) ?? [];
  const [, databaseMs] = /\bdb;dur=([\d.]+)/.exec(headers.get("server-timing") ?? "") ?? [];
  return [
    formatMilliseconds(milliseconds),
    formatBytes(bytes),
    ...(source === undefined ? [] : [source]),
    ...(databaseMs === undefined ? [] : [`database ${formatMilliseconds(Number(databaseMs))}`]),
  ];
}

/** What the reader may do next; empty if there is nothing to do. Counts the seconds of `Retry-After` down. */
export function describeNextStep({ status, headers, request, receivedMs }: RunResponse, nowMs: number): string {
  const copy = status === 304 ? "Your copy is current: the run hasn't changed." : "";
  const seconds = headers.get("retry-after");
  if (seconds === null) return copy;
  const secondsLeft = Math.max(0, Math.ceil(Number(seconds) - (nowMs - receivedMs) / 1_000));
  const again = `send again ${secondsLeft > 0 ? `in ${secondsLeft}\u00A0s` : "now"}`;
  if (status >= 400) return `S${again.slice(1)}.`;
  const [, waited] = /^wait=(\d+)/.exec(headers.get("preference-applied") ?? "") ?? [];
  const state = waited === undefined ? "Not finished" : `Not finished after a wait of ${waited}\u00A0s`;
  return `${copy} ${state}: ${again}${"Prefer" in request.headers ? "" : ", or wait for the end"}.`.trim();
}

/** The code of an error of this API, and its detail; that of a 401 is in its challenge (RFC 6750 §3). */
export function readProblem({ status, headers, text }: RunResponse): { code: string; detail: string } | undefined {
  try {
    const { code, detail, request_id: id } = JSON.parse(text) as Record<string, unknown>;
    if (status < 400 || typeof code !== "string" || typeof id !== "string") return undefined;
    const [, challenge = "No access token was sent"] =
      /error_description="([^"]*)"/.exec(headers.get("www-authenticate") ?? "") ?? [];
    const [fault] = Array.isArray(detail) ? (detail as { msg?: string }[]) : [];
    return { code, detail: status === 401 ? challenge : (fault?.msg ?? String(detail)) };
  } catch {
    return undefined;
  }
}
