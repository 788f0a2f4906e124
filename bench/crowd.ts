// The cost of long polls: the queries of one client and of a hundred that wait for the same run, how long after its end the last
// of them gets it, and how often a large row leaves the database meanwhile.
import { setTimeout as sleep } from "node:timers/promises";
import type { LocalStack } from "./local-stack.ts";
import { type Line, describeCount } from "./report.ts";
import { LARGE_RUN, type RunShape, SMALL_RUN, finishRun } from "./runs.ts";
import type { Workerd } from "../test/support/node/workerd.ts";

const RUN_SECONDS = 12;
const DATABASE_MS = 40;
const CLIENTS = 100;
const LATEST_SECONDS = 3.5;

interface Wait {
  shape: RunShape;
  clients: number;
  apartMs: number;
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

export async function measureCrowd(stack: LocalStack): Promise<Line[]> {
  const worker = await stack.start(stack.product);
  stack.upstream.delayMs.sql = DATABASE_MS;
  const alone = { clients: 1, apartMs: 0 };
  try {
    const [small, smallConditional, large, largeConditional] = await Promise.all([
      waitForRun(stack, worker, { shape: SMALL_RUN, ...alone, isConditional: false }),
      waitForRun(stack, worker, { shape: SMALL_RUN, ...alone, isConditional: true }),
      waitForRun(stack, worker, { shape: LARGE_RUN, ...alone, isConditional: false }),
      waitForRun(stack, worker, { shape: LARGE_RUN, ...alone, isConditional: true }),
    ]);
    const lines: Line[] = [
      {
        what: `one client waits ${RUN_SECONDS} s for a run: queries`,
        target: "",
        measured: `**${small.queries}**, ${smallConditional.queries} with \`If-None-Match\``,
        verdict: "",
      },
      describeCount(
        "the same, a run with 500 KB of input: times the row leaves the database",
        large.timesMoved,
        2,
        `${largeConditional.timesMoved} with \`If-None-Match\``,
      ),
    ];
    for (const isConditional of [false, true]) {
      for (const apartMs of [10, 0]) {
        const wait = { shape: SMALL_RUN, clients: CLIENTS, apartMs, isConditional };
        const outcome = await waitForRun(stack, worker, wait);
        lines.push(describeCrowd(wait, outcome, isConditional ? smallConditional : small));
      }
    }
    return lines;
  } finally {
    stack.upstream.delayMs.sql = 0;
    await worker.end();
  }
}

/** The clients send `Prefer: wait=30`; the run ends 12 s after the first of them. */
async function waitForRun(
  { database, upstream, addRun, read }: LocalStack,
  worker: Workerd,
  { shape, clients, apartMs, isConditional }: Wait,
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
    await sleep(client * apartMs);
    const { status, body } = await read(worker, id, { prefer: "wait=30", ...condition });
    const receivedMs = performance.now();
    if (status !== 200 || !body.includes(`"status":"completed"`)) throw new Error(`the run had not ended: ${status}`);
    return receivedMs;
  }
  const [receivedMs] = await Promise.all([
    Promise.all(Array.from({ length: clients }, (_, client) => follow(client))),
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

function describeCrowd({ apartMs, isConditional }: Wait, { queries, lastAfterSeconds }: Outcome, one: Outcome): Line {
  const when = apartMs === 0 ? "at the same moment" : `${apartMs} ms apart`;
  const limit = CLIENTS + 2 * one.queries;
  const isMet = queries <= limit && lastAfterSeconds <= LATEST_SECONDS;
  return {
    what: `${CLIENTS} clients, ${when}${isConditional ? ", with `If-None-Match`" : ""}: queries, and when the last gets the finished run`,
    target: `≤ ${limit}, ${LATEST_SECONDS} s`,
    measured: `**${queries}**, ${lastAfterSeconds.toFixed(1)} s`,
    verdict: isMet ? "met" : "missed",
  };
}
