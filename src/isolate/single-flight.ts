// One task at a time for the whole isolate; its result serves everyone who waits. A request may not await another request's I/O
// (cloudflare/workerd#210), but it may resolve a promise that another request made (`handle_cross_request_promise_resolution`,
// since 2024-10-14): each caller that joins awaits a promise of its own.
import { isRecent } from "./clock.ts";

export class SingleFlight<T = void> {
  #flight: { startedMs: number; timeoutMs: number } | undefined;
  readonly #listeners = new Set<(result: T | undefined) => void>();

  get isBusy(): boolean {
    return this.#flight !== undefined && isRecent(this.#flight.startedMs, this.#flight.timeoutMs);
  }

  /**
   * Runs the task, or joins the one under way; returns the result, or undefined if the task that was joined failed or was cut
   * off. A task counts as cut off `timeoutMs` after its start, because its request may have ended without a word.
   */
  async run(task: () => Promise<T>, timeoutMs: number): Promise<T | undefined> {
    if (this.isBusy) return this.next(timeoutMs);
    const flight = { startedMs: Date.now(), timeoutMs };
    this.#flight = flight;
    let result: T | undefined;
    try {
      return (result = await task());
    } finally {
      // One that outlived its time has a successor, whose listeners wait on.
      if (this.#flight === flight) {
        this.#flight = undefined;
        for (const resolve of this.#listeners) resolve(result);
      }
    }
  }

  /** Returns the result of the next task to end; undefined after `withinMs`. Rejects if the signal fires. */
  async next(withinMs: number, signal?: AbortSignal): Promise<T | undefined> {
    const { promise, resolve } = Promise.withResolvers<T | undefined>();
    this.#listeners.add(resolve);
    const timeout = scheduler.wait(Math.max(0, withinMs), signal && { signal });
    try {
      return await Promise.race([promise, timeout.then(() => undefined)]);
    } finally {
      this.#listeners.delete(resolve);
    }
  }
}
