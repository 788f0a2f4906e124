// What a Worker costs before it is warm: its bundle's bytes, the CPU time of its start above an empty Worker's, and
// the calls that it makes upstream. The starts are interleaved; the calls are counted by the upstream.

import type { LoadRequest } from "./load.ts";
import { cpuMicroseconds } from "./processes.ts";
import { idOf } from "./runs.ts";
import { fetchRun, type Stage, type WorkerName } from "./stage.ts";
import { median, type Spread, spread } from "./statistics.ts";
import type { Workerd } from "./workerd.ts";

export type StartUp = {
  /** Above the empty Worker, in milliseconds, to the first answer, which needs nothing from upstream. */
  workerMilliseconds: number;
  tutorialMilliseconds: number;
  emptyMilliseconds: number;
  ratio: Spread;
  /** The same to the first run that is read: key set, verification and query included. */
  workerFirstRunMilliseconds: number;
  tutorialFirstRunMilliseconds: number;
  firstRunRatio: Spread;
};

async function startOnce(stage: Stage, name: WorkerName): Promise<{ firstAnswer: number; firstRun: number }> {
  const worker = await stage.start(name);
  try {
    const { path, headers } = stage.request(idOf("unfinished usual"));
    // No credentials: a 401 of the product and of the tutorial.
    const answer = await fetch(worker.origin + path, { signal: AbortSignal.timeout(20_000) });
    await answer.arrayBuffer();
    const firstAnswer = cpuMicroseconds(worker.pid) / 1000;
    await fetchRun(worker, { path, headers });
    return { firstAnswer, firstRun: cpuMicroseconds(worker.pid) / 1000 };
  } finally {
    await worker.end();
  }
}

/** Starts each Worker `rounds` times, in turn. */
export async function measureStartUp(stage: Stage, rounds: number): Promise<StartUp> {
  const empty: number[] = [];
  const above = { worker: [] as number[], tutorial: [] as number[] };
  const firstRuns = { worker: [] as number[], tutorial: [] as number[] };
  for (let round = 0; round < rounds; round++) {
    const base = await startOnce(stage, "empty");
    empty.push(base.firstAnswer);
    for (const name of round % 2 === 0 ? (["worker", "tutorial"] as const) : (["tutorial", "worker"] as const)) {
      const { firstAnswer, firstRun } = await startOnce(stage, name);
      above[name].push(firstAnswer - base.firstAnswer);
      firstRuns[name].push(firstRun - base.firstRun);
    }
  }
  const ratio = (values: { worker: number[]; tutorial: number[] }): Spread =>
    spread(values.worker.map((value, round) => value / (values.tutorial[round] ?? Number.NaN)));
  return {
    emptyMilliseconds: median(empty),
    workerMilliseconds: median(above.worker),
    tutorialMilliseconds: median(above.tutorial),
    ratio: ratio(above),
    workerFirstRunMilliseconds: median(firstRuns.worker),
    tutorialFirstRunMilliseconds: median(firstRuns.tutorial),
    firstRunRatio: ratio(firstRuns),
  };
}

export type Calls = { sql: number; keySet: number };
export type UpstreamCalls = { kept: Calls; other: Calls; cold: Calls };

/**
 * Counts calls for one request each: a run that was read before, a run that is unfinished, and the first request of an
 * isolate whose data centre has the key set already, from another isolate.
 */
export async function countUpstreamCalls(stage: Stage, name: "worker" | "tutorial"): Promise<UpstreamCalls> {
  const readCalls = async (): Promise<Calls> => {
    const { sqlCalls, keySetCalls } = await stage.upstream.call({ kind: "readCalls", worker: name });
    return { sql: sqlCalls, keySet: keySetCalls };
  };
  const finished = stage.request(idOf("finished usual"));
  const unfinished = stage.request(idOf("unfinished usual"));
  const countOne = async (worker: Workerd, request: LoadRequest): Promise<Calls> => {
    await readCalls();
    await fetchRun(worker, request);
    return readCalls();
  };
  const cache = { cacheAddress: stage.cacheAddress };
  const first = await stage.start(name, cache);
  const second = await stage.start(name, cache);
  try {
    await fetchRun(first, finished);
    await fetchRun(first, unfinished);
    return {
      kept: await countOne(first, finished),
      other: await countOne(first, unfinished),
      cold: await countOne(second, unfinished),
    };
  } finally {
    await Promise.all([first.end(), second.end()]);
  }
}
