// What Hono's context carries: the platform's bindings, and what `logRequests` sets for one request. Types only.
import type { RequestScope } from "./request.ts";

/** `Env` is generated from wrangler.toml by `npm run types`; settings.ts checks its values. */
export interface Bindings extends Partial<Env> {
  RATE_LIMITER?: RateLimit;
}

export interface AppEnv {
  Variables: {
    requestId: string;
    request: RequestScope;
  };
}
