// Long polls: waiting for a run to change (`Prefer: wait`, RFC 7240 §4.3). The waits of an isolate for one run share database
// polls: whichever is due polls, and all hear the result. While it waits, none of them holds a record.
import type { Reader } from "../auth/reader.ts";
import { Failure } from "../failure.ts";
import { isRecent } from "../isolate/clock.ts";
import { SingleFlight } from "../isolate/single-flight.ts";
import type { Trace } from "../trace.ts";
import type { CachedRuns } from "./cached-runs.ts";
import type { CrewRunStore } from "./postgres/store.ts";
import { type Run, canSee } from "./record.ts";

/** The first pause of a wait; each next one is longer by a half, up to the longest: 13 polls in 30 seconds, 23 in 60. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 3_000;
const PAUSE_GROWTH = 1.5;
/** Longer than a poll with all its attempts may take. */
const POLL_TIMEOUT_MS = 10_000;

export interface Wait {
  id: string;
  reader: Reader;
  /** The tag that the client has, if any change ends the wait; undefined if only the run's end does. */
  etag: string | undefined;
  waitMs: number;
  /** Fires when the client leaves. */
  signal: AbortSignal;
  trace: Trace;
}

interface Poll {
  by: Wait;
  startedMs: number;
  /** A wait's last poll makes as many attempts as any read. */
  isLast: boolean;
  /** The run, or why there is none; undefined if the poll was for a finished run only and found none. */
  found: Run | Failure | undefined;
}

interface Watch {
  readonly waits: Set<Wait>;
  readonly flight: SingleFlight<Poll>;
}

/** A poll serves all waits, so it may see every run; `canSee` decides for each of them. */
const ALL_WAITS: Reader = { subject: "", isAdmin: true };

export function createLongPolls(store: CrewRunStore, cachedRuns: CachedRuns) {
  const watches = new Map<string, Watch>();

  /**
   * Waits until the run changes as the wait demands, or `waitMs` are over; returns the run as it is then. A transient fault of the
   * database doesn't end the wait while time is left. Fails with `run_not_found`, `client_left`, and as a read does.
   */
  return async function waitForChange(wait: Wait): Promise<Run> {
    const watch = watches.get(wait.id) ?? { waits: new Set(), flight: new SingleFlight() };
    watches.set(wait.id, watch);
    watch.waits.add(wait);
    try {
      return await pollUntilChanged(watch, wait);
    } catch (error) {
      throw wait.signal.aborted ? new Failure("client_left") : error;
    } finally {
      watch.waits.delete(wait);
      if (watch.waits.size === 0) watches.delete(wait.id);
    }
  };

  async function pollUntilChanged(watch: Watch, wait: Wait): Promise<Run> {
    const waitStartedMs = Date.now();
    // By a clock that jumps back, a wait takes at most twice its time.
    const isOver = (atMs = Date.now()) => !isRecent(waitStartedMs, wait.waitMs, atMs);
    let polledMs = waitStartedMs;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * PAUSE_GROWTH)) {
      // Each poll that it hears is followed by a whole pause, so a wait whose time is over polls before one that goes on.
      const leftMs = Math.min(waitStartedMs + wait.waitMs - Date.now(), pauseMs);
      const heard = await hearPoll(watch, wait, leftMs, isOver).then((poll) => conclude(poll, wait, polledMs, isOver));
      wait.trace.notes.waited_ms = Date.now() - waitStartedMs;
      if (heard.run !== undefined) return heard.run;
      polledMs = heard.polledMs;
    }
  }

  /** The next poll of another wait, or after `leftMs` one of this wait's own; undefined if that one was cut off. */
  async function hearPoll(watch: Watch, wait: Wait, leftMs: number, isOver: () => boolean): Promise<Poll | undefined> {
    const heard = await watch.flight.next(leftMs, wait.signal);
    return heard ?? watch.flight.run(() => poll(watch, wait, isOver()), POLL_TIMEOUT_MS);
  }

  async function poll(watch: Watch, wait: Wait, isLast: boolean): Promise<Poll> {
    const { id, reader, signal, trace } = wait;
    const stamp = { by: wait, startedMs: Date.now(), isLast };
    // If every wait is only for the run's end, an unfinished run stays in the database.
    const isWhole = isLast || [...watch.waits].some(({ etag }) => etag !== undefined);
    const find = isWhole ? store.find : store.findFinished;
    try {
      const run = await find(id, ALL_WAITS, { trace, signal, attempts: isLast ? undefined : 1 });
      if (run !== undefined) await cachedRuns.add(run, reader, trace);
      return { ...stamp, found: run ?? (isWhole ? new Failure("run_not_found") : undefined) };
    } catch (error) {
      // A poll that ended because its client left has no result for the others.
      if (!(error instanceof Failure) || signal.aborted) throw error;
      return { ...stamp, found: error };
    }
  }
}

/** The run, if a poll ends the wait, and when the last poll that counts began. Throws if the wait fails. */
function conclude(poll: Poll | undefined, wait: Wait, polledMs: number, isOverAt: (ms: number) => boolean) {
  // One that began before the wait could bring an older version than the client's.
  if (poll === undefined || (poll.by !== wait && poll.startedMs <= polledMs)) return { polledMs };
  const { startedMs, isLast, found } = poll;
  if (found instanceof Failure) {
    if ((isLast && isOverAt(Date.now())) || found.details.isTransient !== true) throw found;
    return { polledMs: startedMs };
  }
  if (found !== undefined && !canSee(found, wait.reader)) throw new Failure("run_not_found");
  const isChanged = wait.etag !== undefined && found?.etag !== wait.etag;
  return { polledMs: startedMs, run: found?.isFinal || isChanged || isOverAt(startedMs) ? found : undefined };
}
