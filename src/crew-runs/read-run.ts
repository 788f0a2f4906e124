// Where a run comes from, in this order: the isolate's memory, the data centre's cache, the database; and waiting for it to
// change (RFC 7240 §4.3). Knows who asks; knows nothing of headers or statuses.
import type { Reader } from "../auth/authenticate.ts";
import type { Exchange } from "../exchange.ts";
import { type Result, fail, succeed } from "../failure.ts";
import type { KeptRuns } from "./kept-runs.ts";
import { type Run, readRun, tagOf, versionOf } from "./record.ts";
import type { CrewRunStore, Row } from "./store.ts";

/**
 * The first pause of a wait; each next one is longer by a half, up to the longest. One query follows each: 13 in 30 seconds,
 * 23 in 60. With the first read, and the repeats that it and the last have, 28 at most, of the 50 subrequests that a request
 * has on Workers Free.
 */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 3_000;
const PAUSE_GROWTH = 1.5;

export interface RunSource {
  store: CrewRunStore;
  kept: KeptRuns;
}

/**
 * The run; without its body where it is unfinished and `heldTag` is its tag.
 * Fails with `run_not_found`, `database_unavailable` or `invalid_record`.
 */
export async function findRun(
  source: RunSource,
  id: string,
  reader: Reader,
  heldTag: string | null,
  exchange: Exchange,
): Promise<Result<Run>> {
  const kept = source.kept.find(id, reader, exchange.startedMs);
  if (kept !== undefined) {
    exchange.note({ cache: "hit", cache_layer: "isolate" });
    return succeed(kept);
  }
  let shared = await source.kept.findShared(id, reader, false);
  if (shared === undefined) {
    const askedMs = Date.now();
    const last = source.kept.findUnfinished(id, reader);
    const found = await source.store.find(id, reader, versionOf(last?.etag ?? heldTag), exchange);
    exchange.note({ cache: "miss" });
    if (found.ok) return readRow(source, id, found.value, askedMs, exchange, last);
    // Meanwhile another isolate may have kept the run.
    shared = await source.kept.findShared(id, reader, true);
    if (shared === undefined) return found;
  }
  exchange.note({ cache: "hit", cache_layer: "data_centre" });
  return succeed(shared);
}

/**
 * Waits until the run is no longer `seen`: another tag where `untilChanged`, else finished. Ends after `waitMs` with the run
 * as it stands, or with a failure as in `findRun`. A fault of the database that passes is ridden out while time is left.
 */
export async function waitForRun(
  source: RunSource,
  seen: Run,
  reader: Reader,
  exchange: Exchange,
  { waitMs, untilChanged }: { waitMs: number; untilChanged: boolean },
): Promise<Result<Run>> {
  const startedMs = Date.now();
  const endMs = startedMs + waitMs;
  let run = seen;
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * PAUSE_GROWTH)) {
    await scheduler.wait(Math.max(0, Math.min(pauseMs, endMs - Date.now())));
    const askedMs = Date.now();
    exchange.note({ waited_ms: askedMs - startedMs });
    const found = await source.store.find(seen.id, reader, versionOf(run.etag), exchange, endMs);
    if (!found.ok) {
      if (found.passing && askedMs < endMs) continue;
      return found;
    }
    const current = readRow(source, seen.id, found.value, askedMs, exchange, run);
    if (!current.ok) return current;
    run = current.value;
    if (run.isFinal || (untilChanged && run.etag !== seen.etag) || askedMs >= endMs) return succeed(run);
  }
}

/**
 * `askedMs` is when the database was asked: what it said may be that old. `last` is the run as it was before: what it is
 * still where the row has not changed. Without it the asker holds the run, and needs no body.
 */
function readRow(
  { kept }: RunSource,
  id: string,
  row: Row | undefined,
  askedMs: number,
  exchange: Exchange,
  last: Run | undefined,
): Result<Run> {
  if (row === undefined) return fail({ reason: "run_not_found" });
  if (row["id"] === null) {
    if (last !== undefined) return succeed(last);
    const createdMs = Date.parse(row["created"] ?? "");
    const etag = tagOf(row["version"] ?? "");
    return succeed({ id, ownerId: "", isFinal: false, createdMs, etag, readMs: askedMs, body: undefined });
  }
  const run = readRun(row, askedMs);
  if (run.ok) kept.keep(run.value, exchange);
  return run;
}
