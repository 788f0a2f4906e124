// Makes, once per isolate, what its requests share.
import { createAuthenticator } from "./auth/authenticator.ts";
import { createKeySet } from "./auth/key-set.ts";
import { createCachedRuns } from "./crew-runs/cached-runs.ts";
import { createRunFinder } from "./crew-runs/find-run.ts";
import { createLongPolls } from "./crew-runs/long-polls.ts";
import { createCrewRunStore } from "./crew-runs/postgres/store.ts";
import { createReadinessCheck } from "./http/readiness.ts";
import { createDataCenterCache } from "./isolate/data-center-cache.ts";
import { readSettings } from "./settings.ts";

/** The service, or one line per setting that is missing or malformed. */
export type Start = ReturnType<typeof startService>;
export type Service = Extract<Start, { ok: true }>["service"];

/** `variables` are the Worker's environment, `version` is the deployment's. */
export function startService(variables: object, rateLimiter: RateLimit | undefined, version: string | undefined) {
  const read = readSettings(variables);
  if (!read.ok) return read;
  const { settings } = read;
  const cache = createDataCenterCache();
  const keySet = createKeySet(settings, cache);
  const store = createCrewRunStore(settings);
  const cachedRuns = createCachedRuns(settings, cache, version);
  return {
    ok: true as const,
    service: {
      settings,
      cache,
      keySet,
      authenticate: createAuthenticator(settings, keySet),
      findRun: createRunFinder(store, cachedRuns, rateLimiter),
      waitForChange: createLongPolls(store, cachedRuns),
      checkReadiness: createReadinessCheck(settings, store, keySet),
    },
  };
}
