// What the requests of an isolate share, made once from the Worker's environment, and where a request finds it.
import { type Access, Authenticator } from "./auth/authenticator.ts";
import { KeySet } from "./auth/key-set.ts";
import { KeptRuns } from "./crew-runs/kept-runs.ts";
import { CrewRunStore } from "./crew-runs/store.ts";
import { Waits } from "./crew-runs/waits.ts";
import { DataCentreCache } from "./data-centre-cache.ts";
import { Readiness } from "./readiness.ts";
import { type Settings, readSettings } from "./settings.ts";
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

export type Service = ReturnType<typeof createService>;

/** The service, or one line for each setting that is missing or malformed. */
export type Start = { ok: true; service: Service } | { ok: false; problems: readonly string[] };

/** `origin` is where the isolate's first request was sent to. */
export function startService(bindings: Bindings, origin: string): Start {
  const read = readSettings(bindings);
  return read.ok ? { ok: true, service: createService(read.settings, bindings, origin) } : read;
}

function createService(settings: Settings, bindings: Bindings, origin: string) {
  const cache = new DataCentreCache(origin);
  const keySet = new KeySet(settings, cache);
  const store = new CrewRunStore(settings);
  const kept = new KeptRuns(settings, cache, bindings.CF_VERSION_METADATA?.id);
  return {
    settings,
    authenticator: new Authenticator(settings, keySet),
    store,
    kept,
    waits: new Waits(store, kept),
    rateLimiter: bindings.RATE_LIMITER,
    readiness: new Readiness(store, keySet),
  };
}
