// The CPU time of a request, against the least that any Worker could do: the same bytes from memory, or one subrequest. The
// Workers are loaded in turn, forwards in one round and backwards in the next; a ratio is made within a round. Time stands
// still inside a Worker, so CPU time is what the system counts for the workerd process.
import type { Bundle } from "../test/support/node/bundle.ts";
import type { Workerd } from "../test/support/node/workerd.ts";
import { readCpuMicroseconds } from "./cpu-time.ts";
import { load } from "./load.ts";
import type { LocalStack } from "./local-stack.ts";
import { type Line, describeRatio } from "./report.ts";
import { FINISHED_RUN, LARGE_RUN, SMALL_RUN } from "./runs.ts";
import { median } from "./statistics.ts";

const ROUNDS = 15;
/** CPU time of the Worker: long against the pauses of V8's collector and compiler. */
const SLICE_MICROSECONDS = 500_000;
/** Until V8 has compiled what it will compile: after 1.5 s, a query still costs a tenth more. */
const WARM_UP_MICROSECONDS = 4_000_000;
const FEWEST_REQUESTS = 64;

interface Probe {
  worker: Workerd;
  run: string;
  headers?: Record<string, string>;
  status?: number;
}

export async function measureCpu(stack: LocalStack): Promise<Line[]> {
  const finished = await stack.addRun(FINISHED_RUN);
  const small = await stack.addRun(SMALL_RUN);
  const large = await stack.addRun(LARGE_RUN);
  const started: Workerd[] = [];
  async function start(bundle: Bundle, variables?: Record<string, string>): Promise<Workerd> {
    const worker = await stack.start(bundle, variables);
    started.push(worker);
    return worker;
  }
  try {
    const worker = await start(stack.product);
    const { body, headers } = await stack.read(worker, finished);
    await stack.read(worker, small);
    const statement = stack.upstream.calls.at(-1)?.body.replaceAll(small, "RUN_ID") ?? "";
    const memory = await start(await stack.bundle("static"), { BODY: body.toString() });
    const forward = await stack.bundle("forward");
    const notModified = { run: finished, headers: { "if-none-match": headers.etag ?? "" }, status: 304 };
    // A Worker of its own for each, so that no one pays for another's garbage.
    const costs = await measureInTurn(stack, {
      static: { worker: memory, run: finished },
      cached: { worker, run: finished },
      notModified: { worker: await start(stack.product), ...notModified },
      forwardSmall: { worker: await start(forward, { STATEMENT: statement }), run: small },
      small: { worker: await start(stack.product), run: small },
      forwardLarge: { worker: await start(forward, { STATEMENT: statement }), run: large },
      large: { worker: await start(stack.product), run: large },
    });
    const compare = (what: string, name: string, limit: string, target: number, aim?: number) => {
      const [own = [], least = []] = [costs.get(name), costs.get(limit)];
      const ratios = own.map((cost, round) => cost / (least[round] ?? Number.NaN));
      const line = describeRatio(`CPU: ${what}`, ratios, target, aim);
      line.measured += `; ${median(own).toFixed(0)} µs of ${median(least).toFixed(0)}`;
      return line;
    };
    return [
      compare("cached run, against static bytes", "cached", "static", 1.8, 1.6),
      compare("cached run, 304, against static bytes", "notModified", "static", 1.6, 1.5),
      compare("one query, against one forwarded subrequest", "small", "forwardSmall", 2.1),
      compare("500 KB read anew, against the same forwarded", "large", "forwardLarge", 2.2),
    ];
  } finally {
    await Promise.all(started.map((worker) => worker.end()));
  }
}

/** Returns the CPU microseconds per request of each probe, one value per round. */
async function measureInTurn(stack: LocalStack, probes: Record<string, Probe>): Promise<Map<string, number[]>> {
  const turns: { name: string; probe: Probe; amount: number }[] = [];
  for (const [name, probe] of Object.entries(probes)) turns.push({ name, probe, amount: await warmUp(stack, probe) });
  const costs = new Map(turns.map(({ name }) => [name, [] as number[]]));
  for (let round = 0; round < ROUNDS; round++) {
    for (const { name, probe, amount } of round % 2 === 0 ? turns : turns.toReversed()) {
      costs.get(name)?.push(await takeSample(stack, probe, amount));
    }
  }
  return costs;
}

/** Returns the number of requests that make a slice. */
async function warmUp(stack: LocalStack, probe: Probe): Promise<number> {
  let amount = FEWEST_REQUESTS;
  for (let spent = 0; spent < WARM_UP_MICROSECONDS;) {
    const cost = await takeSample(stack, probe, amount);
    spent += cost * amount;
    amount = Math.max(FEWEST_REQUESTS, Math.ceil(SLICE_MICROSECONDS / cost));
  }
  return amount;
}

async function takeSample(stack: LocalStack, { worker, run, headers, status = 200 }: Probe, amount: number) {
  const before = readCpuMicroseconds(worker.pid);
  await load({ ...stack.describeRead(worker, run, headers), status }, amount);
  const spent = readCpuMicroseconds(worker.pid) - before;
  stack.upstream.calls.length = 0;
  return spent / amount;
}
