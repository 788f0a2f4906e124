// What a Worker costs before it is warm: its bundle, and the CPU time from the start of workerd to the first answer, less the
// same of an empty Worker, against the tutorial Worker. The starts are interleaved.
import type { Bundle } from "../test/support/node/bundle.ts";
import { readCpuMicroseconds } from "./processes.ts";
import { type Line, describeCount, describeRatio } from "./report.ts";
import type { Stage } from "./stage.ts";
import { median } from "./statistics.ts";

const ROUNDS = 15;

export async function measureStartUp(stage: Stage): Promise<Line[]> {
  const [empty, tutorial] = [await stage.bundle("empty"), await stage.bundle("tutorial")];
  const own: number[] = [];
  const others: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const base = await startOnce(stage, empty);
    const measure = async (bundle: Bundle, into: number[]) => into.push((await startOnce(stage, bundle)) - base);
    if (round % 2 === 0) await measure(stage.product, own);
    await measure(tutorial, others);
    if (round % 2 === 1) await measure(stage.product, own);
  }
  const ratios = own.map((milliseconds, round) => milliseconds / (others[round] ?? Number.NaN));
  const line = describeRatio("CPU at start, above an empty Worker, against the tutorial", ratios, 0.6, 0.5);
  line.measured += `; ${median(own).toFixed(0)} ms of ${median(others).toFixed(0)}`;
  const kilobytes = Math.round(stage.product.gzipBytes / 102.4) / 10;
  return [line, describeCount("bundle, minified, gzip, KB", kilobytes, 80)];
}

/** CPU milliseconds to the first answer, which needs nothing from upstream. */
async function startOnce(stage: Stage, bundle: Bundle): Promise<number> {
  const worker = await stage.start(bundle);
  try {
    // No credentials: a 401 of the product and of the tutorial.
    await stage.get(worker, "/api/crew-runs/x");
    return readCpuMicroseconds(worker.pid) / 1_000;
  } finally {
    await worker.end();
  }
}
