// Loads Workers in turn, A B C, C B A and so on, and takes their CPU time from the system for each slice, so that what
// disturbs the machine disturbs all alike: a ratio is made within a round. Warms up and calibrates; judges nothing.

import type { Helper } from "./processes.ts";
import { cpuMicroseconds } from "./processes.ts";
import type { LoadCall, LoadReply, LoadRequest } from "./load.ts";
import { quantile } from "./statistics.ts";
import type { Workerd } from "./workerd.ts";

export type Probe = {
  name: string;
  worker: Workerd;
  requests: LoadRequest[];
  connections: number;
  expectedStatus: number;
};

export type Sample = {
  cpuMicroseconds: number;
  requestsPerSecond: number;
  p50Milliseconds: number;
  p99Milliseconds: number;
  /** Of the load generator, per request: what the measuring costs beside the measured. */
  loadCpuMicroseconds: number;
};

export type Effort = {
  rounds: number;
  /** CPU time of the Worker that one slice should take. */
  sliceSeconds: number;
  warmUpSeconds: number;
};

type Load = Helper<LoadCall, LoadReply>;

/** One slice of exactly `amount` requests. @throws when an answer is not the expected one */
export async function takeSample(load: Load, probe: Probe, amount: number): Promise<Sample> {
  const { worker, requests, connections, expectedStatus } = probe;
  const before = cpuMicroseconds(worker.pid);
  const loadBefore = cpuMicroseconds(load.pid);
  const reply = await load.call({ origin: worker.origin, requests, connections, amount });
  const spent = cpuMicroseconds(worker.pid) - before;
  const loadSpent = cpuMicroseconds(load.pid) - loadBefore;
  const answered = reply.statuses[expectedStatus] ?? 0;
  if (reply.errors > 0 || answered !== amount) {
    throw new Error(
      `${probe.name}: of ${amount} requests ${reply.errors} failed; statuses ${JSON.stringify(reply.statuses)}`,
    );
  }
  const latencies = [...reply.latenciesMilliseconds];
  return {
    cpuMicroseconds: spent / amount,
    requestsPerSecond: amount / reply.seconds,
    p50Milliseconds: quantile(latencies, 0.5),
    p99Milliseconds: quantile(latencies, 0.99),
    loadCpuMicroseconds: loadSpent / amount,
  };
}

const maxAmount = 20_000;

/** Runs a probe until it has used its time, and finds how many requests make a slice. */
async function warmUp(load: Load, probe: Probe, effort: Effort): Promise<number> {
  const least = probe.connections * 2;
  let amount = Math.max(least, Math.min(50, maxAmount));
  let spentSeconds = 0;
  let cost = 0;
  while (spentSeconds < effort.warmUpSeconds) {
    const sample = await takeSample(load, probe, amount);
    cost = sample.cpuMicroseconds;
    spentSeconds += (cost * amount) / 1e6;
    const rest = ((effort.warmUpSeconds - spentSeconds) * 1e6) / cost;
    amount = Math.min(maxAmount, Math.max(least, Math.min(amount * 8, Math.ceil(rest))));
  }
  return Math.min(maxAmount, Math.max(least, Math.ceil((effort.sliceSeconds * 1e6) / cost)));
}

/** @returns for each probe its samples, one a round */
export async function measureInTurn(load: Load, probes: readonly Probe[], effort: Effort): Promise<Sample[][]> {
  const turns: { probe: Probe; amount: number; samples: Sample[] }[] = [];
  for (const probe of probes) {
    turns.push({ probe, amount: await warmUp(load, probe, effort), samples: [] });
  }
  for (let round = 0; round < effort.rounds; round++) {
    for (const { probe, amount, samples } of round % 2 === 0 ? turns : turns.toReversed()) {
      samples.push(await takeSample(load, probe, amount));
    }
  }
  return turns.map(({ samples }) => samples);
}

/** The CPU time of one probe over that of another, round by round. */
export const ratiosOf = (samples: readonly Sample[], limits: readonly Sample[]): number[] =>
  samples.map((sample, round) => sample.cpuMicroseconds / (limits[round]?.cpuMicroseconds ?? Number.NaN));
