// The CPU time of a process.
import { readFileSync, readdirSync } from "node:fs";

/**
 * The CPU time that a process has used so far, in microseconds: user and system time of all its threads. From schedstat
 * (nanoseconds) if the kernel has it, else from stat (ticks of 10 ms).
 */
export function readCpuMicroseconds(pid: number): number {
  try {
    let nanoseconds = 0;
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      nanoseconds += Number.parseInt(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8"), 10);
    }
    return nanoseconds / 1_000;
  } catch {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) * 10_000;
  }
}
