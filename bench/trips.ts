// How many round trips a reader waits for, by kind of request. Both upstreams respond after an artificial delay, so the time of a
// response shows how many calls were waited for one after the other. The Worker's clock is moved.
import { setTimeout as sleep } from "node:timers/promises";
import { addClock } from "./bundle.ts";
import type { LocalStack } from "./local-stack.ts";
import type { Part } from "./part.ts";
import { type Line, describeCount } from "./report.ts";
import { FINISHED_RUN, SMALL_RUN } from "./runs.ts";
import type { Bundle } from "../test/support/node/bundle.ts";
import type { Workerd } from "../test/support/node/workerd.ts";

const DELAY_MS = 300;
const EARLY_MS = 10;
const TIMES = 3;

/** The steps of one pass, in order. `minute` is the Worker's time. */
const STEPS = [
  {
    what: "cold isolate, no key known anywhere",
    label: "a new isolate without any keys",
    run: "unfinished",
    minute: 0,
    target: 2,
  },
  { what: "warm, unfinished run", label: "an unfinished run", run: "unfinished", minute: 0, target: 1 },
  { what: "warm, first read of a finished run", run: "finished", minute: 0, target: 1 },
  {
    what: "warm, a finished run read again",
    label: "a finished run, read again",
    run: "finished",
    minute: 0,
    target: 0,
  },
  {
    what: "20 minutes later, unfinished run",
    label: "an unfinished run, 20 minutes later",
    run: "unfinished",
    minute: 20,
    target: 1,
  },
  {
    what: "20 minutes later, a finished run read again",
    label: "a finished run again, 20 minutes later",
    run: "finished",
    minute: 40,
    target: 1,
  },
  { what: "20 minutes later, first read of a finished run", run: "other", minute: 60, target: 1 },
  {
    what: "another isolate, with keys of 20 minutes ago in the data-center cache",
    label: "a new isolate, keys of 20 minutes ago",
    run: "unfinished",
    minute: 80,
    target: 1,
    isOtherIsolate: true,
  },
] as const;

interface Taken {
  trips: number;
  keys: number;
  queries: number;
}

export const trips: Part = {
  describe: "the round trips to the issuer and the database that a response waits for",
  seconds: () => TIMES * 2 * 12,
  async measure(stack, _options, advance) {
    const runs = {
      unfinished: await stack.addRun(SMALL_RUN),
      finished: await stack.addRun(FINISHED_RUN),
      other: await stack.addRun(FINISHED_RUN),
    };
    const bundles = [await addClock(stack.product), await addClock(await stack.bundle("minimal"))];
    // The upstream replays these replies later: the time that Postgres takes isn't a round trip.
    for (const bundle of bundles) {
      const learner = await stack.start(bundle);
      for (const run of Object.values(runs)) await stack.read(learner, run);
      await learner.end();
    }
    const passes: Taken[][][] = [[], []];
    for (let pass = 0; pass < TIMES * bundles.length; pass++) {
      const index = pass % bundles.length;
      const bundle = bundles[index];
      if (bundle !== undefined) passes[index]?.push(await takeSteps(stack, bundle, runs));
      advance((pass + 1) / (TIMES * bundles.length));
    }
    return STEPS.map((step, index) => {
      const [own, minimal] = passes.map((taken) => pickMedian(taken.map((steps) => steps[index])));
      return describe(step, own, minimal);
    });
  },
};

/** Takes all steps in new isolates. */
async function takeSteps(
  stack: LocalStack,
  bundle: Bundle,
  runs: Record<(typeof STEPS)[number]["run"], string>,
): Promise<Taken[]> {
  const { upstream } = stack;
  upstream.emptyCache();
  const [worker, second] = [await stack.start(bundle), await stack.start(bundle)];
  try {
    // The isolates have started, with empty caches.
    await Promise.all([worker, second].map(async (each) => stack.get(each, "/")));
    upstream.delayMs.keys = DELAY_MS;
    upstream.delayMs.sql = DELAY_MS;
    const taken: Taken[] = [];
    for (const step of STEPS) {
      taken.push(await takeStep(stack, "isOtherIsolate" in step ? second : worker, runs[step.run], step.minute));
    }
    return taken;
  } finally {
    upstream.delayMs.keys = 0;
    upstream.delayMs.sql = 0;
    await Promise.all([worker.end(), second.end()]);
  }
}

async function takeStep({ upstream, read }: LocalStack, worker: Workerd, run: string, minute: number): Promise<Taken> {
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

function pickMedian(taken: readonly (Taken | undefined)[]): Taken {
  const sorted = taken.filter((each) => each !== undefined).toSorted((one, other) => one.trips - other.trips);
  const middle = sorted[Math.floor(sorted.length / 2)];
  if (middle === undefined) throw new RangeError("no step was taken");
  return middle;
}

function describe({ what, target, ...step }: (typeof STEPS)[number], own?: Taken, minimal?: Taken): Line {
  if (own === undefined || minimal === undefined) throw new RangeError("no step was taken");
  const details = `key fetches ${own.keys}, queries ${own.queries}; the minimal Worker waits for ${minimal.trips}`;
  const line = describeCount(`round trips waited for: ${what}`, own.trips, target, details);
  if ("label" in step) {
    line.row = { panel: "trips", label: step.label, own: own.trips, minimal: minimal.trips, target };
  }
  return line;
}
