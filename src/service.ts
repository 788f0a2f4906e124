// Makes, once per isolate, what its requests share.
import { type Authenticate, createAuthenticator } from "./auth/authenticator.ts";
import { createKeySet } from "./auth/key-set.ts";
import { createCachedRuns } from "./crew-runs/cached-runs.ts";
import { type FindRun, createRunFinder } from "./crew-runs/find-run.ts";
import { createCrewRunStore } from "./crew-runs/postgres/store.ts";
import { type CheckReadiness, createReadinessCheck } from "./http/health.ts";
import { createDataCenterCache } from "./isolate/data-center-cache.ts";
import type { WaitUntil } from "./request.ts";
import type { Settings } from "./settings.ts";

/** `Env` is generated from wrangler.toml by `wrangler types`; settings.ts checks its values. */
export interface Bindings extends Partial<Env> {
  RATE_LIMITER?: RateLimit;
}

export interface Service {
  settings: Settings;
  authenticate: Authenticate;
  findRun: FindRun;
  checkReadiness: CheckReadiness;
}

export function createService(settings: Settings, env: Bindings, waitUntil: WaitUntil): Service {
  const cache = createDataCenterCache();
  const getKeys = createKeySet(settings, cache, waitUntil);
  const store = createCrewRunStore(settings);
  const cachedRuns = createCachedRuns(settings, cache, env.CF_VERSION_METADATA?.id, waitUntil);
  return {
    settings,
    authenticate: createAuthenticator(settings, getKeys),
    findRun: createRunFinder(store, cachedRuns, env.RATE_LIMITER),
    checkReadiness: createReadinessCheck(settings, store, getKeys),
  };
}
