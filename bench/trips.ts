// How many round trips a reader waits for, by kind of request. Both upstreams respond after an artificial delay, so the time of a
// response shows how many calls were waited for one after the other. The Worker's clock is moved.
import { setTimeout as sleep } from "node:timers/promises";
import { addClock } from "./bundle.ts";
import type { BenchStack } from "./bench-stack.ts";
import type { Part } from "./part.ts";
import { type Line, describeCount } from "./report.ts";
import { FINISHED_RUN, SMALL_RUN } from "./runs.ts";
import type { Bundle } from "../test/support/node/bundle.ts";
import type { Workerd } from "../test/support/node/workerd.ts";

const DELAY_MS = 300;
const EARLY_MS = 10;
const TIMES = 3;

interface Step {
  what: string;
  isFinished: boolean;
  /** The Worker's time. */
  minute: number;
  target: number;
  isOtherIsolate?: true;
}

/** In the order of one pass. */
const STEPS: Step[] = [
  { what: "a new isolate without any keys", isFinished: false, minute: 0, target: 2 },
  { what: "an unfinished run", isFinished: false, minute: 0, target: 1 },
  { what: "a finished run, first read", isFinished: true, minute: 0, target: 1 },
  { what: "a finished run, read again", isFinished: true, minute: 0, target: 0 },
  { what: "an unfinished run, 20 minutes later", isFinished: false, minute: 20, target: 1 },
  { what: "a finished run again, 20 minutes later", isFinished: true, minute: 40, target: 1 },
  { what: "a new isolate, keys of 20 minutes ago", isFinished: false, minute: 60, target: 1, isOtherIsolate: true },
];

interface Taken {
  trips: number;
  keys: number;
  queries: number;
}

export const trips: Part = {
  describe: "the round trips to the issuer and the database that a response waits for",
  seconds: () => TIMES * 2 * 12,
  async measure(stack, _options, advance) {
    const [unfinished, finished] = [await stack.addRun(SMALL_RUN), await stack.addRun(FINISHED_RUN)];
    const bundles = [await addClock(stack.product), await addClock(await stack.bundle("minimal"))] as const;
    // The upstream replays these replies later: the time that Postgres takes isn't a round trip.
    for (const bundle of bundles) {
      const learner = await stack.start(bundle);
      for (const run of [unfinished, finished]) await stack.read(learner, run);
      await learner.end();
    }
    const [own, minimal] = [[] as Taken[][], [] as Taken[][]];
    for (let pass = 1; pass <= TIMES; pass++) {
      own.push(await takeSteps(stack, bundles[0], unfinished, finished));
      minimal.push(await takeSteps(stack, bundles[1], unfinished, finished));
      advance(pass / TIMES);
    }
    return STEPS.map((step, index) => describe(step, pickMedian(own, index), pickMedian(minimal, index)));
  },
};

/** Takes all steps in new isolates. */
async function takeSteps(stack: BenchStack, bundle: Bundle, unfinished: string, finished: string): Promise<Taken[]> {
  const { upstream } = stack;
  upstream.emptyCache();
  const [worker, second] = [await stack.start(bundle), await stack.start(bundle)];
  try {
    // The isolates have started, with empty caches.
    await Promise.all([worker, second].map(async (each) => stack.get(each, "/")));
    upstream.delayMs.keys = DELAY_MS;
    upstream.delayMs.sql = DELAY_MS;
    const taken: Taken[] = [];
    for (const { isFinished, isOtherIsolate, minute } of STEPS) {
      taken.push(await takeStep(stack, isOtherIsolate ? second : worker, isFinished ? finished : unfinished, minute));
    }
    return taken;
  } finally {
    upstream.delayMs.keys = 0;
    upstream.delayMs.sql = 0;
    await Promise.all([worker.end(), second.end()]);
  }
}

async function takeStep({ upstream, read }: BenchStack, worker: Workerd, run: string, minute: number): Promise<Taken> {
  const first = upstream.calls.length;
  const startedMs = performance.now();
  await read(worker, run, { "bench-clock-ms": String(minute * 60_000) });
  // Rounded down, because a busy machine makes a response late; a timer may be early by a little.
  const tripsWaitedFor = Math.floor((performance.now() - startedMs + EARLY_MS) / DELAY_MS);
  // Until the work behind the response is done too.
  await sleep(2 * DELAY_MS);
  const calls = upstream.calls.slice(first);
  const count = (kind: "keys" | "sql") => calls.filter((call) => call.kind === kind).length;
  return { trips: tripsWaitedFor, keys: count("keys"), queries: count("sql") };
}

/** Of one step in all passes. */
function pickMedian(passes: readonly Taken[][], index: number): Taken {
  const taken = passes.flatMap((steps) => steps[index] ?? []).toSorted((one, other) => one.trips - other.trips);
  const middle = taken[Math.floor(taken.length / 2)];
  if (middle === undefined) throw new RangeError("no step was taken");
  return middle;
}

function describe({ what, target }: Step, own: Taken, minimal: Taken): Line {
  const details = `key fetches ${own.keys}, queries ${own.queries}; the minimal Worker waits for ${minimal.trips}`;
  return {
    ...describeCount(`round trips waited for: ${what}`, own.trips, target, details),
    row: { panel: "trips", label: what, own: own.trips, minimal: minimal.trips, target },
  };
}
