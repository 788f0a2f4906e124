// What a request costs the Worker in CPU time, against the least that any Worker could do: the same bytes from memory, or
// one subrequest. The Workers are loaded in turn, forwards in one round and backwards in the next; a ratio is made within a
// round. Time stands still inside a Worker, so the CPU time is the system's account of the workerd process.
import { readCpuMicroseconds } from "./processes.ts";
import { type Line, describeRatio } from "./report.ts";
import { FINISHED_RUN, LARGE_RUN, SMALL_RUN } from "./runs.ts";
import type { Stage } from "./stage.ts";
import type { Workerd } from "../test/support/node/workerd.ts";

const ROUNDS = 25;
const CONNECTIONS = 16;
/** CPU time of the Worker. */
const SLICE_MICROSECONDS = 200_000;
const WARM_UP_MICROSECONDS = 1_500_000;
/** More 500 KB rows than an isolate may remember. */
const LARGE_RUNS = 24;

interface Probe {
  worker: Workerd;
  /** Asked for in turn. */
  runs: string[];
  headers?: Record<string, string>;
  status?: number;
}

export async function measureCpu(stage: Stage): Promise<Line[]> {
  const finished = await stage.addRun(FINISHED_RUN);
  const small = await stage.addRun(SMALL_RUN);
  const large: string[] = [];
  while (large.length < LARGE_RUNS) large.push(await stage.addRun(LARGE_RUN));

  const worker = await stage.start(stage.product);
  const { body, headers } = await stage.ask(worker, finished);
  await stage.ask(worker, small);
  const statement = stage.upstream.calls.at(-1)?.body.replaceAll(small, "RUN_ID") ?? "";
  const memory = await stage.start(await stage.bundle("static"), { BODY: body.toString() });
  const forward = await stage.start(await stage.bundle("forward"), { STATEMENT: statement });
  try {
    const probes: Record<string, Probe> = {
      memory: { worker: memory, runs: [finished] },
      kept: { worker, runs: [finished] },
      notModified: { worker, runs: [finished], headers: { "if-none-match": headers.etag ?? "" }, status: 304 },
      forwardSmall: { worker: forward, runs: [small] },
      small: { worker, runs: [small] },
      forwardLarge: { worker: forward, runs: large },
      large: { worker, runs: large },
    };
    const costs = await measureInTurn(stage, probes);
    const compare = (what: string, name: string, limit: string, target: number, aim: number) => {
      const limits = costs.get(limit) ?? [];
      const ratios = (costs.get(name) ?? []).map((cost, round) => cost / (limits[round] ?? Number.NaN));
      return describeRatio(`CPU: ${what}`, ratios, target, aim);
    };
    return [
      compare("kept run, against static bytes", "kept", "memory", 1.5, 1.25),
      compare("the same, 304", "notModified", "memory", 1.4, 1.25),
      compare("one query, against one forwarded subrequest", "small", "forwardSmall", 2.1, 1.7),
      compare("500 KB read anew, against the same", "large", "forwardLarge", 2.2, 1.8),
    ];
  } finally {
    await Promise.all([worker.end(), memory.end(), forward.end()]);
  }
}

/** Gives for each probe its CPU microseconds per request, one a round. */
async function measureInTurn(stage: Stage, probes: Record<string, Probe>): Promise<Map<string, number[]>> {
  const turns: { name: string; probe: Probe; amount: number }[] = [];
  for (const [name, probe] of Object.entries(probes)) {
    turns.push({ name, probe, amount: await warmUp(stage, probe) });
  }
  const costs = new Map(turns.map(({ name }) => [name, [] as number[]]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const { name, probe, amount } of round % 2 === 0 ? turns : turns.toReversed()) {
      costs.get(name)?.push(await takeSample(stage, probe, amount));
    }
  }
  return costs;
}

/** Gives the number of requests that make a slice. */
async function warmUp(stage: Stage, probe: Probe): Promise<number> {
  let cost = 0;
  for (let spent = 0, amount = 4 * CONNECTIONS; spent < WARM_UP_MICROSECONDS; spent += cost * amount) {
    cost = await takeSample(stage, probe, amount);
  }
  return Math.max(2 * CONNECTIONS, Math.ceil(SLICE_MICROSECONDS / cost));
}

async function takeSample(stage: Stage, { worker, runs, headers, status = 200 }: Probe, amount: number) {
  const before = readCpuMicroseconds(worker.pid);
  let asked = 0;
  async function askInTurn(): Promise<void> {
    while (asked < amount) {
      const answer = await stage.ask(worker, runs[asked++ % runs.length] ?? "", headers);
      if (answer.status !== status) throw new Error(`${answer.status} instead of ${status}`);
    }
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, askInTurn));
  const spent = readCpuMicroseconds(worker.pid) - before;
  stage.upstream.calls.length = 0;
  return spent / amount;
}
