// What long polls cost: the queries of one client and of a hundred that wait for the same run, how often a large row leaves the
// database meanwhile, and how long after the run's end the last client has it.
import { setTimeout as sleep } from "node:timers/promises";
import type { Workerd } from "../test/support/node/workerd.ts";
import type { BenchStack } from "./bench-stack.ts";
import type { Part } from "./part.ts";
import { type Line, describeCount } from "./report.ts";
import { LARGE_RUN, type RunShape, SMALL_RUN, finishRun } from "./runs.ts";

const RUN_SECONDS = 12;
const DATABASE_MS = 40;
const CLIENTS = 100;
const APART_MS = 10;

interface Wait {
  shape: RunShape;
  clients: number;
  /** Whether the clients send the run's tag (`If-None-Match`). */
  isConditional: boolean;
}

interface Outcome {
  queries: number;
  /** How often the row's bytes left the database. */
  timesMoved: number;
  /** From the end of the run until the last client has it. */
  lastAfterSeconds: number;
}

export const crowd: Part = {
  describe: "queries, bytes and delay while one client, or a hundred, wait for a run",
  seconds: () => 2 * (RUN_SECONDS + 3),
  async measure(stack, _options, advance) {
    const worker = await stack.start(stack.product);
    stack.upstream.delayMs.sql = DATABASE_MS;
    const wait = async (shape: RunShape, isConditional: boolean, clients = 1) =>
      waitForRun(stack, worker, { shape, clients, isConditional });
    try {
      const [small, smallConditional, large, largeConditional] = await Promise.all([
        wait(SMALL_RUN, false),
        wait(SMALL_RUN, true),
        wait(LARGE_RUN, false),
        wait(LARGE_RUN, true),
      ]);
      advance(0.5);
      const many = await wait(SMALL_RUN, false, CLIENTS);
      const conditionally = (count: number) => `${count} with \`If-None-Match\``;
      const lines: Line[] = [
        describeCount(
          `queries while one client waits ${RUN_SECONDS} s for a run`,
          small.queries,
          undefined,
          conditionally(smallConditional.queries),
        ),
        describeCount(
          "how often a row of 500 KB leaves the database meanwhile",
          large.timesMoved,
          2,
          conditionally(largeConditional.timesMoved),
        ),
        describeCount(
          `queries while ${CLIENTS} clients of one isolate wait for the same run`,
          many.queries,
          undefined,
          `the last has it ${many.lastAfterSeconds.toFixed(1)} s after its end`,
        ),
      ];
      return lines;
    } finally {
      stack.upstream.delayMs.sql = 0;
      await worker.end();
    }
  },
};

/** The clients send `Prefer: wait=30`, one after the other; the run ends 12 s after the first of them. */
async function waitForRun(
  { database, upstream, addRun, read }: BenchStack,
  worker: Workerd,
  { shape, clients, isConditional }: Wait,
): Promise<Outcome> {
  const id = await addRun(shape);
  const { headers } = await read(worker, id);
  const seen = upstream.calls.filter(({ body }) => body.includes(id));
  const wholeBytes = seen[0]?.replyBytes ?? Number.NaN;
  const condition: Record<string, string> = isConditional ? { "if-none-match": headers.etag ?? "" } : {};
  let endedMs = Number.NaN;
  async function end(): Promise<void> {
    await sleep(RUN_SECONDS * 1_000);
    await database.exec(finishRun(id));
    upstream.forgetReplies();
    endedMs = performance.now();
  }
  async function follow(client: number): Promise<number> {
    await sleep(client * APART_MS);
    const { status, body } = await read(worker, id, { prefer: "wait=30", ...condition });
    const receivedMs = performance.now();
    if (status !== 200 || !body.includes(`"status":"completed"`)) throw new Error(`the run had not ended: ${status}`);
    return receivedMs;
  }
  const [receivedMs] = await Promise.all([
    Promise.all(Array.from({ length: clients }, async (_, client) => follow(client))),
    end(),
  ]);
  const calls = upstream.calls.filter(({ body }) => body.includes(id)).slice(seen.length);
  const bytes = calls.reduce((sum, { replyBytes }) => sum + replyBytes, 0);
  return {
    queries: calls.length,
    timesMoved: Math.round((bytes / wholeBytes) * 10) / 10,
    lastAfterSeconds: (Math.max(...receivedMs) - endedMs) / 1_000,
  };
}
