// One task at a time for the whole isolate, without a promise shared between requests: workerd forbids a request to await
// another's I/O (cloudflare/workerd#210). Later callers poll on their own timers.
import { isRecent } from "./clock.ts";

const POLL_MS = 10;

export class SingleFlight {
  #flight: { startedMs: number; timeoutMs: number } | undefined;

  /**
   * Runs the task, or waits until the one under way has ended. A task whose request was cut off counts as ended
   * `timeoutMs` after it began.
   */
  async run(task: () => Promise<void>, timeoutMs: number): Promise<void> {
    const isFirst = !this.isBusy;
    while (this.isBusy) await scheduler.wait(POLL_MS);
    if (!isFirst) return;
    const flight = { startedMs: Date.now(), timeoutMs };
    this.#flight = flight;
    try {
      await task();
    } finally {
      if (this.#flight === flight) this.#flight = undefined;
    }
  }

  get isBusy(): boolean {
    return this.#flight !== undefined && isRecent(this.#flight.startedMs, this.#flight.timeoutMs);
  }
}
