// `npx node test/soak/main.ts`: mixed traffic of several users, 3 minutes unless `--minutes` says otherwise, while the SQL endpoint and the
// key endpoint fail and recover. Every response is checked against the database's state and the faults of that time.
// Prints its figures; ends with 1 if a response was wrong, or if the Worker's memory kept growing. The Worker runs in bare
// workerd: `wrangler dev` stores the log, which hides the Worker's own memory.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { bundleProduct } from "../support/node/bundle.ts";
import { quantile } from "../../bench/statistics.ts";
import { startUpstream } from "../../bench/upstream.ts";
import { startWorkerd } from "../support/node/workerd.ts";
import { type Upstreams, startUpstreams } from "../../dev/local-stack.ts";
import type { Fault } from "../support/fault-proxy-protocol.ts";
import { makeKey, signToken } from "../support/signing.ts";
import { type FaultProxyServer, startFaultProxyServer } from "../support/node/fault-proxy-server.ts";
import { type Question, type Received, USERS, type User, check, openRuns } from "./runs.ts";

const CLIENTS = 24;
const TTL_SECONDS = 30;
/** How long a fault has effects after its end: a fetch that still hangs, and the back-off after it. */
const KEY_FAULT_ECHO_MS = 6_500;
const DATABASE_FAULT_ECHO_MS = 500;
/** All attempts of one read end before this, by default. A wait reads once more at its end. */
const LONGEST_READ_MS = 10_000;
const MEMORY_INTERVAL_MS = 5_000;

const reply = (status: number, text: string): Fault => ({ kind: "status", status, text });
const FAULTS: readonly Fault[] = [
  { kind: "refuse" },
  { kind: "drop" },
  { kind: "drop-in-body" },
  { kind: "hang" },
  { kind: "hang-in-body" },
  { kind: "truncated" },
  { kind: "trickle", bytes: 20, intervalMs: 200 },
  { kind: "delay", milliseconds: 1_000 },
  { kind: "redirect", location: "http://127.0.0.1:9/" },
  reply(500, `{"message":"Couldn't connect to compute node"}`),
  reply(502, "<h1>Bad gateway</h1>"),
  reply(200, "<h1>Welcome</h1>"),
  reply(429, ""),
];

interface Figures {
  statuses: Map<string, number>;
  latenciesMs: number[];
  waits: number;
  cached: number;
  wrong: string[];
  memoryMegabytes: number[];
}

function pick<T>(list: readonly T[]): T {
  const one = list[Math.floor(Math.random() * list.length)];
  if (one === undefined) throw new Error("nothing to pick from");
  return one;
}

/** A fault proxy that fails now and then, and remembers when. */
function openTroubledProxy(server: FaultProxyServer, target: string, echoMs: number) {
  const proxy = server.open(target);
  const spells: { fromMs: number; untilMs: number }[] = [];
  return {
    url: proxy.url,
    describe: async () => `${spells.length} faults in ${await proxy.received()} requests`,
    async strike(signal: AbortSignal): Promise<void> {
      const spell = { fromMs: Date.now(), untilMs: Number.POSITIVE_INFINITY };
      spells.push(spell);
      await proxy.fail(pick(FAULTS));
      await sleep(1_000 + Math.random() * 4_000, undefined, { signal }).catch(() => {});
      await proxy.heal();
      spell.untilMs = Date.now();
    },
    /** Whether a fault can have had effects within the time. */
    wasFelt: (fromMs: number, untilMs: number) =>
      spells.some((spell) => spell.fromMs <= untilMs && spell.untilMs + echoMs >= fromMs),
  };
}

async function soak(stack: Upstreams, milliseconds: number): Promise<Figures> {
  const proxies = await startFaultProxyServer();
  const database = openTroubledProxy(proxies, stack.variables.NEON_FETCH_ENDPOINT, DATABASE_FAULT_ECHO_MS);
  const keySet = openTroubledProxy(proxies, stack.variables.JWKS_URL, KEY_FAULT_ECHO_MS);
  const figures: Figures = {
    statuses: new Map(),
    latenciesMs: [],
    waits: 0,
    cached: 0,
    wrong: [],
    memoryMegabytes: [],
  };
  // Its cache never expires an entry, so only the Worker itself can end a cached run's life.
  const cache = await startUpstream(stack.variables.NEON_FETCH_ENDPOINT, "");
  const directory = await mkdtemp(join(tmpdir(), "crew-run-reader-"));
  const upstreams = { NEON_FETCH_ENDPOINT: database.url, JWKS_URL: keySet.url };
  const worker = await startWorkerd({
    bundle: await bundleProduct(directory),
    variables: { ...stack.variables, ...upstreams, FINISHED_RUN_TTL_SECONDS: String(TTL_SECONDS) },
    cacheAddress: cache.cacheAddress,
    v8Flags: ["--max-heap-size=128"],
  });

  const stop = new AbortController();
  const endMs = Date.now() + milliseconds;
  const tokens = new Map<User, string>();
  const runs = openRuns(stack.database, TTL_SECONDS);
  const forger = await makeKey("RS256");
  const { JWT_ISSUER: iss, JWT_AUDIENCE: aud } = stack.variables;
  const forgeToken = () => signToken(forger, { iss, aud });

  async function renewTokens(): Promise<void> {
    for (const user of USERS) tokens.set(user, await stack.authorizationServer.fetchToken(user));
  }

  async function read(): Promise<void> {
    const dice = Math.random();
    const run = dice < 0.08 ? undefined : runs.pick();
    const user = pick(USERS);
    const question: Question = { user, run, isForged: dice > 0.97, revision: run?.revision ?? 0, heldTag: undefined };
    if (Math.random() < 0.3) question.heldTag = run?.lastEtag;
    const waitSeconds = Math.random() < 0.1 ? 1 + Math.floor(Math.random() * 5) : 0;
    const token = question.isForged ? await forgeToken() : tokens.get(user);
    const headers = new Headers({ authorization: `Bearer ${token}` });
    if (question.heldTag !== undefined) headers.set("if-none-match", question.heldTag);
    if (waitSeconds > 0) headers.set("prefer", `wait=${waitSeconds}`);

    const startMs = Date.now();
    const signal = AbortSignal.timeout(30_000);
    const id = run?.id ?? crypto.randomUUID();
    const response = await fetch(`${worker.origin}/api/crew-runs/${id}`, { headers, signal });
    const body = await response.text();
    const received: Received = { status: response.status, headers: response.headers, body, startMs, endMs: Date.now() };
    const { code = "" } = (received.status >= 400 ? JSON.parse(body) : {}) as { code?: string };

    const outcome = `${received.status} ${code}`.trimEnd();
    const tookMs = received.endMs - startMs;
    figures.statuses.set(outcome, (figures.statuses.get(outcome) ?? 0) + 1);
    if (response.headers.has("preference-applied")) figures.waits += 1;
    if (response.headers.has("age")) figures.cached += 1;
    if (waitSeconds === 0) figures.latenciesMs.push(tookMs);
    const problems = [received.status === 503 ? checkOutage(received, code) : check(received, question, TTL_SECONDS)];
    if (tookMs > waitSeconds * 1_000 + (waitSeconds > 0 ? 2 : 1) * LONGEST_READ_MS) problems.push("a late response");
    for (const problem of problems.filter(Boolean)) {
      const about = `${new Date(startMs).toISOString()} ${tookMs} ms, ${waitSeconds} s of them a wait, ${user} ${id}`;
      figures.wrong.push(`${problem}: ${about} ${outcome} ${body.slice(0, 200)}`);
    }
  }

  /** A 503 must have a fault as its cause, a Retry-After, and no details in its body. */
  function checkOutage({ headers, body, startMs, endMs: untilMs }: Received, code: string): string | undefined {
    if (!headers.has("retry-after")) return "a 503 without Retry-After";
    const expected = { detail: "Service temporarily unavailable", code, request_id: headers.get("x-request-id") };
    if (body !== JSON.stringify(expected)) return "a 503 with details";
    const culprit = code === "database_unavailable" ? database : keySet;
    return culprit.wasFelt(startMs, untilMs) ? undefined : `a 503 ${code} while nothing was wrong`;
  }

  async function loop(work: () => Promise<unknown>, pauseMs: () => number): Promise<void> {
    while (!stop.signal.aborted && Date.now() < endMs) {
      await work().catch((error: unknown) => figures.wrong.push(`no response: ${String(error)}`));
      await sleep(pauseMs(), undefined, { signal: stop.signal }).catch(() => {});
    }
  }

  const measureMemory = async () => {
    const state = await readFile(`/proc/${worker.pid}/status`, "utf8");
    figures.memoryMegabytes.push(Number(/^VmRSS:\s+(\d+) kB$/m.exec(state)?.[1]) / 1_024);
  };

  const onSignal = () => stop.abort();
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  try {
    await renewTokens();
    await runs.fill();
    const pauseOfTrouble = () => 3_000 + Math.random() * 6_000;
    await Promise.all([
      loop(() => database.strike(stop.signal), pauseOfTrouble),
      loop(() => keySet.strike(stop.signal), pauseOfTrouble),
      loop(runs.advance, () => 50),
      loop(renewTokens, () => 20_000),
      loop(measureMemory, () => MEMORY_INTERVAL_MS),
      ...Array.from({ length: CLIENTS }, () => loop(read, () => Math.random() * 150)),
    ]);
    console.log(`database: ${await database.describe()}; issuer: ${await keySet.describe()}`);
  } finally {
    await worker.end();
    cache.close();
    await proxies.close();
    await rm(directory, { recursive: true, force: true });
  }
  return figures;
}

/** Prints the figures. Returns whether all is well. */
function report({ statuses, latenciesMs, memoryMegabytes, wrong, waits, cached }: Figures): boolean {
  // In the first half the Worker fills its caches.
  const quarter = Math.max(1, Math.floor(memoryMegabytes.length / 4));
  const third = quantile(memoryMegabytes.slice(-2 * quarter, -quarter), 0.5);
  const last = quantile(memoryMegabytes.slice(-quarter), 0.5);
  const listValues = (values: number[], unit: string) =>
    values.map((value) => `${value.toFixed(0)} ${unit}`).join(", ");
  const latencies = [0.5, 0.99, 1].map((share) => quantile(latenciesMs, share));
  for (const [name, value] of [
    ["responses", [...statuses.values()].reduce((sum, count) => sum + count, 0)],
    ["wrong", wrong.length],
    ...[...statuses].toSorted(),
    ["waited", waits],
    ["served from a cache", cached],
    ["time without waits: median, 99 %, most", listValues(latencies, "ms")],
    ["memory: third quarter, last quarter, most", listValues([third, last, Math.max(...memoryMegabytes)], "MB")],
  ]) {
    console.log(`| ${name} | ${value} |`);
  }
  for (const [kind, lines] of Map.groupBy(wrong, (line) => line.split(":")[0])) {
    console.error(`${lines.length} × ${kind}, such as\n  ${lines.slice(0, 3).join("\n  ")}`);
  }
  const isLevel = !(last > third * 1.1 + 10);
  if (!isLevel) console.error("memory kept growing");
  return wrong.length === 0 && isLevel;
}

const { values } = parseArgs({ options: { minutes: { type: "string", default: "3" } } });
const stack = await startUpstreams();
try {
  process.exitCode = report(await soak(stack, Number(values.minutes) * 60_000)) ? 0 : 1;
} finally {
  await stack.close();
}
process.exit();
