// The CPU time of a process.
import { readFileSync, readdirSync } from "node:fs";

/** The CPU time that a process has used so far, in microseconds: user and system time of all its threads. Needs Linux. */
export function readCpuMicroseconds(pid: number): number {
  let nanoseconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number.parseInt(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8"), 10);
  }
  return nanoseconds / 1_000;
}
