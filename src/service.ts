// What the requests of an isolate share, made once from the Worker's environment, and where a request finds it.
import { type Access, createAuthenticator } from "./auth/authenticator.ts";
import { createKeySet } from "./auth/key-set.ts";
import { createKeptRuns } from "./crew-runs/kept-runs.ts";
import { createCrewRunStore } from "./crew-runs/store.ts";
import { createWaits } from "./crew-runs/waits.ts";
import { createDataCentreCache } from "./data-centre-cache.ts";
import { createReadinessCheck } from "./readiness.ts";
import { readSettings } from "./settings.ts";
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
    /** Set by `authenticate`. */
    access: Access;
  };
}

/** The service, or one line for each setting that is missing or malformed. */
export type Start = ReturnType<typeof startService>;
export type Service = Extract<Start, { ok: true }>["service"];

/** `origin` is where the isolate's first request was sent to. */
export function startService(bindings: Bindings, origin: string) {
  const read = readSettings(bindings);
  if (!read.ok) return read;
  const { settings } = read;
  const cache = createDataCentreCache(origin);
  const keySet = createKeySet(settings, cache);
  const store = createCrewRunStore(settings);
  const kept = createKeptRuns(settings, cache, bindings.CF_VERSION_METADATA?.id);
  return {
    ok: true as const,
    service: {
      settings,
      admit: createAuthenticator(settings, keySet),
      store,
      kept,
      waits: createWaits(store, kept),
      rateLimiter: bindings.RATE_LIMITER,
      checkReadiness: createReadinessCheck(store, keySet),
    },
  };
}
