// Cross-origin requests (the Fetch standard's CORS protocol): off unless CORS_ORIGINS lists the origin, exactly.
// An origin that is not listed gets no grant, and is told nothing else. Credentials in the sense of CORS are never allowed:
// the token travels in a header.

const EXPOSED_HEADERS =
  "ETag, Retry-After, X-Request-Id, WWW-Authenticate, Age, Cache-Status, Preference-Applied, Server-Timing";

const PREFLIGHT_HEADERS = {
  "access-control-allow-methods": "GET, HEAD",
  "access-control-allow-headers": "Authorization, If-None-Match, Prefer, X-Request-Id, Traceparent",
  "access-control-max-age": "86400",
};

/** Adds the grant for the request's origin, and `Vary: Origin` wherever the answer could depend on it. */
export function grantOrigin(request: Request, origins: readonly string[], headers: Headers): void {
  headers.append("vary", "Origin");
  const origin = request.headers.get("origin");
  if (origin === null || !origins.includes(origin)) return;
  headers.set("access-control-allow-origin", origin);
  headers.set("access-control-expose-headers", EXPOSED_HEADERS);
}

/** What a preflight is told, or undefined where the request is none or its origin is not listed. */
export function readPreflight(request: Request, origins: readonly string[]): Record<string, string> | undefined {
  const isPreflight = request.method === "OPTIONS" && request.headers.has("access-control-request-method");
  return isPreflight && origins.includes(request.headers.get("origin") ?? "") ? { ...PREFLIGHT_HEADERS } : undefined;
}
