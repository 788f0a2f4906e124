// One task at a time for the whole isolate, without a promise shared between requests: workerd forbids a request to await
// another's I/O (cloudflare/workerd#210). Who comes second looks again at short intervals, by a timer of its own.

const LOOK_AGAIN_MS = 10;

export class SingleFlight {
  #busyUntilMs = 0;

  /**
   * Runs the task, or waits until the one under way has ended. A task whose request was cut off counts as ended after
   * `timeoutMs`. The task must not reject.
   */
  async run(task: () => Promise<void>, timeoutMs: number): Promise<void> {
    if (this.busy) {
      while (this.busy) await scheduler.wait(LOOK_AGAIN_MS);
      return;
    }
    this.#busyUntilMs = Date.now() + timeoutMs;
    await task();
    this.#busyUntilMs = 0;
  }

  get busy(): boolean {
    return Date.now() < this.#busyUntilMs;
  }
}
