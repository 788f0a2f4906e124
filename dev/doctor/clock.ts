// Whether the clocks of those involved agree: a token's times are the issuer's, and are judged by another clock. Pure.
import { type Finding, bad, ok } from "../checklist.ts";

/** What another clock said in answer to a request. Milliseconds since the epoch. */
export interface ClockReading {
  name: string;
  startedMs: number;
  endedMs: number;
  theirMs: number;
}

/** Resolution of an HTTP date, both ways. */
const resolutionMs = 1_000;

/**
 * Compares each clock with this machine's.
 * @param toleranceSeconds by how much clocks may differ before tokens are refused: JWT_LEEWAY_SECONDS
 */
export function checkClocks(readings: readonly ClockReading[], toleranceSeconds: number): Finding[] {
  const closest = new Map<string, { offsetMs: number; doubtMs: number }>();
  for (const { name, startedMs, endedMs, theirMs } of readings) {
    const doubtMs = (endedMs - startedMs) / 2;
    const offsetMs = theirMs - (startedMs + doubtMs);
    const known = closest.get(name);
    if (known === undefined || doubtMs < known.doubtMs) closest.set(name, { offsetMs, doubtMs });
  }
  return [...closest].map(([name, { offsetMs, doubtMs }]) => {
    const seconds = Math.abs(offsetMs / 1_000).toFixed(1);
    if (Math.abs(offsetMs) <= toleranceSeconds * 1_000 + resolutionMs + doubtMs) {
      return ok(`the clock of ${name} and this machine's agree (${seconds} s apart)`);
    }
    return bad(
      `the clock of ${name} is ${seconds} s ${offsetMs > 0 ? "ahead of" : "behind"} this machine's`,
      `Beyond JWT_LEEWAY_SECONDS (${toleranceSeconds}) tokens are refused as expired or not yet valid. If every clock here differs
by as much, it is this machine's that is wrong, and the Worker is not affected.`,
    );
  });
}
