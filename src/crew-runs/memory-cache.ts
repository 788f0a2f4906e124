// Runs in the isolate's memory, within a byte budget; the least recently used is evicted first. Knows nothing of who may read.
import type { Run } from "./record.ts";

/** Map entry, strings and headers of one run, roughly: so that many small runs count too. */
const ENTRY_OVERHEAD_BYTES = 2_048;

const sizeOf = (run: Run) => run.body.byteLength + ENTRY_OVERHEAD_BYTES;

/** `maxBytes` bounds all runs together; a run with a body above `maxRunBytes` isn't cached. */
export function createMemoryCache(maxBytes: number, maxRunBytes: number) {
  /** Least recently used first. */
  const runs = new Map<string, Run>();
  let bytes = 0;

  function drop(run: Run | undefined): void {
    if (run !== undefined && runs.delete(run.id)) bytes -= sizeOf(run);
  }

  /** Replaces the run with the same id. */
  function set(run: Run): void {
    drop(runs.get(run.id));
    if (run.body.byteLength > maxRunBytes) return;
    runs.set(run.id, run);
    bytes += sizeOf(run);
    for (const oldest of runs.values()) {
      if (bytes <= maxBytes) break;
      drop(oldest);
    }
  }

  function get(id: string): Run | undefined {
    const run = runs.get(id);
    if (run !== undefined) set(run);
    return run;
  }

  return { get, set };
}
