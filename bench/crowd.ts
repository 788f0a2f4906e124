// What it costs to wait for a run: the queries of one client and of a hundred that wait for the same run, how long after the
// end the last of them hears of it, and how often a large row leaves the database meanwhile.
import { setTimeout as sleep } from "node:timers/promises";
import { type Line, describeCount } from "./report.ts";
import { LARGE_RUN, type RunShape, SMALL_RUN, finishRun } from "./runs.ts";
import type { Stage } from "./stage.ts";
import type { Workerd } from "../test/support/node/workerd.ts";

const RUN_SECONDS = 12;
const DATABASE_MS = 40;
const CLIENTS = 100;
const HEARD_WITHIN_SECONDS = 3.5;

interface Wait {
  shape: RunShape;
  clients: number;
  apartMs: number;
  /** Whether the clients hold the run as it stands (`If-None-Match`). */
  isConditional: boolean;
}

interface Outcome {
  queries: number;
  /** How often the row's bytes left the database. */
  timesMoved: number;
  /** After the end of the run, the last client. */
  heardAfterSeconds: number;
}

export async function measureCrowd(stage: Stage): Promise<Line[]> {
  const worker = await stage.start(stage.product);
  stage.upstream.delayMs.sql = DATABASE_MS;
  const alone = { clients: 1, apartMs: 0 };
  try {
    const [small, smallHeld, large, largeHeld] = await Promise.all([
      waitForRun(stage, worker, { shape: SMALL_RUN, ...alone, isConditional: false }),
      waitForRun(stage, worker, { shape: SMALL_RUN, ...alone, isConditional: true }),
      waitForRun(stage, worker, { shape: LARGE_RUN, ...alone, isConditional: false }),
      waitForRun(stage, worker, { shape: LARGE_RUN, ...alone, isConditional: true }),
    ]);
    const lines: Line[] = [
      {
        what: `one client waits ${RUN_SECONDS} s for a run: queries`,
        target: "",
        measured: `**${small.queries}**, ${smallHeld.queries} with \`If-None-Match\``,
        verdict: "",
      },
      describeCount(
        "the same, a run with 500 KB of input: times that the row leaves the database",
        large.timesMoved,
        2,
        `${largeHeld.timesMoved} with \`If-None-Match\``,
      ),
    ];
    for (const isConditional of [false, true]) {
      for (const apartMs of [10, 0]) {
        const wait = { shape: SMALL_RUN, clients: CLIENTS, apartMs, isConditional };
        const outcome = await waitForRun(stage, worker, wait);
        lines.push(describeCrowd(wait, outcome, isConditional ? smallHeld : small));
      }
    }
    return lines;
  } finally {
    stage.upstream.delayMs.sql = 0;
    await worker.end();
  }
}

/** The clients ask with `Prefer: wait=30`; the run ends 12 s after the first of them. */
async function waitForRun(
  { database, upstream, addRun, ask }: Stage,
  worker: Workerd,
  { shape, clients, apartMs, isConditional }: Wait,
): Promise<Outcome> {
  const id = await addRun(shape);
  const { headers } = await ask(worker, id);
  const seen = upstream.calls.filter(({ body }) => body.includes(id));
  const wholeBytes = seen[0]?.replyBytes ?? Number.NaN;
  const held: Record<string, string> = isConditional ? { "if-none-match": headers.etag ?? "" } : {};
  let endedMs = Number.NaN;
  async function end(): Promise<void> {
    await sleep(RUN_SECONDS * 1_000);
    await database.exec(finishRun(id));
    upstream.forgetReplies();
    endedMs = performance.now();
  }
  async function follow(client: number): Promise<number> {
    await sleep(client * apartMs);
    const { status, body } = await ask(worker, id, { prefer: "wait=30", ...held });
    const heardMs = performance.now();
    if (status !== 200 || !body.includes(`"status":"completed"`)) throw new Error(`no end of the run, but ${status}`);
    return heardMs;
  }
  const [heardMs] = await Promise.all([
    Promise.all(Array.from({ length: clients }, (_, client) => follow(client))),
    end(),
  ]);
  const calls = upstream.calls.filter(({ body }) => body.includes(id)).slice(seen.length);
  const bytes = calls.reduce((sum, { replyBytes }) => sum + replyBytes, 0);
  return {
    queries: calls.length,
    timesMoved: Math.round((bytes / wholeBytes) * 10) / 10,
    heardAfterSeconds: (Math.max(...heardMs) - endedMs) / 1_000,
  };
}

function describeCrowd({ apartMs, isConditional }: Wait, { queries, heardAfterSeconds }: Outcome, one: Outcome): Line {
  const when = apartMs === 0 ? "in the same moment" : `${apartMs} ms apart`;
  const limit = CLIENTS + 2 * one.queries;
  const isMet = queries <= limit && heardAfterSeconds <= HEARD_WITHIN_SECONDS;
  return {
    what: `${CLIENTS} clients, ${when}${isConditional ? ", with `If-None-Match`" : ""}: queries, and when the last hears of the end`,
    target: `≤ ${limit}, ${HEARD_WITHIN_SECONDS} s`,
    measured: `**${queries}**, ${heardAfterSeconds.toFixed(1)} s`,
    verdict: isMet ? "met" : "missed",
  };
}
