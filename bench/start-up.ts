// The CPU time of a Worker before it is warm, against the minimal Worker: at start (until the first response, which needs nothing
// from upstream), in the first read of a run, and both together. The start of an empty Worker is subtracted. The starts are
// interleaved, each with an empty data-center cache; this Worker also starts with what its own first read has left there. Also the
// size of the bundle.
import { setTimeout as sleep } from "node:timers/promises";
import type { Bundle } from "../test/support/node/bundle.ts";
import { readCpuMicroseconds } from "./cpu-time.ts";
import type { BenchStack } from "./bench-stack.ts";
import { type Part, countRounds } from "./part.ts";
import { type Line, describeCount, describeRatio } from "./report.ts";
import { FINISHED_RUN } from "./runs.ts";
import { median } from "./statistics.ts";

const ROUNDS = 15;
/** Until the work behind the response is done too. */
const SETTLE_MS = 50;

/** CPU milliseconds. */
interface Cost {
  start: number;
  read: number;
}

/** Milliseconds of first reads, by what the data center has. */
type LaterReads = Record<"the keys" | "keys and run", number[]>;

const KINDS = [
  { what: "start, above an empty Worker", label: "a new isolate starts", target: 1, of: ({ start }: Cost) => start },
  {
    what: "first read of a cold isolate",
    label: "the first read of a new isolate",
    target: 1,
    of: ({ read }: Cost) => read,
  },
  {
    what: "start and first read",
    label: "start and first read",
    target: 0.78,
    of: ({ start, read }: Cost) => start + read,
  },
];

export const startUp: Part = {
  describe: "CPU time at start and in the first read, and the bundle's size",
  seconds: (options) => countRounds(options, ROUNDS) * (4 + options.against.length),
  async measure(stack, options, advance) {
    const [run, otherRun] = [await stack.addRun(FINISHED_RUN), await stack.addRun(FINISHED_RUN)];
    const empty = await stack.bundle("empty");
    const bundles = [stack.product, await stack.bundle("minimal"), ...stack.others];
    const costs: Cost[][] = bundles.map(() => []);
    const later: LaterReads = { "the keys": [], "keys and run": [] };
    const rounds = countRounds(options, ROUNDS);
    for (let round = 0; round < rounds; round++) {
      const { start: base } = await startOnce(stack, empty);
      const turns = [...bundles.entries()];
      for (const [index, bundle] of round % 2 === 0 ? turns : turns.toReversed()) {
        stack.upstream.emptyCache();
        const { start, read } = await startOnce(stack, bundle, run);
        costs[index]?.push({ start: start - base, read });
        if (bundle !== stack.product) continue;
        later["keys and run"].push((await startOnce(stack, bundle, run)).read);
        later["the keys"].push((await startOnce(stack, bundle, otherRun)).read);
      }
      advance((round + 1) / rounds);
    }
    return describe(costs, later, stack);
  },
};

function describe([own = [], minimal = [], ...others]: Cost[][], later: LaterReads, stack: BenchStack): Line[] {
  const format = (milliseconds: number) => `${milliseconds.toFixed(1)} ms`;
  const lines = KINDS.flatMap(({ what, label, target, of }) => {
    const compare = (name: string, costs: readonly Cost[], limit: number) =>
      describeRatio(`CPU: ${what}, against ${name}`, {
        own: own.map(of),
        base: costs.map(of),
        format,
        target: limit,
      });
    const minimalCost = median(minimal.map(of));
    const row = { label, own: median(own.map(of)), minimal: minimalCost, target: target * minimalCost };
    return [
      { ...compare("the minimal Worker", minimal, target), row: { ...row, panel: "slow" as const } },
      ...others.map((costs, index) => compare(stack.others[index]?.name ?? "", costs, 1)),
    ];
  });
  const base = minimal.map(({ read }) => read);
  const laterLines = Object.entries(later).map(([what, own]) => {
    const name = `CPU: first read of a cold isolate, ${what} in the data center, against the minimal Worker`;
    return describeRatio(name, { own, base, format, target: undefined });
  });
  const kilobytes = Math.round(stack.product.gzipBytes / 102.4) / 10;
  return [...lines, ...laterLines, describeCount("bundle, minified, gzip, KB", kilobytes, 80)];
}

/** Without `run` nothing is read. */
async function startOnce(stack: BenchStack, bundle: Bundle, run?: string): Promise<Cost> {
  const worker = await stack.start(bundle);
  const readMilliseconds = () => readCpuMicroseconds(worker.pid) / 1_000;
  try {
    // No credentials: all but the empty Worker respond with 401.
    await stack.get(worker, "/api/crew-runs/x");
    await sleep(SETTLE_MS);
    const start = readMilliseconds();
    if (run === undefined) return { start, read: 0 };
    await stack.read(worker, run);
    await sleep(SETTLE_MS);
    return { start, read: readMilliseconds() - start };
  } finally {
    await worker.end();
  }
}
