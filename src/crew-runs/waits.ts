// Waiting for a run to change (RFC 7240 §4.3). The waits of an isolate for one run share what they see: one look at the
// database at a time serves all. They share results, never promises: workerd forbids a request to await another's I/O.
import { Failure } from "../failure.ts";
import type { Reader } from "../reader.ts";
import { SingleFlight } from "../single-flight.ts";
import type { Trace } from "../trace.ts";
import type { KeptRuns } from "./kept-runs.ts";
import { type Run, canSee, makeRun } from "./record.ts";
import type { CrewRunStore } from "./store.ts";

/** The first pause of a wait; each next one is longer by a half, up to the longest: 13 looks in 30 seconds, 23 in 60. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 3_000;
const PAUSE_GROWTH = 1.5;
/** How soon a wait that is due checks again for the result of the look under way. */
const RECHECK_MS = 100;
/** Beyond the time that a look with all its attempts may take. */
const LOOK_TIMEOUT_MS = 10_000;
/** Runs whose waits share their looks, and the bytes of what was seen. Beyond these, each wait looks for itself. */
const MAX_WATCHES = 1_024;
const MAX_SHARED_BYTES = 16_777_216;

interface Wait {
  /** The run as the client has it. */
  seen: Run;
  reader: Reader;
  waitMs: number;
  /** Whether the wait ends with any change of the run, or only with its end. */
  untilChanged: boolean;
  /** Fires when the client leaves. */
  signal: AbortSignal;
  trace: Trace;
}

/** What the database said of a run to one of the waits. `canSee` decides for each wait. */
interface Look {
  askedMs: number;
  /** The run, or why there is none; undefined where the look asked for a finished run only and found none. */
  found: Run | Failure | undefined;
}

/** The waits for one run, and the last look of one of them. */
interface Watch {
  readonly waits: Set<Wait>;
  readonly flight: SingleFlight;
  look: Look | undefined;
}

/** A look asks for all who wait, so it sees every run. */
const ALL_WAITS: Reader = { subject: "", isAdmin: true };

export function createWaits(store: CrewRunStore, kept: KeptRuns) {
  const watches = new Map<string, Watch>();
  let sharedBytes = 0;

  /**
   * Waits until the run is no longer as `seen`, and gives the run as it then is; after `waitMs`, as it stands. Rides out a
   * fault of the database that passes while time is left. Fails with `run_not_found`, `client_left`, and as a read does.
   */
  async function waitForChange(wait: Wait): Promise<Run> {
    const { id } = wait.seen;
    const watch = watches.get(id) ?? { waits: new Set(), flight: new SingleFlight(), look: undefined };
    if (watches.size < MAX_WATCHES) watches.set(id, watch);
    watch.waits.add(wait);
    try {
      return await lookUntilChanged(watch, wait);
    } catch (error) {
      throw wait.signal.aborted ? new Failure("client_left") : error;
    } finally {
      watch.waits.delete(wait);
      if (watch.waits.size === 0) {
        share(watch, undefined);
        if (watches.get(id) === watch) watches.delete(id);
      }
    }
  }

  async function lookUntilChanged(watch: Watch, wait: Wait): Promise<Run> {
    const { seen, reader, waitMs, untilChanged, signal, trace } = wait;
    const startedMs = Date.now();
    const endMs = startedMs + waitMs;
    let seenMs = seen.readMs;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * PAUSE_GROWTH)) {
      // The pause counts from the last look of any wait; a clock that jumps back does not lengthen it.
      const leftMs = Math.min(seenMs + pauseMs, endMs) - Date.now();
      await scheduler.wait(Math.max(0, Math.min(leftMs, pauseMs)), { signal });
      const isLast = Date.now() >= endMs;
      const { askedMs, found } = await takeLook(watch, wait, isLast ? endMs : seenMs + 1, isLast);
      seenMs = askedMs;
      trace.notes.waited_ms = Date.now() - startedMs;
      if (found instanceof Failure && (isLast || !isPassing(found))) throw found;
      if (found === undefined || found instanceof Failure) continue;
      if (!canSee(found, reader)) throw new Failure("run_not_found");
      if (found.isFinal || isLast || (untilChanged && found.etag !== seen.etag)) return found;
    }
  }

  /** A look since `sinceMs`: one that another wait has had, or this wait's own; one at a time for a run. */
  async function takeLook(watch: Watch, wait: Wait, sinceMs: number, isLast: boolean): Promise<Look> {
    const isWhole = isLast || wait.untilChanged;
    for (;;) {
      const { look } = watch;
      // The last look has three attempts; those before it have one.
      const serves = look && (look.found !== undefined || !isWhole) && !(isLast && isPassing(look.found));
      if (serves && look.askedMs >= sinceMs) return look;
      if (!watch.flight.isBusy) return lookFor(watch, wait, isLast);
      await scheduler.wait(RECHECK_MS, { signal: wait.signal });
    }
  }

  async function lookFor(watch: Watch, { seen, reader, signal, trace }: Wait, isLast: boolean): Promise<Look> {
    const look: Look = { askedMs: Date.now(), found: undefined };
    await watch.flight.run(async () => {
      try {
        // Where every wait asks only for the end, an unfinished run stays in the database.
        const onlyFinished = !isLast && ![...watch.waits].some(({ untilChanged }) => untilChanged);
        const conditions = { onlyFinished, signal, attempts: isLast ? undefined : 1 };
        const row = await store.find(seen.id, ALL_WAITS, trace, conditions);
        if (row !== undefined) await kept.keep((look.found = await makeRun(row, look.askedMs)), reader, trace);
        else if (!onlyFinished) look.found = new Failure("run_not_found");
      } catch (error) {
        // That this client has left is no result for the others.
        if (!(error instanceof Failure) || signal.aborted) throw error;
        look.found = error;
      }
    }, LOOK_TIMEOUT_MS);
    share(watch, look);
    return look;
  }

  function share(watch: Watch, look: Look | undefined): void {
    sharedBytes += sizeOf(look) - sizeOf(watch.look);
    watch.look = look;
    if (sharedBytes > MAX_SHARED_BYTES && look !== undefined) share(watch, undefined);
  }

  return { waitForChange };
}

const isPassing = (found: Look["found"]) => found instanceof Failure && found.details.isPassing === true;

const sizeOf = (look: Look | undefined) =>
  look?.found === undefined || look.found instanceof Failure ? 0 : look.found.body.byteLength;
