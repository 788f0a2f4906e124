// Cross-origin requests (the Fetch standard's CORS protocol): off unless CORS_ORIGINS lists the origin, exactly.
// An unlisted origin gets the same response without a grant. Credentials in the sense of CORS are never allowed: the token is in
// a header. hono/cors would respond to every OPTIONS request with 204; here, only a preflight of a listed origin is one.
import type { MiddlewareHandler } from "hono";
import type { AppEnv } from "../request.ts";

const EXPOSED_HEADERS =
  "ETag, Retry-After, X-Request-Id, WWW-Authenticate, Age, Cache-Status, Preference-Applied, Server-Timing";
/** Those that a reader needs, and those that common HTTP clients add to a GET. */
const ALLOWED_HEADERS =
  "Authorization, If-None-Match, Prefer, X-Request-Id, Traceparent, Tracestate, Accept, Cache-Control, Content-Type, " +
  "If-Modified-Since, Pragma, X-Requested-With";

/** `origins` are those that are granted. */
export const grantOrigins =
  (origins: readonly string[]): MiddlewareHandler<AppEnv> =>
  async (c, next) => {
    const origin = c.req.header("origin") ?? "";
    const isListed = origins.includes(origin);
    if (isListed && c.req.method === "OPTIONS" && c.req.header("access-control-request-method") !== undefined) {
      c.header("access-control-allow-methods", "GET, HEAD");
      c.header("access-control-allow-headers", ALLOWED_HEADERS);
      c.header("access-control-max-age", "86400");
      c.res = c.body(null, 204);
    } else await next();
    // On every response, because another origin could get another one.
    c.res.headers.append("vary", "Origin");
    if (!isListed) return;
    c.res.headers.set("access-control-allow-origin", origin);
    c.res.headers.set("access-control-expose-headers", EXPOSED_HEADERS);
  };
