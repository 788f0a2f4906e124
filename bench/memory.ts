// The memory that reads of large runs take, with V8 limited as a deployed isolate is: `npx node bench/memory.ts`. Each case gets a
// fresh workerd, once with a Content-Length in the database's replies and once without. Prints the peak of resident memory above
// idle; ends with 1 if an isolate died, or if a status isn't the expected one.
import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { bundleProduct } from "../test/support/node/bundle.ts";
import { type Workerd, startWorkerd } from "../test/support/node/workerd.ts";
import { listenOnLoopback } from "../dev/loopback.ts";
import { startUpstreams } from "../dev/local-stack.ts";
import { makeReply } from "../test/support/database-reply.ts";

/** Of one reply: src/crew-runs/postgres/reply-budget.ts. */
const MAX_REPLY_BYTES = 16_777_216;
const HEAP_MEGABYTES = 128;
/** Enough of these fill the memory cache. */
const CACHED_RUN_BYTES = 2_000_000;
const CACHED_RUNS = 8;

const TEXTS = {
  ascii: "The line was extended in two steps. ",
  /** Two bytes per character in V8, hardly more than one in the database's reply. */
  emoji: "The line was extended in two steps. The harbour is eleven minutes nearer now. 🚋 ",
  lines: "\n",
};

interface Case {
  title: string;
  text: keyof typeof TEXTS;
  /** Of `result`, or "bound": as many as make a reply of exactly the Worker's bound. */
  bytes: number | "bound";
  reads: number;
  /** So many at the same time, one batch after the other; all of them by default. */
  atOnce?: number;
  /** One after the other is started after so many milliseconds. */
  everyMs?: number;
  /** Reads unfinished runs, and prefers to wait for them. */
  waitSeconds?: number;
  isCacheFull?: boolean;
  /** Every status is one of these, and the first one occurs. */
  expected: number[];
}

/** All 80 wait at the same time before the first one ends. */
const PACE = { reads: 80, everyMs: 200 };

const CASES: Case[] = [
  { title: "5 MB", text: "ascii", bytes: 5e6, reads: 1, expected: [200] },
  { title: "5 MB with emoji", text: "emoji", bytes: 5e6, reads: 1, expected: [200] },
  { title: "5 MB of line ends", text: "lines", bytes: 5e6, reads: 1, expected: [200] },
  { title: "three of 5 MB", text: "ascii", bytes: 5e6, reads: 3, expected: [200] },
  { title: "three of 5 MB with emoji", text: "emoji", bytes: 5e6, reads: 3, expected: [200] },
  { title: "twelve of 5 MB, three at a time", text: "ascii", bytes: 5e6, reads: 12, atOnce: 3, expected: [200] },
  { title: "120 of 1 MB, twelve at a time", text: "ascii", bytes: 1e6, reads: 120, atOnce: 12, expected: [200] },
  { title: "80 of 5 MB, one every 200 ms", text: "ascii", bytes: 5e6, ...PACE, expected: [200] },
  { title: "the same with `Prefer: wait=20`", text: "ascii", bytes: 5e6, ...PACE, waitSeconds: 20, expected: [200] },
  { title: "the bound", text: "ascii", bytes: "bound", reads: 1, expected: [200] },
  { title: "the bound with emoji", text: "emoji", bytes: "bound", reads: 1, expected: [200] },
  { title: "the same, memory cache full", text: "emoji", bytes: "bound", reads: 1, isCacheFull: true, expected: [200] },
  { title: "60 MB with emoji", text: "emoji", bytes: 60e6, reads: 1, expected: [500] },
  { title: "thirty of 5 MB with emoji", text: "emoji", bytes: 5e6, reads: 30, expected: [200, 503] },
  { title: "twenty of the bound with emoji", text: "emoji", bytes: "bound", reads: 20, expected: [200, 503] },
];

interface StoredRun {
  /** Made beforehand, so that it arrives as fast as the Worker reads. */
  reply: Buffer;
  /** How long polls for the run's end get no row, from its first query on. */
  unfinishedMs: number;
  firstMs?: number;
}

/** Postgres's place: replies by the run's id. */
const runs = new Map<string, StoredRun>();
const NO_ROW = Buffer.from(JSON.stringify({ fields: [], rows: [], command: "SELECT", rowCount: 0 }));
let hasLength = true;
const database = createServer((request, response) => {
  const respond = async () => {
    const { params } = (await json(request)) as { params: string[] };
    const run = runs.get(params[0] ?? "");
    const isPoll = run?.firstMs !== undefined && Date.now() < run.firstMs + run.unfinishedMs;
    if (run !== undefined) run.firstMs ??= Date.now();
    const reply = run === undefined || isPoll ? NO_ROW : run.reply;
    response.writeHead(200, hasLength ? { "content-length": reply.byteLength } : {}).end(reply);
  };
  void respond();
});

/** Returns the new run's id. */
function addRun(text: string, bytes: number | "bound", unfinishedMs = 0): string {
  const id = randomUUID();
  const write = (result: string) =>
    Buffer.from(makeReply({ id, status: unfinishedMs === 0 ? "completed" : "running", result }));
  const textBytes = Buffer.byteLength(text);
  const room = MAX_REPLY_BYTES - write("").byteLength;
  const count = Math.floor((bytes === "bound" ? room : bytes) / textBytes);
  const rest = bytes === "bound" ? "x".repeat(room - count * textBytes) : "";
  runs.set(id, { reply: write(text.repeat(count) + rest), unfinishedMs });
  return id;
}

async function readMegabytes(worker: Workerd, name: "VmRSS" | "VmHWM"): Promise<number> {
  const status = await readFile(`/proc/${worker.pid}/status`, "utf8");
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) / 1_024;
}

const stack = await startUpstreams();
const { url: NEON_FETCH_ENDPOINT, close: closeDatabase } = await listenOnLoopback(database);
const directory = await mkdtemp(join(tmpdir(), "crew-run-memory-"));
const bundle = await bundleProduct(join(directory, "product"));

/** There are no statuses if the isolate died. */
async function measure(one: Case): Promise<{ statuses: number[]; megabytes: number }> {
  const authorization = `Bearer ${await stack.authorizationServer.fetchToken("owner")}`;
  const variables = { ...stack.variables, NEON_FETCH_ENDPOINT };
  const worker = await startWorkerd({ bundle, variables, v8Flags: [`--max-heap-size=${HEAP_MEGABYTES}`] });
  async function read(id: string, preference?: string): Promise<number> {
    const headers = { authorization, ...(preference !== undefined && { prefer: preference }) };
    const response = await fetch(`${worker.origin}/api/crew-runs/${id}`, { headers });
    for await (const chunk of response.body ?? []) void chunk;
    return response.status;
  }
  try {
    await read(addRun("small", 5));
    await sleep(200);
    const idle = await readMegabytes(worker, "VmRSS");
    if (one.isCacheFull) for (let count = 0; count < CACHED_RUNS; count += 1) await read(addRun("x", CACHED_RUN_BYTES));
    const { reads, atOnce = reads, everyMs, waitSeconds } = one;
    // A little less than the wait: its last poll gets the run.
    const unfinishedMs = waitSeconds === undefined ? 0 : waitSeconds * 1_000 - 500;
    const ids = Array.from({ length: reads }, () => addRun(TEXTS[one.text], one.bytes, unfinishedMs));
    const preference = waitSeconds === undefined ? undefined : `wait=${waitSeconds}`;
    // From here on the highest value counts anew (proc(5), clear_refs).
    await writeFile(`/proc/${worker.pid}/clear_refs`, "5");
    const statuses: number[] = [];
    while (ids.length > 0) {
      const batch = ids.splice(0, atOnce).map(async (id, index) => {
        await sleep(index * (everyMs ?? 0));
        return read(id, preference);
      });
      statuses.push(...(await Promise.all(batch)));
    }
    return { statuses, megabytes: (await readMegabytes(worker, "VmHWM")) - idle };
  } catch {
    return { statuses: [], megabytes: Number.NaN };
  } finally {
    runs.clear();
    await worker.end();
  }
}

try {
  console.log("| read | MB above idle | without Content-Length | responses |\n|---|---|---|---|");
  for (const one of CASES) {
    const figures: string[] = [];
    const responses: string[] = [];
    for (const isDeclared of [true, false]) {
      hasLength = isDeclared;
      const { statuses, megabytes } = await measure(one);
      figures.push(megabytes.toFixed(0));
      const counts = [...Map.groupBy(statuses, String)].map(([status, list]) => `${list.length} × ${status}`);
      responses.push(counts.toSorted().join(", ") || "the isolate died");
      const [first = 200] = one.expected;
      if (!statuses.includes(first) || statuses.some((status) => !one.expected.includes(status))) process.exitCode = 1;
    }
    console.log(`| ${one.title} | ${figures.join(" | ")} | ${responses.join("; ")} |`);
  }
} finally {
  await rm(directory, { recursive: true, force: true });
  await closeDatabase();
  await stack.close();
}
process.exit();
