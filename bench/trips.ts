// How many round trips a reader waits for, by kind of request. Both upstreams respond after an artificial delay, so the time of a
// response shows how many calls were waited for one after the other. The Worker's clock is moved.
import { setTimeout as sleep } from "node:timers/promises";
import { addClock } from "./bundle.ts";
import type { LocalStack } from "./local-stack.ts";
import { type Line, describeCount } from "./report.ts";
import { FINISHED_RUN, SMALL_RUN } from "./runs.ts";
import type { Workerd } from "../test/support/node/workerd.ts";

const DELAY_MS = 300;
const EARLY_MS = 10;
const TIMES = 5;

interface Step {
  what: string;
  target: number;
  worker: Workerd;
  run: string;
  minute: number;
}

/** Each step is taken several times, in new isolates; the median counts. */
export async function measureTrips(stack: LocalStack): Promise<Line[]> {
  const { upstream } = stack;
  const bundle = await addClock(stack.product);
  const [unfinished, finished, other] = [
    await stack.addRun(SMALL_RUN),
    await stack.addRun(FINISHED_RUN),
    await stack.addRun(FINISHED_RUN),
  ];
  // The upstream replays these replies later: the time that Postgres takes isn't a round trip.
  const learner = await stack.start(stack.product);
  for (const run of [unfinished, finished, other]) await stack.read(learner, run);
  await learner.end();

  const taken: Line[][] = [];
  for (let time = 0; time < TIMES; time++) {
    upstream.emptyCache();
    const worker = await stack.start(bundle);
    const second = await stack.start(bundle);
    // The isolates have started, with empty caches.
    await stack.get(worker, "/health");
    await stack.get(second, "/health");
    const steps: Step[] = [
      { what: "cold isolate, no key known anywhere", target: 2, worker, run: unfinished, minute: 0 },
      { what: "warm, unfinished run", target: 1, worker, run: unfinished, minute: 0 },
      { what: "warm, first read of a finished run", target: 1, worker, run: finished, minute: 0 },
      { what: "cached run", target: 0, worker, run: finished, minute: 0 },
      { what: "20 minutes later, unfinished run", target: 1, worker, run: unfinished, minute: 20 },
      { what: "20 minutes later, cached run", target: 1, worker, run: finished, minute: 40 },
      { what: "20 minutes later, first read of a finished run", target: 1, worker, run: other, minute: 60 },
      {
        what: "another isolate, with keys of 20 minutes ago in the data-center cache",
        target: 1,
        worker: second,
        run: unfinished,
        minute: 80,
      },
    ];
    upstream.delayMs.keys = DELAY_MS;
    upstream.delayMs.sql = DELAY_MS;
    for (const [index, step] of steps.entries()) {
      const line = await takeStep(stack, step);
      (taken[index] ??= []).push(line);
    }
    upstream.delayMs.keys = 0;
    upstream.delayMs.sql = 0;
    await Promise.all([worker.end(), second.end()]);
  }
  return taken.flatMap((lines) => {
    const sorted = lines.toSorted((one, other) => one.measured.localeCompare(other.measured));
    return sorted[Math.floor(TIMES / 2)] ?? [];
  });
}

async function takeStep({ upstream, read }: LocalStack, { what, target, worker, run, minute }: Step): Promise<Line> {
  const first = upstream.calls.length;
  const startedMs = performance.now();
  await read(worker, run, { "bench-clock-ms": String(minute * 60_000) });
  // Rounded down, because a busy machine makes a response late; a timer may be early by a little.
  const trips = Math.floor((performance.now() - startedMs + EARLY_MS) / DELAY_MS);
  // Until the work behind the response is done too.
  await sleep(2 * DELAY_MS);
  const calls = upstream.calls.slice(first);
  const count = (kind: "keys" | "sql") => calls.filter((call) => call.kind === kind).length;
  const details = `with ${count("keys")} key fetches, ${count("sql")} queries`;
  return describeCount(`round trips waited for: ${what}`, trips, target, details);
}
