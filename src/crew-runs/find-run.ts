// Finds a run in the caches or in the database. Knows who reads; knows nothing of headers, statuses or keys.
import type { Reader } from "../auth/reader.ts";
import { Failure } from "../failure.ts";
import { within } from "../isolate/clock.ts";
import type { Trace } from "../trace.ts";
import type { CachedRuns, FoundRun } from "./cached-runs.ts";
import type { CrewRunStore } from "./postgres/store.ts";

const LIMITER_TIMEOUT_MS = 400;

export function createRunFinder(store: CrewRunStore, cachedRuns: CachedRuns, rateLimiter: RateLimit | undefined) {
  /**
   * Returns the run if the reader may see it. `refusal` ends the read early. Fails with `run_not_found`, `rate_limited`, and as
   * `CrewRunStore.find`.
   */
  return async (id: string, reader: Reader, trace: Trace, refusal?: AbortSignal): Promise<FoundRun> => {
    let found = await cachedRuns.find(id, reader);
    if (found === undefined) {
      trace.notes.cache = "miss";
      // Counted before it reaches the database. If the limiter fails or hangs, the read passes: it is a brake, not a gate.
      const counting = rateLimiter && within(LIMITER_TIMEOUT_MS, rateLimiter.limit({ key: reader.subject }));
      const counted = await counting?.catch(() => {
        trace.notes.rate_limit = "failed";
      });
      if (counted?.success === false) throw new Failure("rate_limited");
      try {
        const run = await store.find(id, reader, { trace, signal: refusal });
        if (run === undefined) throw new Failure("run_not_found");
        await cachedRuns.add(run, reader, trace);
        return { run };
      } catch (error) {
        // While the database fails, another isolate may have cached the run.
        const isOutage = error instanceof Failure && error.code === "database_unavailable";
        found = isOutage ? await cachedRuns.findShared(id, reader) : undefined;
        if (found === undefined) throw error;
      }
    }
    Object.assign(trace.notes, { cache: "hit", cache_layer: found.layer });
    return found;
  };
}
