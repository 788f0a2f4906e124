// How many round trips a reader waits for, by kind of request. Both upstreams answer after an artificial delay, so that the
// time of an answer tells how many calls were waited for one after the other. The Worker's clock is moved, not waited for.
import { setTimeout as sleep } from "node:timers/promises";
import { addClock } from "./bundle.ts";
import { type Line, describeCount } from "./report.ts";
import { FINISHED_RUN, SMALL_RUN } from "./runs.ts";
import type { Stage } from "./stage.ts";
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

/** Each step is taken several times, in isolates of its own; the middle one counts, since a busy machine is only ever slower. */
export async function measureTrips(stage: Stage): Promise<Line[]> {
  const { upstream } = stage;
  const bundle = await addClock(stage.product);
  const [unfinished, finished, other] = [
    await stage.addRun(SMALL_RUN),
    await stage.addRun(FINISHED_RUN),
    await stage.addRun(FINISHED_RUN),
  ];
  // So that the replies are at hand: what Postgres takes for its first ones is not a round trip.
  const learner = await stage.start(stage.product);
  for (const run of [unfinished, finished, other]) await stage.ask(learner, run);
  await learner.end();

  const taken: Line[][] = [];
  for (let time = 0; time < TIMES; time++) {
    upstream.emptyCache();
    const worker = await stage.start(bundle);
    const second = await stage.start(bundle);
    // The isolates are up, and know nothing.
    await stage.get(worker, "/health");
    await stage.get(second, "/health");
    const steps: Step[] = [
      { what: "cold isolate, no key known anywhere", target: 2, worker, run: unfinished, minute: 0 },
      { what: "warm, unfinished run", target: 1, worker, run: unfinished, minute: 0 },
      { what: "warm, first read of a finished run", target: 1, worker, run: finished, minute: 0 },
      { what: "kept run", target: 0, worker, run: finished, minute: 0 },
      { what: "20 minutes later, unfinished run", target: 1, worker, run: unfinished, minute: 20 },
      { what: "20 minutes later, kept run", target: 1, worker, run: finished, minute: 40 },
      { what: "20 minutes later, first read of a finished run", target: 1, worker, run: other, minute: 60 },
      {
        what: "another isolate, whose data centre holds keys of 20 minutes ago",
        target: 1,
        worker: second,
        run: unfinished,
        minute: 80,
      },
    ];
    upstream.delayMs.keys = DELAY_MS;
    upstream.delayMs.sql = DELAY_MS;
    for (const [index, step] of steps.entries()) {
      const line = await takeStep(stage, step);
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

async function takeStep({ upstream, ask }: Stage, { what, target, worker, run, minute }: Step): Promise<Line> {
  const first = upstream.calls.length;
  const startedMs = performance.now();
  await ask(worker, run, { "bench-clock-ms": String(minute * 60_000) });
  // Rounded down, since a busy machine makes an answer late; a timer may be early by a little.
  const trips = Math.floor((performance.now() - startedMs + EARLY_MS) / DELAY_MS);
  // Until what goes on behind the answer is done as well.
  await sleep(2 * DELAY_MS);
  const calls = upstream.calls.slice(first);
  const count = (kind: "keys" | "sql") => calls.filter((call) => call.kind === kind).length;
  const details = `with ${count("keys")} key fetches, ${count("sql")} queries`;
  return describeCount(`round trips waited for: ${what}`, trips, target, details);
}
