// What reads of large runs cost in memory, with V8 limited as a deployed isolate is: `npm run measure:memory`. Each case gets
// a fresh workerd, and is asked twice over: replies of the database with a Content-Length and without.
// Prints the peak of resident memory above idle; ends with 1 if an isolate died, or if a case was not answered as it should.
import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { bundleProduct } from "../support/node/bundle.ts";
import { type Workerd, startWorkerd } from "../support/node/workerd.ts";
import { listenOnLoopback } from "../../dev/loopback.ts";
import { startStack } from "../../dev/stack.ts";
import { makeReply } from "../support/database-reply.ts";

/** Of one reply: src/crew-runs/postgres/reply-budget.ts. */
const MAX_REPLY_BYTES = 16_777_216;
const HEAP_MEGABYTES = 128;
/** What the isolate keeps of finished runs: enough of these fill it. */
const KEPT_RUN_BYTES = 2_000_000;
const KEPT_RUNS = 8;

const TEXTS = {
  ascii: "The line was extended in two steps. ",
  /** Two bytes a character in V8, in the database's reply hardly more than one. */
  emoji: "The line was extended in two steps. The harbour is eleven minutes nearer now. 🚋 ",
  lines: "\n",
};

interface Case {
  title: string;
  text: keyof typeof TEXTS;
  /** Of `result`, or "bound": as many as make a reply of exactly the Worker's bound. */
  bytes: number | "bound";
  atOnce: number;
  isMemoryFull?: boolean;
  /** Every answer is one of these, and the first one occurs. */
  expected: number[];
}

const CASES: Case[] = [
  { title: "5 MB", text: "ascii", bytes: 5e6, atOnce: 1, expected: [200] },
  { title: "5 MB with emoji", text: "emoji", bytes: 5e6, atOnce: 1, expected: [200] },
  { title: "5 MB of line ends", text: "lines", bytes: 5e6, atOnce: 1, expected: [200] },
  { title: "three of 5 MB", text: "ascii", bytes: 5e6, atOnce: 3, expected: [200] },
  { title: "three of 5 MB with emoji", text: "emoji", bytes: 5e6, atOnce: 3, expected: [200] },
  { title: "the bound", text: "ascii", bytes: "bound", atOnce: 1, expected: [200] },
  { title: "the bound with emoji", text: "emoji", bytes: "bound", atOnce: 1, expected: [200] },
  { title: "the same, kept runs full", text: "emoji", bytes: "bound", atOnce: 1, isMemoryFull: true, expected: [200] },
  { title: "60 MB with emoji", text: "emoji", bytes: 60e6, atOnce: 1, expected: [500] },
  { title: "thirty of 5 MB with emoji", text: "emoji", bytes: 5e6, atOnce: 30, expected: [200, 503] },
  { title: "twenty of the bound with emoji", text: "emoji", bytes: "bound", atOnce: 20, expected: [200, 503] },
];

const makeRun = (id: string, result: string) => Buffer.from(makeReply({ id, status: "completed", result }));

/** Postgres's place: replies made beforehand, by the run's id, so that they arrive as fast as the Worker reads. */
const replies = new Map<string, Buffer>();
let hasLength = true;
const database = createServer((request, response) => {
  const answer = async () => {
    const { params } = (await json(request)) as { params: string[] };
    const reply = replies.get(params[0] ?? "") ?? Buffer.alloc(0);
    response.writeHead(200, hasLength ? { "content-length": reply.byteLength } : {}).end(reply);
  };
  void answer();
});

/** Gives the new run's id. */
function addReply(text: string, bytes: number | "bound"): string {
  const id = randomUUID();
  const textBytes = Buffer.byteLength(text);
  const room = MAX_REPLY_BYTES - makeRun(id, "").byteLength;
  const count = Math.floor((bytes === "bound" ? room : bytes) / textBytes);
  const rest = bytes === "bound" ? "x".repeat(room - count * textBytes) : "";
  replies.set(id, makeRun(id, text.repeat(count) + rest));
  return id;
}

async function readMegabytes(worker: Workerd, name: "VmRSS" | "VmHWM"): Promise<number> {
  const status = await readFile(`/proc/${worker.pid}/status`, "utf8");
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) / 1_024;
}

const stack = await startStack();
const { url: NEON_FETCH_ENDPOINT, close: closeDatabase } = await listenOnLoopback(database);
const directory = await mkdtemp(join(tmpdir(), "crew-run-memory-"));
const bundle = await bundleProduct(join(directory, "product"));

/** Statuses are empty where the isolate died. */
async function measure(one: Case): Promise<{ statuses: number[]; megabytes: number }> {
  const headers = { authorization: `Bearer ${await stack.authorizationServer.fetchToken("owner")}` };
  const variables = { ...stack.variables, NEON_FETCH_ENDPOINT };
  const worker = await startWorkerd({ bundle, variables, v8Flags: [`--max-heap-size=${HEAP_MEGABYTES}`] });
  const ask = async (id: string) => {
    const response = await fetch(`${worker.origin}/api/crew-runs/${id}`, { headers });
    for await (const chunk of response.body ?? []) void chunk;
    return response.status;
  };
  try {
    await ask(addReply("small", 5));
    await sleep(200);
    const idle = await readMegabytes(worker, "VmRSS");
    if (one.isMemoryFull) for (let count = 0; count < KEPT_RUNS; count += 1) await ask(addReply("x", KEPT_RUN_BYTES));
    const ids = Array.from({ length: one.atOnce }, () => addReply(TEXTS[one.text], one.bytes));
    // From here on the highest value counts anew (proc(5), clear_refs).
    await writeFile(`/proc/${worker.pid}/clear_refs`, "5");
    const statuses = await Promise.all(ids.map(ask));
    const megabytes = (await readMegabytes(worker, "VmHWM")) - idle;
    return { statuses, megabytes };
  } catch {
    return { statuses: [], megabytes: Number.NaN };
  } finally {
    replies.clear();
    await worker.end();
  }
}

try {
  console.log("| read | MB above idle | without Content-Length | answers |\n|---|---|---|---|");
  for (const one of CASES) {
    const figures: string[] = [];
    const answers: string[] = [];
    for (const isLengthTold of [true, false]) {
      hasLength = isLengthTold;
      const { statuses, megabytes } = await measure(one);
      figures.push(megabytes.toFixed(0));
      const counts = [...Map.groupBy(statuses, String)].map(([status, list]) => `${list.length} × ${status}`);
      answers.push(counts.toSorted().join(", ") || "the isolate died");
      const [first = 200] = one.expected;
      if (!statuses.includes(first) || statuses.some((status) => !one.expected.includes(status))) process.exitCode = 1;
    }
    console.log(`| ${one.title} | ${figures.join(" | ")} | ${answers.join("; ")} |`);
  }
} finally {
  await rm(directory, { recursive: true, force: true });
  await closeDatabase();
  await stack.close();
}
process.exit();
