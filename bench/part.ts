// What the parts of the benchmark have in common.
import type { Client } from "./load.ts";
import type { BenchStack } from "./bench-stack.ts";
import type { Line } from "./report.ts";

export interface Part {
  describe: string;
  /** About how long it takes on a quiet machine. */
  seconds(options: Options): number;
  measure(stack: BenchStack, options: Options, advance: Advance): Promise<Line[]>;
}

export interface Options {
  /** A fifth of the rounds. */
  isQuick: boolean;
  /** For the CPU time of warm Workers. */
  clients: Client[];
  /** Other source trees to measure alongside: bundle.ts. */
  against: string[];
}

/** Tells how much of a part is done, from 0 to 1. */
export type Advance = (share: number) => void;

export function countRounds({ isQuick }: Options, rounds: number): number {
  return isQuick ? Math.ceil(rounds / 5) : rounds;
}
