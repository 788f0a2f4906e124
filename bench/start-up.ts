// The CPU time of a Worker before it is warm, against the tutorial Worker: at start (until the first response, which needs nothing
// from upstream), in the first read of a run, and both together. The start of an empty Worker is subtracted. The starts are
// interleaved. Also the size of the bundle.
import { setTimeout as sleep } from "node:timers/promises";
import type { Bundle } from "../test/support/node/bundle.ts";
import { readCpuMicroseconds } from "./cpu-time.ts";
import type { LocalStack } from "./local-stack.ts";
import { type Line, describeCount, describeRatio } from "./report.ts";
import { FINISHED_RUN } from "./runs.ts";
import { median } from "./statistics.ts";

const ROUNDS = 15;
/** Until the work behind the response is done too. */
const SETTLE_MS = 50;

interface Cost {
  start: number;
  read: number;
}

export async function measureStartUp(stack: LocalStack): Promise<Line[]> {
  const [empty, tutorial] = [await stack.bundle("empty"), await stack.bundle("tutorial")];
  const run = await stack.addRun(FINISHED_RUN);
  const measure = async (bundle: Bundle, base: number): Promise<Cost> => {
    const { start, read } = await startOnce(stack, bundle, run);
    return { start: start - base, read };
  };
  const own: Cost[] = [];
  const others: Cost[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const { start: base } = await startOnce(stack, empty);
    if (round % 2 === 0) own.push(await measure(stack.product, base));
    others.push(await measure(tutorial, base));
    if (round % 2 === 1) own.push(await measure(stack.product, base));
  }
  const compare = (what: string, value: (cost: Cost) => number, target: number) => {
    const [ours, theirs] = [own.map(value), others.map(value)];
    const ratios = ours.map((milliseconds, round) => milliseconds / (theirs[round] ?? Number.NaN));
    const line = describeRatio(`CPU, against the tutorial: ${what}`, ratios, target);
    line.measured += `; ${median(ours).toFixed(1)} ms of ${median(theirs).toFixed(1)}`;
    return line;
  };
  const kilobytes = Math.round(stack.product.gzipBytes / 102.4) / 10;
  return [
    compare("start, above an empty Worker", ({ start }) => start, 1),
    compare("first read of a cold isolate", ({ read }) => read, 1.1),
    compare("both together", ({ start, read }) => start + read, 0.85),
    describeCount("bundle, minified, gzip, KB", kilobytes, 80),
  ];
}

/** CPU milliseconds. Without `run` nothing is read. */
async function startOnce(stack: LocalStack, bundle: Bundle, run?: string): Promise<Cost> {
  stack.upstream.emptyCache();
  const worker = await stack.start(bundle);
  const readMilliseconds = () => readCpuMicroseconds(worker.pid) / 1_000;
  try {
    // No credentials: the product and the tutorial respond with 401.
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
