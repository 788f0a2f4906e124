// The CPU time of a request to a warm Worker, against the least that any Worker could do: the same bytes from memory, or one
// subrequest. The Workers are loaded in turn, forwards in one round and backwards in the next; a ratio is made within a round.
// Each batch of rounds has new processes, because one process of a Worker may be a tenth slower than the next for its whole life.
// Time stands still inside a Worker, so CPU time is what the system counts for the workerd process.
import type { Bundle } from "../test/support/node/bundle.ts";
import type { Workerd } from "../test/support/node/workerd.ts";
import { readCpuMicroseconds } from "./cpu-time.ts";
import { type Client, load } from "./load.ts";
import type { BenchStack } from "./bench-stack.ts";
import { type Advance, type Options, type Part, countRounds } from "./part.ts";
import { type Line, describeRatio } from "./report.ts";
import { FINISHED_RUN, LARGE_RUN, SMALL_RUN } from "./runs.ts";
import { median } from "./statistics.ts";

const BATCHES = 5;
const ROUNDS_PER_BATCH = 3;
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

/** The reads that are compared: with the Worker that does the least, `limit`, and with the others by `name`. */
const READS = [
  {
    name: "cached",
    what: "a cached run",
    label: "a finished run, read again",
    limit: "static",
    than: "static bytes",
    target: 1.8,
  },
  {
    name: "not modified",
    what: "a cached run's `304`",
    label: "the same with If-None-Match",
    limit: "static",
    than: "static bytes",
    target: 1.6,
  },
  {
    name: "query",
    what: "one query",
    label: "an unfinished run",
    limit: "forward",
    than: "one forwarded subrequest",
    target: 2.1,
  },
  {
    name: "large",
    what: "500 KB read anew",
    label: "an unfinished run of 500 KB, warm",
    limit: "forward large",
    than: "the same 500 KB forwarded",
    target: undefined,
  },
];

export const cpu: Part = {
  describe: "CPU time per request of a warm Worker",
  seconds: ({ clients, against, isQuick }) => (1 + 0.4 * against.length) * (isQuick ? 120 : 400 + 185 * clients.length),
  async measure(stack, options, advance) {
    const batches = countRounds(options, BATCHES);
    const costs = new Map<string, number[]>();
    for (let batch = 0; batch < batches; batch++) {
      const started: Workerd[] = [];
      try {
        const probes = await startProbes(stack, started);
        await measureInTurn(stack, probes, options, costs, (share) => advance((batch + share) / batches));
      } finally {
        await Promise.all(started.map((worker) => worker.end()));
      }
    }
    return options.clients.flatMap((client, index) =>
      describe(stack, (name) => costs.get(`${name} by ${client}`) ?? [], client, index === 0),
    );
  },
};

/** Starts a Worker for each probe, so that no one pays for another's garbage. */
async function startProbes(stack: BenchStack, started: Workerd[]): Promise<Map<string, Probe>> {
  async function start(bundle: Bundle, variables?: Record<string, string>): Promise<Workerd> {
    const worker = await stack.start(bundle, variables);
    started.push(worker);
    return worker;
  }
  const finished = await stack.addRun(FINISHED_RUN);
  const small = await stack.addRun(SMALL_RUN);
  const large = await stack.addRun(LARGE_RUN);
  const first = await start(stack.product);
  const { body, headers } = await stack.read(first, finished);
  await stack.read(first, small);
  const statement = stack.upstream.calls.at(-1)?.body.replaceAll(small, "RUN_ID") ?? "";
  const probes = new Map<string, Probe>();
  const forward = await stack.bundle("forward");
  probes.set("static", { worker: await start(await stack.bundle("static"), { BODY: body.toString() }), run: finished });
  probes.set("forward", { worker: await start(forward, { STATEMENT: statement }), run: small });
  probes.set("forward large", { worker: await start(forward, { STATEMENT: statement }), run: large });
  const notModified = { headers: { "if-none-match": headers.etag ?? "" }, status: 304 };
  for (const [index, bundle] of [stack.product, ...stack.others].entries()) {
    const prefix = index === 0 ? "" : `other ${index} `;
    probes.set(`${prefix}cached`, { worker: await start(bundle), run: finished });
    probes.set(`${prefix}not modified`, { worker: await start(bundle), run: finished, ...notModified });
    probes.set(`${prefix}query`, { worker: await start(bundle), run: small });
    probes.set(`${prefix}large`, { worker: await start(bundle), run: large });
  }
  const minimal = await stack.bundle("minimal");
  probes.set("minimal cached", { worker: await start(minimal), run: finished });
  probes.set("minimal query", { worker: await start(minimal), run: small });
  probes.set("minimal large", { worker: await start(minimal), run: large });
  return probes;
}

function describe(stack: BenchStack, costsOf: (name: string) => number[], client: Client, isDrawn: boolean): Line[] {
  const format = (microseconds: number) => `${microseconds.toFixed(0)} µs`;
  const lines: Line[] = [];
  for (const { name, what, label, limit, than, target } of READS) {
    const [own, base] = [costsOf(name), costsOf(limit)];
    // The minimal Worker has no 304: it sends the run again.
    const minimal = costsOf(`minimal ${name === "not modified" ? "cached" : name}`);
    const line = describeRatio(`CPU of ${what}, against ${than}, ${client}`, { own, base, format, target });
    line.measured += `; the minimal Worker takes ${format(median(minimal))}`;
    if (isDrawn) {
      const row = {
        label,
        own: median(own),
        minimal: median(minimal),
        target: target === undefined ? undefined : target * median(base),
      };
      line.row =
        name === "large"
          ? { ...row, panel: "slow", own: row.own / 1_000, minimal: row.minimal / 1_000 }
          : { ...row, panel: "warm" };
    }
    lines.push(line);
    for (const [index, other] of stack.others.entries()) {
      const comparison = { own, base: costsOf(`other ${index + 1} ${name}`), format, target: 1 };
      lines.push(describeRatio(`CPU of ${what}, against ${other.name}, ${client}`, comparison));
    }
  }
  return lines;
}

/** Adds to `costs` the CPU microseconds per request of each probe by each client, one value per round. */
async function measureInTurn(
  stack: BenchStack,
  probes: Map<string, Probe>,
  options: Options,
  costs: Map<string, number[]>,
  advance: Advance,
): Promise<void> {
  const steps = probes.size * (1 + ROUNDS_PER_BATCH);
  let step = 0;
  const turns: { name: string; probe: Probe; amount: number }[] = [];
  for (const [name, probe] of probes) {
    turns.push({ name, probe, amount: await warmUp(stack, probe, options) });
    advance(++step / steps);
  }
  for (let round = 0; round < ROUNDS_PER_BATCH; round++) {
    for (const { name, probe, amount } of round % 2 === 0 ? turns : turns.toReversed()) {
      for (const client of options.clients) {
        const key = `${name} by ${client}`;
        costs.set(key, [...(costs.get(key) ?? []), await takeSample(stack, probe, amount, client)]);
      }
      advance(++step / steps);
    }
  }
}

/** Returns the number of requests that make a slice. */
async function warmUp(stack: BenchStack, probe: Probe, { isQuick }: Options): Promise<number> {
  let amount = FEWEST_REQUESTS;
  for (let spent = 0; spent < WARM_UP_MICROSECONDS / (isQuick ? 2 : 1);) {
    const cost = await takeSample(stack, probe, amount);
    spent += cost * amount;
    amount = Math.max(FEWEST_REQUESTS, Math.ceil(SLICE_MICROSECONDS / cost));
  }
  return amount;
}

/** Returns the CPU microseconds per request. */
async function takeSample(stack: BenchStack, probe: Probe, amount: number, client?: Client): Promise<number> {
  const { worker, run, headers, status = 200 } = probe;
  const before = readCpuMicroseconds(worker.pid);
  const requests = await load({ ...stack.describeRead(worker, run, headers), status }, amount, client);
  const spent = readCpuMicroseconds(worker.pid) - before;
  stack.upstream.calls.length = 0;
  return spent / requests;
}
