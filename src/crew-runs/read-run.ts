// Where a run comes from, in this order: the isolate's memory, the data centre's cache, the database; and waiting for it to
// change (RFC 7240 §4.3). Knows who asks; knows nothing of headers or statuses.
import type { Reader } from "../auth/authenticate.ts";
import type { Exchange } from "../exchange.ts";
import { type Result, fail, succeed } from "../failure.ts";
import { type KeptRuns, type Representation, represent } from "./kept-runs.ts";
import { readRun } from "./record.ts";
import type { CrewRunStore } from "./store.ts";

/** The first pause of a wait; each next one is longer by a half, up to the longest: 14 checks in 30 seconds, 24 in 60. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 3_000;
const PAUSE_GROWTH = 1.5;

export interface RunSource {
  store: CrewRunStore;
  kept: KeptRuns;
}

/** Fails with `run_not_found`, `database_unavailable` or `invalid_record`. */
export async function findRun(
  source: RunSource,
  id: string,
  reader: Reader,
  exchange: Exchange,
): Promise<Result<Representation>> {
  const kept = source.kept.find(id, reader, exchange.startedMs);
  if (kept !== undefined) {
    exchange.note({ cache: "hit", cache_layer: "isolate" });
    return succeed(kept);
  }
  const shared = await source.kept.findShared(id, reader);
  if (shared !== undefined) {
    exchange.note({ cache: "hit", cache_layer: "data_centre" });
    return succeed(shared);
  }
  exchange.note({ cache: "miss" });
  return queryRun(source, id, reader, exchange);
}

async function queryRun(
  source: RunSource,
  id: string,
  reader: Reader,
  exchange: Exchange,
): Promise<Result<Representation>> {
  const found = await source.store.find(id, reader, exchange);
  if (!found.ok) return found;
  if (found.value === undefined) return fail({ reason: "run_not_found" });
  const run = readRun(found.value);
  if (!run.ok) return run;
  const representation = await represent(run.value, Date.now());
  source.kept.keep(representation, reader, exchange);
  return succeed(representation);
}

/**
 * Waits until the run is no longer `seen`: another tag where `untilChanged`, else finished. Ends after `waitMs` with the run
 * as it stands. A failing database is ridden out while time is left.
 */
export async function waitForRun(
  source: RunSource,
  seen: Representation,
  reader: Reader,
  exchange: Exchange,
  { waitMs, untilChanged }: { waitMs: number; untilChanged: boolean },
): Promise<Result<Representation>> {
  const { id } = seen;
  const startedMs = Date.now();
  const endMs = startedMs + waitMs;
  let latest: Result<Representation> = succeed(seen);
  let version: string | null | undefined;
  let pauseMs = FIRST_PAUSE_MS;
  while (Date.now() < endMs && !exchange.request.signal.aborted) {
    await scheduler.wait(Math.min(pauseMs, endMs - Date.now()));
    pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * PAUSE_GROWTH);
    const current = await source.store.findVersion(id, reader, exchange);
    if (current.ok && current.value !== undefined && current.value === version && latest.ok) continue;
    latest = current.ok ? await queryRun(source, id, reader, exchange) : current;
    if (!latest.ok) {
      if (latest.failure.reason === "database_unavailable") continue;
      break;
    }
    if (current.ok) version = current.value;
    if (latest.value.isFinal || (untilChanged && latest.value.etag !== seen.etag)) break;
  }
  exchange.note({ waited_ms: Date.now() - startedMs });
  return latest;
}
