// Runs in the isolate's memory, within a byte budget: what was used least recently goes first. Knows nothing of who may read.
import type { Run } from "./record.ts";

/** Map entry, strings and headers of one run, roughly: so that many small runs count too. */
const ENTRY_OVERHEAD_BYTES = 2_048;

const sizeOf = (run: Run) => run.body.byteLength + ENTRY_OVERHEAD_BYTES;

export class RunMemory {
  readonly #maxBytes: number;
  readonly #maxRunBytes: number;
  /** Least recently used first. */
  readonly #runs = new Map<string, Run>();
  #bytes = 0;

  constructor(maxBytes: number, maxRunBytes: number) {
    this.#maxBytes = maxBytes;
    this.#maxRunBytes = maxRunBytes;
  }

  get(id: string): Run | undefined {
    const run = this.#runs.get(id);
    if (run !== undefined) {
      this.#runs.delete(id);
      this.#runs.set(id, run);
    }
    return run;
  }

  /** Takes the place of the run with the same id. One that is too large is not taken. */
  set(run: Run): void {
    this.delete(run.id);
    if (run.body.byteLength > this.#maxRunBytes) return;
    this.#runs.set(run.id, run);
    this.#bytes += sizeOf(run);
    for (const id of this.#runs.keys()) {
      if (this.#bytes <= this.#maxBytes) break;
      this.delete(id);
    }
  }

  delete(id: string): void {
    const run = this.#runs.get(id);
    if (run !== undefined && this.#runs.delete(id)) this.#bytes -= sizeOf(run);
  }
}
