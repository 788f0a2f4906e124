// The one way to move the clock that the Worker reads. It can go on from where it was set, stand still, or run faster; timers
// keep real time unless it runs faster.
import { afterEach, vi } from "vitest";

export interface Clock {
  /** Moves the clock forwards, or backwards if negative. */
  advance(seconds: number): void;
  /** Sets the clock, which stands still from then on. */
  stopAt(ms: number): void;
  /** Makes clock and timers (`scheduler.wait`) run this much faster. */
  speedUp(times: number): void;
}

/** Call it once per file. After each test the clock is right again. */
export function controlClock(): Clock {
  const realNow = Date.now;
  let read = realNow;
  const setTo = (now: () => number) => {
    read = now;
    vi.spyOn(Date, "now").mockImplementation(() => read());
  };
  let restoreTimers = () => {};
  afterEach(() => {
    read = realNow;
    vi.mocked(Date.now).mockRestore?.();
    restoreTimers();
  });
  return {
    advance(seconds) {
      const before = read;
      setTo(() => before() + seconds * 1_000);
    },
    stopAt: (ms) => setTo(() => ms),
    speedUp(times) {
      const [before, startMs] = [read, read()];
      setTo(() => startMs + (before() - startMs) * times);
      const wait = scheduler.wait.bind(scheduler);
      const spy = vi.spyOn(scheduler, "wait").mockImplementation((ms, options) => wait(ms / times, options));
      restoreTimers = () => spy.mockRestore();
    },
  };
}
