// Begins and ends a request: its id, the headers that every answer carries, and its one log line.
// Knows nothing of tokens, runs or failures.
import { createMiddleware } from "hono/factory";
import { routePath } from "hono/route";
import type { AppEnv } from "./service.ts";
import type { Notes } from "./trace.ts";

/** An incoming id is kept where it is short and plain enough to stand in a header, a log and a shell. */
const SANE_REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/;
/** An isolate lives in one data centre; to touch `cf` costs 15 microseconds a request. */
let colo: string | undefined;
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/;

export const trackRequest = createMiddleware<AppEnv>(async (c, next) => {
  const startedMs = Date.now();
  const given = c.req.header("x-request-id");
  const requestId = given !== undefined && SANE_REQUEST_ID.test(given) ? given : crypto.randomUUID();
  const notes: Notes = {};
  c.set("requestId", requestId);
  c.set("trace", { notes, finishLater: (work) => c.executionCtx.waitUntil(work) });

  // Without this, a client that resets its connection would end the request: before its log line is written, and in the middle
  // of what others wait for.
  const ended = Promise.withResolvers<void>();
  c.executionCtx.waitUntil(ended.promise);
  await next();

  const { status, headers } = c.res;
  headers.set("x-request-id", requestId);
  headers.set("x-content-type-options", "nosniff");
  headers.set("referrer-policy", "no-referrer");
  headers.set("server-timing", describeTiming(notes, Date.now() - startedMs));
  headers.append("vary", "Authorization");
  if (c.req.url.startsWith("https:")) headers.set("strict-transport-security", "max-age=31536000");

  const route = routePath(c, -1);
  const line = JSON.stringify({
    level: status >= 500 ? "error" : "info",
    request_id: requestId,
    trace_id: TRACEPARENT.exec(c.req.header("traceparent") ?? "")?.[1],
    method: c.req.method,
    route: route === "/*" ? undefined : route,
    run_id: notes.run_id,
    status,
    ms: Date.now() - startedMs,
    colo: (colo ??= String(c.req.raw.cf?.["colo"] ?? "")),
    version: c.env.CF_VERSION_METADATA?.id,
    ...notes,
  });
  if (status >= 500) console.error(line);
  else console.log(line);
  ended.resolve();
});

/** Where the request was sent to; empty where its Host is none that could stand in a URL and in a header. */
export function originOf(url: string): string {
  const origin = URL.parse(url)?.origin ?? "";
  return /["\\,\s]/.test(origin) ? "" : origin;
}

/** Durations in milliseconds, as far as the platform's clock moved: it stands still between I/O. */
function describeTiming({ auth, cache, db_ms }: Notes, totalMs: number): string {
  const timings = [`total;dur=${totalMs}`];
  if (auth !== undefined) timings.push(`auth;desc=${auth}`);
  if (cache !== undefined) timings.push(`cache;desc=${cache}`);
  if (db_ms !== undefined) timings.push(`db;dur=${db_ms}`);
  return timings.join(", ");
}
