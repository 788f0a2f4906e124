// One task at a time for the whole isolate, whose end all who need it await. A request can't await another request's I/O
// (cloudflare/workerd#210), but since 2024-10-14 it may resolve a promise that another request made
// (`handle_cross_request_promise_resolution`): so each caller awaits its own promise.
import { isRecent } from "./clock.ts";

export class SingleFlight {
  readonly #timeoutMs: number;
  /** The task under way, and the callers to wake at its end. Those whose requests were cut off are dropped with it. */
  #flight: { startedMs: number; waiting: (() => void)[] } | undefined;

  /** A task counts as cut off `timeoutMs` after its start, because its request may have ended without a word. */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  get isBusy(): boolean {
    return this.#flight !== undefined && isRecent(this.#flight.startedMs, this.#timeoutMs);
  }

  /** Runs the task, or waits for the end of the one under way. The task must not reject. */
  async run(task: () => Promise<void>): Promise<void> {
    if (this.isBusy) return this.join(this.#timeoutMs, this.#timeoutMs);
    const flight = (this.#flight = { startedMs: Date.now(), waiting: [] as (() => void)[] });
    await task();
    // One that outlived its time has a successor.
    if (this.#flight === flight) this.#flight = undefined;
    for (const end of flight.waiting) end();
  }

  /** Waits for the end of the task under way, until `patienceMs` after its start, and for no longer than `limitMs` from now. */
  async join(patienceMs: number, limitMs: number): Promise<void> {
    if (this.#flight === undefined) return;
    const endMs = this.#flight.startedMs + Math.min(patienceMs, this.#timeoutMs);
    const leftMs = Math.min(endMs - Date.now(), limitMs);
    if (leftMs <= 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#flight.waiting.push(resolve);
    await Promise.race([promise, scheduler.wait(leftMs)]);
  }
}
