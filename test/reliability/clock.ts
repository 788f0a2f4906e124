// A clock that can be set forward and goes on from there, unlike a faked one, which stands still.
// Timers keep real time.
import { afterEach, vi } from "vitest";

/** Call it once a file; the clock is right again after each test. */
export function adjustClock(): { advance(seconds: number): void } {
  const realNow = Date.now;
  let aheadMs = 0;
  afterEach(() => {
    aheadMs = 0;
    vi.mocked(Date.now).mockRestore?.();
  });
  return {
    advance(seconds) {
      aheadMs += seconds * 1_000;
      vi.spyOn(Date, "now").mockImplementation(() => realNow() + aheadMs);
    },
  };
}
