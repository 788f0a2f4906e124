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
    start: StartedService;
    /** Set by `requireService`. */
    service: Service;
    /** Set by `authenticate`. */
    access: Access;
  };
}

export interface Service {
  settings: Settings;
  keySet: KeySet;
  authenticator: Authenticator;
  store: CrewRunStore;
  kept: KeptRuns;
  waits: Waits;
  rateLimiter: RateLimit | undefined;
  readiness: Readiness;
}

/** The service, or one line for each setting that is missing or malformed. */
export type StartedService = { ok: true; service: Service } | { ok: false; problems: readonly string[] };

/** `origin` is where the isolate's first request was sent to. */
export function startService(bindings: Bindings, origin: string): StartedService {
  const read = readSettings(bindings);
  if (!read.ok) return read;
  const { settings } = read;
  const cache = new DataCentreCache(origin);
  const keySet = new KeySet(settings, cache);
  const store = new CrewRunStore(settings);
  const kept = new KeptRuns(settings, cache, bindings.CF_VERSION_METADATA?.id ?? "");
  const service = {
    settings,
    keySet,
    authenticator: new Authenticator(settings, keySet),
    store,
    kept,
    waits: new Waits(store, kept),
    rateLimiter: bindings.RATE_LIMITER,
    readiness: new Readiness(keySet, store),
  };
  return { ok: true, service };
}
