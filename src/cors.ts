// Cross-origin requests (the Fetch standard's CORS protocol): off unless CORS_ORIGINS lists the origin, exactly.
// An origin that is not listed gets no grant, and is told nothing else. Credentials in the sense of CORS are never allowed:
// the token travels in a header. hono/cors would answer every OPTIONS request with 204; ours keeps them a 405.
import { createMiddleware } from "hono/factory";
import type { AppEnv } from "./service.ts";

const EXPOSED_HEADERS =
  "ETag, Retry-After, X-Request-Id, WWW-Authenticate, Age, Cache-Status, Preference-Applied, Server-Timing";
/** What a reader needs, and what common HTTP clients add to a GET by themselves. */
const ALLOWED_HEADERS =
  "Authorization, If-None-Match, Prefer, X-Request-Id, Traceparent, Tracestate, Accept, Cache-Control, Content-Type, " +
  "If-Modified-Since, Pragma, X-Requested-With";

export const grantOrigin = createMiddleware<AppEnv>(async (c, next) => {
  const { start } = c.var;
  const origins = start.ok ? start.service.settings.CORS_ORIGINS : [];
  if (origins.length === 0) return next();
  const origin = c.req.header("origin") ?? "";
  const isListed = origins.includes(origin);
  if (isListed && c.req.method === "OPTIONS" && c.req.header("access-control-request-method") !== undefined) {
    c.header("access-control-allow-methods", "GET, HEAD");
    c.header("access-control-allow-headers", ALLOWED_HEADERS);
    c.header("access-control-max-age", "86400");
    c.res = c.body(null, 204);
  } else await next();
  // Wherever the answer could depend on the origin, with or without one.
  c.res.headers.append("vary", "Origin");
  if (!isListed) return;
  c.res.headers.set("access-control-allow-origin", origin);
  c.res.headers.set("access-control-expose-headers", EXPOSED_HEADERS);
});
