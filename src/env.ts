// What Hono's context carries: the platform's bindings, and what middleware sets for one request. Types only.
import type { Access } from "./auth/authenticator.ts";
import type { Service, Start } from "./service.ts";
import type { Trace } from "./trace.ts";

/** `Env` is generated from wrangler.toml by `npm run types`; settings.ts checks its values. */
export interface Bindings extends Partial<Env> {
  RATE_LIMITER?: RateLimit;
}

export interface AppEnv {
  Bindings: Bindings;
  Variables: {
    requestId: string;
    trace: Trace;
    start: Start;
    /** Set by `requireService`. */
    service: Service;
    /** Set by `admitReader`. */
    access: Access;
    /** Set by `admitReader` while it confirms the token: fires if it refuses it, because the read is then for no one. */
    refusal: AbortSignal | undefined;
  };
}
