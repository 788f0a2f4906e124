// Finds a run for a reader: in the caches or in the database, at once or after a wait for it to change. Knows nothing of headers,
// statuses or keys.
import { Failure } from "../failure.ts";
import { within } from "../isolate/clock.ts";
import { type Reader, type RequestScope, timeLeftMs } from "../request.ts";
import type { CachedRuns, FoundRun } from "./cached-runs.ts";
import type { CrewRunStore } from "./postgres/store.ts";
import type { Run } from "./record.ts";
import { matches } from "./request-headers.ts";

/** The first pause of a wait; each next one is longer by a half, up to the longest: 13 polls in 30 seconds, 23 in 60. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 3_000;
const PAUSE_GROWTH = 1.5;
const LIMITER_TIMEOUT_MS = 400;
/** At most, between the last polls of a wait for which the isolate has no room. */
const ROOM_PAUSE_MS = 1_000;

/** Which run is read, for whom, and how long the reader waits for it to change. */
export interface Query {
  id: string;
  reader: Reader;
  /** What the client has. With it, the first state that it doesn't name ends a wait; without it, only the run's end does. */
  ifNoneMatch: string | undefined;
  /** Counted from the start of the request; 0 means not to wait. */
  waitMs: number;
  request: RequestScope;
}

/**
 * Returns the run if the reader may see it. During a wait, a transient fault of the database doesn't end the search while time is
 * left. Fails with `run_not_found`, `rate_limited`, and as `CrewRunStore.find`; with any error once its client has left.
 */
export type FindRun = (query: Query) => Promise<FoundRun>;

const waitLeftMs = ({ request, waitMs }: Query) => timeLeftMs(request, waitMs);

/** Whether a client that waits should get this state of the run. */
const isNews = ({ isFinished, etag }: Run, { ifNoneMatch }: Query) =>
  isFinished || (ifNoneMatch !== undefined && !matches(ifNoneMatch, etag));

export function createRunFinder(store: CrewRunStore, cachedRuns: CachedRuns, rateLimiter?: RateLimit): FindRun {
  return findRun;

  async function findRun(query: Query): Promise<FoundRun> {
    const { id, reader, request } = query;
    const cached =
      cachedRuns.findInMemory(id, reader) ?? (await cachedRuns.findShared(id, reader, request.readOrigin()));
    if (cached !== undefined) return cached;
    request.notes.cache = "miss";
    if (!(await isWithinLimit(query))) throw new Failure("rate_limited");
    const first = await read(query);
    if (first !== undefined && (isNews(first.run, query) || waitLeftMs(query) === 0)) return first;
    // Not awaited here: a suspended function keeps its variables, and this one has a record of megabytes.
    return waitForNews(query);
  }

  /** Polls until there is news or the wait is over; returns the run as it is then. Holds no record meanwhile. */
  async function waitForNews(query: Query): Promise<FoundRun> {
    const { id, reader, request } = query;
    const pause = (ms: number) => scheduler.wait(ms, request.signal && { signal: request.signal });
    const waitStartedMs = Date.now();
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * PAUSE_GROWTH)) {
      await pause(Math.min(pauseMs, waitLeftMs(query)));
      const isLast = waitLeftMs(query) === 0;
      // Another wait for the same run may have found it finished.
      const found = cachedRuns.findInMemory(id, reader) ?? (await (isLast ? read(query) : poll(query)));
      request.notes.waited_ms = Date.now() - waitStartedMs;
      if (found !== undefined) return { ...found, hasWaited: true };
      // Random, so that the reads of a crowd don't meet again.
      if (isLast) await pause(ROOM_PAUSE_MS * (0.5 + 0.5 * Math.random()));
    }
  }

  /** Looks once for news, in one attempt. Undefined if there is none, or if the fault should pass before the wait is over. */
  async function poll(query: Query): Promise<FoundRun | undefined> {
    const { id, reader, ifNoneMatch, request } = query;
    if (!(await isWithinLimit(query))) return undefined;
    // If only its end is news, an unfinished run stays in the database.
    const find = ifNoneMatch === undefined ? store.findFinished : store.find;
    try {
      const run = await find(id, reader, request, 1);
      if (run === undefined && ifNoneMatch !== undefined) throw new Failure("run_not_found");
      return run && isNews(run, query) ? await cachedRuns.add(run, reader, request.readOrigin()) : undefined;
    } catch (error) {
      if (error instanceof Failure && error.details.isTransient && timeLeftMs(request) > 0) return undefined;
      throw error;
    }
  }

  /**
   * Reads the run as it is, uncounted: from the database, or in an outage from the data center, where another isolate may have
   * cached it. Undefined if this isolate has no room for the reply and the client waits, so that a later read may find room.
   */
  async function read({ id, reader, waitMs, request }: Query): Promise<FoundRun | undefined> {
    const origin = request.readOrigin();
    try {
      const run = await store.find(id, reader, request);
      if (run === undefined) throw new Failure("run_not_found");
      return await cachedRuns.add(run, reader, origin);
    } catch (error) {
      const code = error instanceof Failure ? error.code : undefined;
      const isOutage = code === "database_unavailable";
      const found = isOutage ? await cachedRuns.findShared(id, reader, origin, true) : undefined;
      const mayWait = code === "overloaded" && waitMs > 0 && timeLeftMs(request) > ROOM_PAUSE_MS;
      if (found === undefined && !mayWait) throw error;
      return found;
    }
  }

  /** Counts a query before it reaches the database. If the limiter fails or hangs, it passes: it is a brake, not a gate. */
  async function isWithinLimit({ reader, request }: Query): Promise<boolean> {
    if (rateLimiter === undefined) return true;
    try {
      return (await within(LIMITER_TIMEOUT_MS, rateLimiter.limit({ key: reader.subject }))).success;
    } catch {
      request.notes.rate_limit = "failed";
      return true;
    }
  }
}
