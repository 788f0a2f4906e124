// The second part: latency as a client sees it, against real Postgres semantics behind the local SQL endpoint, one
// request at a time. The database's own time is in it, and PGlite is slower than a server: no ratio is made of it.

import { takeSample } from "./measure.ts";
import { idOf } from "./runs.ts";
import { fetchRun, type Stage } from "./stage.ts";
import { median } from "./statistics.ts";

export type EndToEnd = { title: string; p50Milliseconds: number; p99Milliseconds: number }[];

/** Measures `amount` requests in each of `rounds`, in turn. */
export async function measureEndToEnd(stage: Stage, rounds: number, amount: number): Promise<EndToEnd> {
  const [worker, tutorial] = await Promise.all([
    stage.start("worker", { isCanned: false }),
    stage.start("tutorial", { isCanned: false }),
  ]);
  try {
    const turns = [
      { title: "this Worker, finished run, kept", worker, run: "finished usual" },
      { title: "this Worker, unfinished run", worker, run: "unfinished usual" },
      { title: "tutorial, finished run", worker: tutorial, run: "finished usual" },
      { title: "tutorial, unfinished run", worker: tutorial, run: "unfinished usual" },
    ].map((turn) => ({ ...turn, p50s: [] as number[], p99s: [] as number[] }));
    for (const turn of turns) await fetchRun(turn.worker, stage.request(idOf(turn.run)));
    // The first round warms up.
    for (let round = -1; round < rounds; round++) {
      for (const { title: name, worker: target, run, p50s, p99s } of turns) {
        const requests = [stage.request(idOf(run))];
        const sample = await takeSample(
          stage.load,
          { name, worker: target, requests, connections: 1, expectedStatus: 200 },
          amount,
        );
        if (round < 0) continue;
        p50s.push(sample.p50Milliseconds);
        p99s.push(sample.p99Milliseconds);
      }
    }
    return turns.map(({ title, p50s, p99s }) => ({
      title,
      p50Milliseconds: median(p50s),
      p99Milliseconds: median(p99s),
    }));
  } finally {
    await Promise.all([worker.end(), tutorial.end()]);
  }
}
