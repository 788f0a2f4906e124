// Waiting for a run to change (RFC 7240 §4.3). The waits of an isolate for one run share what they see: one look at the
// database at a time serves all. They share results, never promises: workerd forbids a request to await another's I/O.
import { Failure } from "../failure.ts";
import { SingleFlight } from "../single-flight.ts";
import type { Trace } from "../trace.ts";
import type { KeptRuns } from "./kept-runs.ts";
import { type Run, type Viewer, canSee, makeRun } from "./record.ts";
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

/** What the database said of a run to the isolate. `canSee` decides for each wait. */
interface Look {
  askedMs: number;
  /** Undefined where there is none; of a look that is not whole, also where there is only an unfinished one. */
  found: Run | Failure | undefined;
  isWhole: boolean;
}

/** The waits for one run. */
interface Watch {
  readonly flight: SingleFlight;
  waits: number;
  /** Those that end with any change, so that looks must bring unfinished runs as well. */
  wholeWaits: number;
  look: Look | undefined;
}

export interface Wait {
  /** The run as the client has it. */
  seen: Run;
  reader: Viewer;
  waitMs: number;
  /** Whether the wait ends with any change of the run, or only with its end. */
  untilChanged: boolean;
  /** Fires when the client leaves. */
  signal: AbortSignal;
  trace: Trace;
}

/** What a wait asks of a look. */
interface Need {
  sinceMs: number;
  isWhole: boolean;
  isLast: boolean;
}

/** A look asks for the isolate, not for a reader: it sees every run. */
const ISOLATE: Viewer = { subject: "", isAdmin: true };

export class Waits {
  readonly #store: CrewRunStore;
  readonly #kept: KeptRuns;
  readonly #watches = new Map<string, Watch>();
  #sharedBytes = 0;

  constructor(store: CrewRunStore, kept: KeptRuns) {
    this.#store = store;
    this.#kept = kept;
  }

  /**
   * Waits until the run is no longer as `seen`, and gives the run as it then is; after `waitMs`, as it stands. Rides out a
   * fault of the database that passes while time is left. Fails with `run_not_found`, `client_left`, and as a read does.
   */
  async wait(wait: Wait): Promise<Run> {
    const watch = this.#join(wait);
    try {
      return await this.#watch(watch, wait);
    } catch (error) {
      throw wait.signal.aborted ? new Failure("client_left") : error;
    } finally {
      this.#leave(watch, wait);
    }
  }

  async #watch(watch: Watch, wait: Wait): Promise<Run> {
    const { seen, reader, untilChanged, signal, trace } = wait;
    const startedMs = Date.now();
    const endMs = startedMs + wait.waitMs;
    let seenMs = seen.readMs;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * PAUSE_GROWTH)) {
      // The pause counts from when the database was last asked, by whomever; a clock that jumps back does not lengthen it.
      const leftMs = Math.min(seenMs + pauseMs, endMs) - Date.now();
      await scheduler.wait(Math.max(0, Math.min(leftMs, pauseMs)), { signal });
      const isLast = Date.now() >= endMs;
      const need = { sinceMs: isLast ? endMs : seenMs + 1, isWhole: isLast || untilChanged, isLast };
      const { askedMs, found, isWhole } = await this.#see(watch, wait, need);
      seenMs = askedMs;
      trace.notes.waited_ms = Date.now() - startedMs;
      if (found instanceof Failure) {
        if (found.details.isPassing === true && !isLast) continue;
        throw found;
      }
      if (found === undefined ? isWhole : !canSee(found, reader)) throw new Failure("run_not_found");
      if (found && (found.isFinal || isLast || (untilChanged && found.etag !== seen.etag))) return found;
    }
  }

  /** The look that another wait has just had, or one of this wait's own; one at a time for a run. */
  async #see(watch: Watch, wait: Wait, need: Need): Promise<Look> {
    for (;;) {
      const { look } = watch;
      const isFailed = look?.found instanceof Failure;
      // A failed look is no last one: that has three attempts.
      const serves = look !== undefined && look.askedMs >= need.sinceMs && !(need.isLast && isFailed);
      if (serves && (look.isWhole || !need.isWhole)) return look;
      if (!watch.flight.isBusy) return this.#look(watch, wait, need);
      await scheduler.wait(RECHECK_MS, { signal: wait.signal });
    }
  }

  async #look(watch: Watch, { seen, reader, signal, trace }: Wait, need: Need): Promise<Look> {
    const isWhole = need.isWhole || watch.wholeWaits > 0;
    const askedMs = Date.now();
    let found: Look["found"];
    await watch.flight.run(async () => {
      try {
        const conditions = { onlyFinished: !isWhole, signal, ...(!need.isLast && { attempts: 1 }) };
        const row = await this.#store.find(seen.id, ISOLATE, trace, conditions);
        if (row !== undefined) {
          found = await makeRun(row, askedMs);
          await this.#kept.keep(found, reader, trace);
        }
      } catch (error) {
        // Others must not take over that this client has left.
        if (!(error instanceof Failure) || signal.aborted) throw error;
        found = error;
      }
    }, LOOK_TIMEOUT_MS);
    const look = { askedMs, found, isWhole: isWhole || found !== undefined };
    this.#share(watch, look);
    return look;
  }

  #share(watch: Watch, look: Look | undefined): void {
    this.#sharedBytes += sizeOf(look) - sizeOf(watch.look);
    watch.look = look;
    if (this.#sharedBytes > MAX_SHARED_BYTES && look !== undefined) this.#share(watch, undefined);
  }

  #join({ seen, untilChanged }: Wait): Watch {
    let watch = this.#watches.get(seen.id);
    if (watch === undefined) {
      watch = { flight: new SingleFlight(), waits: 0, wholeWaits: 0, look: undefined };
      if (this.#watches.size < MAX_WATCHES) this.#watches.set(seen.id, watch);
    }
    watch.waits += 1;
    if (untilChanged) watch.wholeWaits += 1;
    return watch;
  }

  #leave(watch: Watch, { seen, untilChanged }: Wait): void {
    watch.waits -= 1;
    if (untilChanged) watch.wholeWaits -= 1;
    if (watch.waits > 0) return;
    this.#share(watch, undefined);
    if (this.#watches.get(seen.id) === watch) this.#watches.delete(seen.id);
  }
}

const sizeOf = (look: Look | undefined) =>
  look?.found === undefined || look.found instanceof Failure ? 0 : look.found.body.byteLength;
