// One request and its response: idle, sending, answered or failed. At most one request is under way, and only the latest one's
// end is shown. Knows nothing of the page.
import type { RunRequest } from "./request.ts";

export interface Answered {
  kind: "answered";
  request: RunRequest;
  status: number;
  headers: Headers;
  text: string;
  bytes: number;
  milliseconds: number;
}

export type State =
  | { kind: "idle" }
  | { kind: "sending"; request: RunRequest }
  | Answered
  | { kind: "failed"; request: RunRequest; reason: string };

export function createExchange(show: (state: State) => void) {
  let current: AbortController | undefined;

  async function send(request: RunRequest): Promise<void> {
    current?.abort();
    const mine = (current = new AbortController());
    show({ kind: "sending", request });
    const state = await fetchRun(request, mine.signal);
    // A later request has taken its place, or it was canceled.
    if (mine.signal.aborted) return;
    current = undefined;
    show(state);
  }

  /** Ends the request under way, and forgets the last response. */
  function reset(): void {
    current?.abort();
    current = undefined;
    show({ kind: "idle" });
  }

  return { send, reset };
}

async function fetchRun(request: RunRequest, signal: AbortSignal): Promise<State> {
  const fail = (reason: string): State => ({ kind: "failed", request, reason });
  let headers: Headers;
  try {
    headers = new Headers(request.headers);
  } catch {
    return fail("Not sent: the access token has a character that a header can't carry. Copy it again.");
  }
  try {
    const startedMs = performance.now();
    // The browser's cache would give the headers of an earlier response.
    const response = await fetch(request.path, { cache: "no-store", headers, signal });
    const body = await response.arrayBuffer();
    const milliseconds = Math.round(performance.now() - startedMs);
    const text = new TextDecoder().decode(body);
    const { status } = response;
    return { kind: "answered", request, status, headers: response.headers, text, bytes: body.byteLength, milliseconds };
  } catch {
    return fail(navigator.onLine ? "No response: is the service up?" : "No response: this browser is offline.");
  }
}
