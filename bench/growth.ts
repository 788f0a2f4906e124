// How cost grows: with a run's size, its agents, the connections, the kept runs and the tokens.

import type { LoadRequest } from "./load.ts";
import { type Effort, measureInTurn, type Probe, ratiosOf, type Sample, takeSample } from "./measure.ts";
import { connectInspector, findFreePort } from "./inspector.ts";
import { type Cost, connections, costOf, prepareRun } from "./requests.ts";
import { growthAgents, growthSizes, idOf, idOfCopy } from "./runs.ts";
import { fetchRun, type Stage } from "./stage.ts";
import { type Spread, spread } from "./statistics.ts";
import type { Workerd } from "./workerd.ts";

export type GrowthPoint = { label: string; kept: GrowthCost; unfinished: GrowthCost };
export type GrowthCost = { cost: Cost; ratio: Spread };
export type GrowthSeries = { title: string; points: GrowthPoint[] };

type Point = { label: string; finishedRun: string; unfinishedRun: string; connections: number };

/** With many large answers under way at once, the machine's memory is measured and not the Worker. */
const connectionsFor = (bytes: number): number => (bytes >= 1_000_000 ? 4 : connections);

const sizePoints: Point[] = [
  ...growthSizes.map(([label, bytes]) => ({
    label,
    finishedRun: `finished ${label}`,
    unfinishedRun: `unfinished ${label}`,
    connections: connectionsFor(bytes),
  })),
  {
    label: "500 KB beyond ASCII",
    finishedRun: "finished 500 KB beyond ASCII",
    unfinishedRun: "unfinished 500 KB beyond ASCII",
    connections,
  },
];

const agentPoints: Point[] = growthAgents.map((agents) => ({
  label: `${agents}`,
  finishedRun: `finished ${agents} agents`,
  unfinishedRun: `unfinished ${agents} agents`,
  connections,
}));

const connectionPoints: Point[] = [1, 16, 64, 256].map((count) => ({
  label: `${count}`,
  finishedRun: "finished usual",
  unfinishedRun: "unfinished usual",
  connections: count,
}));

const seriesPoints = {
  sizes: { title: "the record's size", points: sizePoints },
  agents: { title: "agents and tasks of the crew", points: agentPoints },
  connections: { title: "connections at once", points: connectionPoints },
};

export type SeriesName = keyof typeof seriesPoints;

/** Measures one series: at each point a kept run against memory and an unfinished run against forwarding. */
export async function measureGrowth(stage: Stage, series: SeriesName, effort: Effort): Promise<GrowthSeries> {
  const { title, points } = seriesPoints[series];
  const [worker, memory, forward] = await Promise.all([
    stage.start("worker"),
    stage.start("memory"),
    stage.start("forward"),
  ]);
  try {
    const measured: GrowthPoint[] = [];
    for (const point of points) {
      await prepareRun(stage, worker, point.finishedRun);
      const kept = {
        name: `kept, ${series} ${point.label}`,
        worker,
        requests: [stage.request(idOf(point.finishedRun))],
        connections: point.connections,
        expectedStatus: 200,
      };
      const unfinished = {
        ...kept,
        name: `unfinished, ${series} ${point.label}`,
        requests: [stage.request(idOf(point.unfinishedRun))],
      };
      const [memorySamples = [], keptSamples = [], forwardSamples = [], unfinishedSamples = []] = await measureInTurn(
        stage.load,
        [{ ...kept, worker: memory }, kept, { ...unfinished, worker: forward }, unfinished],
        effort,
      );
      measured.push({
        label: point.label,
        kept: { cost: costOf(keptSamples), ratio: spread(ratiosOf(keptSamples, memorySamples)) },
        unfinished: {
          cost: costOf(unfinishedSamples),
          ratio: spread(ratiosOf(unfinishedSamples, forwardSamples)),
        },
      });
    }
    return { title, points: measured };
  } finally {
    await Promise.all([worker, memory, forward].map((each) => each.end()));
  }
}

export type ManyResult = {
  label: string;
  cpuMicroseconds: number;
  ratio: Spread;
  /** Of the isolate after a garbage collection: objects and what they hold outside of V8's heap. */
  megabytes: number;
};

type Crowd = {
  /** Costs against the memory Worker. What is sent to the measured Worker is sent to the weighed one too, once. */
  measure(label: string, requests: LoadRequest[]): Promise<ManyResult>;
  /** The same for requests that can be sent only once, in slices. */
  measureOnce(label: string, requests: LoadRequest[], slices: number): Promise<ManyResult>;
  end(): Promise<void>;
};

/** A fresh Worker, the memory Worker, and a third under the inspector, which would distort the times of the first. */
async function gatherCrowd(stage: Stage, effort: Effort): Promise<Crowd> {
  const inspectorAddress = `127.0.0.1:${await findFreePort()}`;
  const [worker, memory, weighed] = await Promise.all([
    stage.start("worker"),
    stage.start("memory"),
    stage.start("worker", { inspectorAddress }),
  ]);
  await prepareRun(stage, worker, "finished usual");
  const probeOf = (name: string, target: Workerd, requests: LoadRequest[]): Probe => ({
    name,
    worker: target,
    requests,
    connections,
    expectedStatus: 200,
  });
  const limit = probeOf("memory", memory, [stage.request(idOf("finished usual"))]);
  const weigh = async (label: string, requests: LoadRequest[]): Promise<number> => {
    await takeSample(stage.load, probeOf(label, weighed, requests), Math.max(connections, requests.length));
    return readMegabytes(inspectorAddress, () => fetchRun(weighed, stage.request(idOf("finished usual"))));
  };
  const summarize = async (
    label: string,
    requests: LoadRequest[],
    own: Sample[],
    limits: Sample[],
  ): Promise<ManyResult> => ({
    label,
    cpuMicroseconds: costOf(own).cpuMicroseconds,
    ratio: spread(ratiosOf(own, limits)),
    megabytes: await weigh(label, requests),
  });
  return {
    async measure(label, requests) {
      const probe = probeOf(label, worker, requests);
      // All of them once, however few a slice takes.
      await takeSample(stage.load, probe, Math.max(connections, requests.length));
      const [limits = [], own = []] = await measureInTurn(stage.load, [limit, probe], effort);
      return summarize(label, requests, own, limits);
    },
    async measureOnce(label, requests, slices) {
      const amount = Math.floor(requests.length / slices);
      const own: Sample[] = [];
      const limits: Sample[] = [];
      for (let slice = 0; slice < slices; slice++) {
        const part = requests.slice(slice * amount, (slice + 1) * amount);
        limits.push(await takeSample(stage.load, limit, amount));
        own.push(await takeSample(stage.load, probeOf(label, worker, part), amount));
      }
      return summarize(label, requests, own, limits);
    },
    async end() {
      await Promise.all([worker.end(), memory.end(), weighed.end()]);
    },
  };
}

async function readMegabytes(inspectorAddress: string, wake: () => Promise<unknown>): Promise<number> {
  const inspector = await connectInspector(inspectorAddress);
  let isCollected = false;
  const collected = inspector.send("HeapProfiler.collectGarbage").then(() => (isCollected = true));
  // workerd collects only when the isolate is entered after it has heard of it.
  for (let attempt = 0; attempt < 50 && !isCollected; attempt++) await wake();
  await collected;
  const usage = (await inspector.send("Runtime.getHeapUsage")) as Record<string, number | undefined>;
  inspector.close();
  const parts = [usage["usedSize"], usage["embedderHeapUsedSize"], usage["backingStorageSize"]];
  return parts.reduce<number>((sum, bytes = 0) => sum + bytes, 0) / 1e6;
}

/** One kept run, then `count` of them, read in turn. */
export async function measureManyRuns(stage: Stage, count: number, effort: Effort): Promise<ManyResult[]> {
  const crowd = await gatherCrowd(stage, effort);
  try {
    const requests = Array.from({ length: count }, (_, index) => stage.request(idOfCopy(index)));
    return [
      await crowd.measure("1 kept run", requests.slice(0, 1)),
      await crowd.measure(`${count.toLocaleString("en")} kept runs`, requests),
    ];
  } finally {
    await crowd.end();
  }
}

/** One token; `count` tokens each seen for the first time; the same tokens again. All read one kept run. */
export async function measureManyTokens(stage: Stage, count: number, effort: Effort): Promise<ManyResult[]> {
  const crowd = await gatherCrowd(stage, effort);
  const id = idOf("finished usual");
  try {
    const tokens = await Promise.all(Array.from({ length: count }, () => stage.mint("RS256")));
    const requests = tokens.map((token) => stage.request(id, { authorization: `Bearer ${token}` }));
    const label = `${count.toLocaleString("en")} tokens`;
    return [
      await crowd.measure("1 token", [stage.request(id)]),
      await crowd.measureOnce(`${label}, each for the first time`, requests, 5),
      await crowd.measure(`${label}, again`, requests),
    ];
  } finally {
    await crowd.end();
  }
}
