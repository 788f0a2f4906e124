// Waits until a run is finished, in browsers and in Node 20 or later.
import type { CrewRun } from "./crew-run.ts";

const REQUEST_MS = 60_000; // longer than the wait
const PAUSE_SECONDS = 5; // after a lost connection, or an error of a proxy

/**
 * Returns status and text of the response that ends the wait: the finished run, or an error that retrying won't fix.
 * `getToken` returns an access token, and a new one if the last was refused; if it throws, the wait ends.
 * Throws a TimeoutError when the time is up, and the reason of `signal` when it is aborted.
 */
export async function waitForRun(
  url: string,
  getToken: (isRefused: boolean) => Promise<string>,
  { timeoutSeconds = 600, signal }: { timeoutSeconds?: number; signal?: AbortSignal } = {},
): Promise<{ status: number; text: string }> {
  const endMs = Date.now() + timeoutSeconds * 1000;
  let last = "none";
  while (Date.now() < endMs) {
    signal?.throwIfAborted();
    const token = await getToken(false);
    let response = await send(url, token, endMs, signal);
    if (response.status === 401) {
      const renewed = await getToken(true);
      if (renewed !== token) response = await send(url, renewed, endMs, signal);
    }
    const { status, text, isLast, pauseSeconds } = response;
    if (isLast) return { status, text };
    if (Date.now() < endMs) last = status === 200 ? "200" : `${status} ${text}`;
    const pauseMs = Math.min(pauseSeconds * 1000, endMs - Date.now());
    await within(pauseMs, signal, () => new Promise(() => {})).catch(() => {});
  }
  const message = `The run isn't finished after ${timeoutSeconds} s. Last response: ${last}`;
  throw new DOMException(message, "TimeoutError");
}

async function send(url: string, token: string, endMs: number, signal: AbortSignal | undefined) {
  const headers = { authorization: `Bearer ${token}`, prefer: "wait=30" };
  // Another page isn't the run: a redirect ends the wait.
  const request = new Request(url, { headers, redirect: "manual" });
  try {
    return await within(Math.min(REQUEST_MS, endMs - Date.now()), signal, async (end) => {
      const response = await fetch(request, { signal: end });
      const { status, headers } = response;
      const text = await response.text();
      const retryAfter = headers.get("retry-after");
      const pauseSeconds = /^\d+$/.test(retryAfter ?? "") ? Number(retryAfter) : PAUSE_SECONDS;
      const isTemporary = status > 500 || status === 429 || status === 408;
      return { status, text, isLast: retryAfter === null && !isTemporary, pauseSeconds };
    });
  } catch (error) {
    return { status: 0, text: String(error), isLast: false, pauseSeconds: PAUSE_SECONDS };
  }
}

/**
 * Gives what is started a signal that ends it, after a time or when the outer one is aborted. It isn't waited for: Node's fetch
 * doesn't end while it decompresses what isn't compressed.
 */
async function within<T>(ms: number, outer: AbortSignal | undefined, start: (end: AbortSignal) => Promise<T>) {
  const controller = new AbortController();
  const abort = () => controller.abort();
  const aborted = new Promise<never>((_, reject) => {
    controller.signal.addEventListener("abort", () => reject(controller.signal.reason));
  });
  const timer = setTimeout(abort, ms);
  outer?.addEventListener("abort", abort);
  try {
    const started = start(controller.signal);
    if (outer?.aborted) abort();
    return await Promise.race([started, aborted]);
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener("abort", abort);
  }
}

/** The run of a 200. JSON.parse rounds long numbers in `task_input`; `text` has all digits. */
export function parseRun({ status, text }: { status: number; text: string }): CrewRun {
  if (status !== 200) throw new Error(`${status} ${text}`);
  return JSON.parse(text) as CrewRun;
}
