// Where a run comes from, in this order: the isolate's memory, the data centre's cache, the database. Knows who asks; knows
// nothing of headers or statuses.
import type { Access } from "../auth/authenticator.ts";
import { Failure } from "../failure.ts";
import type { Trace } from "../trace.ts";
import type { KeptRuns } from "./kept-runs.ts";
import { type Run, makeRun } from "./record.ts";
import type { CrewRunStore } from "./store.ts";

export interface RunSource {
  kept: KeptRuns;
  store: CrewRunStore;
  rateLimiter: RateLimit | undefined;
}

export interface FoundRun {
  run: Run;
  /** Where it was kept; undefined where the database was asked. */
  layer: "isolate" | "data_centre" | undefined;
}

/**
 * The run, when the token is vouched for. Fails with `run_not_found`, `rate_limited`, as `CrewRunStore.find` and as
 * `access.vouched`.
 */
export async function findRun(source: RunSource, id: string, access: Access, trace: Trace): Promise<FoundRun> {
  const { kept } = source;
  const { reader } = access;
  const inIsolate = kept.find(id, reader);
  const run = inIsolate ?? (kept.isUnfinished(id, reader) ? undefined : await kept.findShared(id, reader));
  if (run !== undefined) {
    await access.vouched;
    return noteHit(run, inIsolate === undefined ? "data_centre" : "isolate", trace);
  }
  trace.notes.cache = "miss";
  try {
    return { run: await readRun(source, id, access, trace), layer: undefined };
  } catch (error) {
    // While the database fails, another isolate may have kept the run.
    const isFault = error instanceof Failure && error.code === "database_unavailable";
    const copy = isFault ? await kept.findShared(id, reader) : undefined;
    if (copy === undefined) throw error;
    return noteHit(copy, "data_centre", trace);
  }
}

function noteHit(run: Run, layer: "isolate" | "data_centre", trace: Trace): FoundRun {
  Object.assign(trace.notes, { cache: "hit", cache_layer: layer });
  return { run, layer };
}

/**
 * Reads the run from the database. Where the keys are being refreshed, the two round trips go out together: a token that the
 * refreshed keys refuse has cost this one query, and its answer is thrown away.
 */
async function readRun(source: RunSource, id: string, access: Access, trace: Trace): Promise<Run> {
  const { kept, store, rateLimiter } = source;
  const { reader, vouched } = access;
  if (vouched === undefined) await countRead(rateLimiter, reader.subject, trace);
  const stop = new AbortController();
  const askedMs = Date.now();
  const reading = store.find(id, reader, trace, { signal: stop.signal });
  if (vouched !== undefined) {
    try {
      await vouched;
      await countRead(rateLimiter, reader.subject, trace);
    } catch (refusal) {
      stop.abort();
      await reading.catch(() => {});
      throw refusal;
    }
  }
  const row = await reading;
  if (row === undefined) throw new Failure("run_not_found");
  const run = await makeRun(row, askedMs);
  kept.keep(run, reader, trace);
  return run;
}

/** Counts a read that reaches the database. A limiter that fails lets it pass: it is a brake, not a gate. */
async function countRead(limiter: RateLimit | undefined, subject: string, trace: Trace): Promise<void> {
  let isWithin = true;
  try {
    isWithin = limiter === undefined || (await limiter.limit({ key: subject })).success;
  } catch {
    trace.notes.rate_limit = "failed";
  }
  if (!isWithin) throw new Failure("rate_limited");
}
