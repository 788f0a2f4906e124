// One request and what became of it.
import { type Layouts, layOut } from "./json.ts";
import type { RunRequest } from "./request.ts";

export interface RunResponse {
  kind: "response";
  request: RunRequest;
  status: number;
  headers: Headers;
  text: string;
  /** The text as it is shown. */
  layouts: Layouts;
  bytes: number;
  milliseconds: number;
  /** On the clock of `performance.now()`. */
  receivedMs: number;
}

export type Exchange =
  | { kind: "idle" }
  | { kind: "sending"; request: RunRequest; sentMs: number; previous: RunResponse | undefined }
  | RunResponse
  | { kind: "failed"; request: RunRequest; reason: string }
  | { kind: "canceled"; request: RunRequest };

/** Sends the request. Never throws: without a response, the exchange has failed. */
export async function fetchRun(request: RunRequest, signal: AbortSignal): Promise<Exchange> {
  const fail = (reason: string): Exchange => ({ kind: "failed", request, reason });
  let headers: Headers;
  try {
    headers = new Headers(request.headers);
  } catch {
    return fail("Not sent: the access token has a character that a header can't carry. Copy it again.");
  }
  try {
    const sentMs = performance.now();
    // The browser's cache would give the headers of an earlier response.
    const response = await fetch(request.path, { cache: "no-store", headers, signal });
    const body = await response.arrayBuffer();
    const receivedMs = performance.now();
    const text = new TextDecoder().decode(body);
    return {
      kind: "response",
      request,
      status: response.status,
      headers: response.headers,
      text,
      layouts: layOut(text, response.headers.get("content-type")),
      bytes: body.byteLength,
      milliseconds: Math.round(receivedMs - sentMs),
      receivedMs,
    };
  } catch {
    return fail(navigator.onLine ? "No response: is the service up?" : "No response: this browser is offline.");
  }
}
