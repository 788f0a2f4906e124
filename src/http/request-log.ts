// Begins and ends a request: its id and origin, the headers that every response has, and its one log line.
// Knows nothing of tokens, runs or failures.
import type { MiddlewareHandler } from "hono";
import { routePath } from "hono/route";
import type { AppEnv, Notes, WaitUntil } from "../request.ts";

/** Another id is replaced: this one may be part of a header, a log line and a shell command. */
const SAFE_REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/;
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/;

/** `version` is the deployment's. */
export const logRequests =
  (version: string | undefined, waitUntil: WaitUntil): MiddlewareHandler<AppEnv> =>
  async (c, next) => {
    const startedMs = Date.now();
    const given = c.req.header("x-request-id");
    const id = given !== undefined && SAFE_REQUEST_ID.test(given) ? given : crypto.randomUUID();
    const notes: Notes = {};
    c.set("request", { id, readOrigin: () => originOf(c.req.url), startedMs, timeoutMs: 0, notes });

    // Without this, a client that resets its connection would end the request before its log line is written.
    const handled = next();
    waitUntil(handled.catch(() => {}));
    await handled;
    const ms = Date.now() - startedMs;
    const { status, headers } = c.res;
    headers.set("x-request-id", id);
    headers.set("x-content-type-options", "nosniff");
    headers.set("referrer-policy", "no-referrer");
    headers.set("server-timing", describeTiming(notes, ms));
    headers.append("vary", "Authorization");
    if (c.req.url.startsWith("https:")) headers.set("strict-transport-security", "max-age=31536000");

    const route = routePath(c, -1);
    const line = JSON.stringify({
      level: status >= 500 ? "error" : "info",
      request_id: id,
      trace_id: TRACEPARENT.exec(c.req.header("traceparent") ?? "")?.[1],
      method: c.req.method,
      route: route === "/*" ? undefined : route,
      run_id: notes.run_id,
      status,
      ms,
      // The platform's own records have it too.
      cf_ray: c.req.header("cf-ray"),
      version,
      ...notes,
    });
    console[status >= 500 ? "error" : "log"](line);
  };

/** Lower-case names whose last label begins with a letter, none in Punycode: the URL parser leaves them as they are. */
const USUAL = /^https?:\/\/(?:(?!xn--)[a-z0-9-]+\.)*(?!xn--)[a-z][a-z0-9-]*(?=[/?#]|$)/;

/**
 * As `URL.origin`; empty if the Host is unusable, or unsafe to quote in a header. A URL that follows is then a relative
 * reference. The pattern is for the usual hosts, because to parse a URL costs a third of a cached read.
 */
export function originOf(url: string): string {
  const [usual] = USUAL.exec(url) ?? [];
  if (usual !== undefined) return usual;
  const origin = URL.parse(url)?.origin ?? "";
  return /["\\,\s]/.test(origin) ? "" : origin;
}

/** Durations in milliseconds, as far as the platform's clock moved: it stands still between I/O. */
function describeTiming({ auth, cache, db_ms }: Notes, totalMs: number): string {
  const timings = [`total;dur=${totalMs}`, auth && `auth;desc=${auth}`, cache && `cache;desc=${cache}`];
  return [...timings, db_ms !== undefined && `db;dur=${db_ms}`].filter(Boolean).join(", ");
}
