// The main table: what a request costs the Worker under test and the tutorial Worker, against the limit of its kind.

import { type Effort, measureInTurn, type Probe, ratiosOf, type Sample } from "./measure.ts";
import { type CopiedRun, idOf, idOfCopy } from "./runs.ts";
import { fetchRun, type Stage } from "./stage.ts";
import { median, type Spread, spread } from "./statistics.ts";
import type { Workerd } from "./workerd.ts";

export type RequestCase = {
  name: string;
  title: string;
  run: string;
  limit: "memory" | "forward";
  /** The greatest ratio that is allowed, and the one to aim for. */
  target: number;
  aim?: number;
  isConditional?: boolean;
  /** So many runs alike, in turn: more than a Worker remembers. */
  copies?: number;
};

export const requestCases: readonly RequestCase[] = [
  { name: "kept", title: "finished run, kept", run: "finished usual", limit: "memory", target: 1.25 },
  {
    name: "304",
    title: "the same, 304",
    run: "finished usual",
    limit: "memory",
    target: 1.25,
    isConditional: true,
  },
  {
    name: "unfinished",
    title: "unfinished run (one query), polled",
    run: "unfinished usual",
    limit: "forward",
    target: 1.6,
    aim: 1.3,
  },
  {
    name: "unfinished-anew",
    title: "unfinished run (one query), for the first time or changed",
    run: "unfinished usual",
    limit: "forward",
    target: 1.6,
    aim: 1.3,
    copies: 6_000,
  },
  {
    name: "unfinished-500kb",
    title: "unfinished run of 500 KB, polled",
    run: "unfinished 500 KB",
    limit: "forward",
    target: 1.5,
  },
  {
    name: "unfinished-500kb-anew",
    title: "unfinished run of 500 KB, for the first time or changed",
    run: "unfinished 500 KB",
    limit: "forward",
    target: 1.5,
    copies: 40,
  },
];

export type Cost = {
  cpuMicroseconds: number;
  requestsPerSecond: number;
  p50Milliseconds: number;
  p99Milliseconds: number;
};

export type RequestResult = {
  requestCase: RequestCase;
  ratio: Spread;
  tutorialRatio: Spread;
  costs: { name: string; cost: Cost }[];
};

export const connections = 16;

export const costOf = (samples: readonly Sample[]): Cost => ({
  cpuMicroseconds: median(samples.map((sample) => sample.cpuMicroseconds)),
  requestsPerSecond: median(samples.map((sample) => sample.requestsPerSecond)),
  p50Milliseconds: median(samples.map((sample) => sample.p50Milliseconds)),
  p99Milliseconds: median(samples.map((sample) => sample.p99Milliseconds)),
});

/**
 * Reads a run once, so that it is kept where it is final, and gives the bytes to the memory Worker.
 * @returns the run's entity tag, empty where the Worker gives none
 */
export async function prepareRun(stage: Stage, worker: Workerd, run: string): Promise<string> {
  const id = idOf(run);
  const { body, headers } = await fetchRun(worker, stage.request(id));
  await stage.upstream.call({ kind: "keepBody", id, body });
  return headers.get("etag") ?? "";
}

/** The requests of a case as the Worker under test is sent them: the profile needs them too. */
export async function probeCase(stage: Stage, worker: Workerd, requestCase: RequestCase): Promise<Probe> {
  const tag = await prepareRun(stage, worker, requestCase.run);
  const ids =
    requestCase.copies === undefined
      ? [idOf(requestCase.run)]
      : Array.from({ length: requestCase.copies }, (_, index) => idOfCopy(index, requestCase.run as CopiedRun));
  const isConditional = requestCase.isConditional === true && tag !== "";
  return {
    name: requestCase.name,
    worker,
    requests: ids.map((id) => stage.request(id, isConditional ? { "if-none-match": tag } : {})),
    connections,
    expectedStatus: isConditional ? 304 : 200,
  };
}

/** Measures the cases, all their Workers in turn. */
export async function measureRequests(
  stage: Stage,
  cases: readonly RequestCase[],
  effort: Effort,
): Promise<RequestResult[]> {
  const [worker, tutorial, memory, forward] = await Promise.all([
    stage.start("worker"),
    stage.start("tutorial"),
    stage.start("memory"),
    stage.start("forward"),
  ]);
  const limits = { memory, forward };
  try {
    const probes: Probe[] = [];
    for (const requestCase of cases) {
      const probe = await probeCase(stage, worker, requestCase);
      probes.push(
        { ...probe, name: requestCase.limit, worker: limits[requestCase.limit], expectedStatus: 200 },
        probe,
        { ...probe, name: "tutorial", worker: tutorial, expectedStatus: 200 },
      );
    }
    const samples = await measureInTurn(stage.load, probes, effort);
    return cases.map((requestCase, index) => {
      const [limit = [], own = [], other = []] = samples.slice(index * 3, index * 3 + 3);
      return {
        requestCase,
        ratio: spread(ratiosOf(own, limit)),
        tutorialRatio: spread(ratiosOf(other, limit)),
        costs: [
          { name: requestCase.limit, cost: costOf(limit) },
          { name: "this Worker", cost: costOf(own) },
          { name: "tutorial", cost: costOf(other) },
        ],
      };
    });
  } finally {
    await Promise.all([worker, tutorial, memory, forward].map((each) => each.end()));
  }
}
