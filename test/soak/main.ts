// `npx node test/soak/main.ts`: mixed reads and waits, for 3 minutes unless `--minutes` says otherwise, while the SQL endpoint and
// the key endpoint fail and recover. Ends with 1 if a 503 came while nothing was wrong, or if the Worker's memory kept growing.
// The Worker runs in bare workerd: `wrangler dev` stores the log, which hides the Worker's own memory. What responses contain, in
// whatever order things happen: test/histories/.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { median } from "../../bench/statistics.ts";
import { startUpstream } from "../../bench/upstream.ts";
import { startUpstreams } from "../../dev/local-stack.ts";
import { type Fault, type FaultProxy, openFaultProxyAt } from "../support/fault-proxy-protocol.ts";
import { bundleProduct } from "../support/node/bundle.ts";
import { startFaultProxyServer } from "../support/node/fault-proxy-server.ts";
import { startWorkerd } from "../support/node/workerd.ts";
import { insertRunBy } from "../support/runs.ts";

const CLIENTS = 24;
const RUNS = 300;
/** How long a fault has effects after its end: a fetch that still hangs, and the pause after it. */
const FAULT_ECHO_MS = 6_500;
const MEMORY_INTERVAL_MS = 5_000;
const FAULTS: readonly Fault[] = [
  { kind: "drop" },
  { kind: "drop-in-body" },
  { kind: "hang" },
  { kind: "hang-in-body" },
  { kind: "truncated" },
  { kind: "delay", milliseconds: 1_000 },
  { kind: "status", status: 500 },
];

const { values } = parseArgs({ options: { minutes: { type: "string", default: "3" } } });
const endMs = Date.now() + Number(values.minutes) * 60_000;
const stack = await startUpstreams();
const proxies = await startFaultProxyServer();
const directory = await mkdtemp(join(tmpdir(), "crew-run-reader-"));
const cache = await startUpstream(stack.variables.NEON_FETCH_ENDPOINT, "");
/** By the code of the 503 that it causes: its proxy, and when it failed. */
const upstreams = {
  database_unavailable: {
    proxy: await openFaultProxyAt(proxies.url, stack.variables.NEON_FETCH_ENDPOINT),
    faults: [] as Spell[],
  },
  key_set_unavailable: { proxy: await openFaultProxyAt(proxies.url, stack.variables.JWKS_URL), faults: [] as Spell[] },
};
const worker = await startWorkerd({
  bundle: await bundleProduct(directory),
  variables: {
    ...stack.variables,
    NEON_FETCH_ENDPOINT: upstreams.database_unavailable.proxy.url,
    JWKS_URL: upstreams.key_set_unavailable.proxy.url,
    // So that runs are read again and again.
    FINISHED_RUN_TTL_SECONDS: "30",
  },
  cacheAddress: cache.cacheAddress,
  v8Flags: ["--max-heap-size=128"],
});

interface Spell {
  fromMs: number;
  untilMs: number;
}

const statuses = new Map<number, number>();
const wrong: string[] = [];
const megabytes: number[] = [];
const ids: string[] = [];
const pick = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)] as T;

async function loop(work: () => Promise<unknown>, pauseMs: () => number): Promise<void> {
  while (Date.now() < endMs) {
    await work().catch((error: unknown) => wrong.push(`no response: ${String(error)}`));
    await sleep(pauseMs());
  }
}

async function fail({ proxy, faults }: { proxy: FaultProxy; faults: Spell[] }): Promise<void> {
  const spell = { fromMs: Date.now(), untilMs: Number.POSITIVE_INFINITY };
  faults.push(spell);
  await proxy.fail(pick(FAULTS));
  await sleep(1_000 + Math.random() * 4_000);
  await proxy.heal();
  spell.untilMs = Date.now();
}

async function read(): Promise<void> {
  const startMs = Date.now();
  const user = pick(["owner", "stranger", "admin"] as const);
  const headers: Record<string, string> = {
    authorization: `Bearer ${await stack.authorizationServer.fetchToken(user)}`,
  };
  if (Math.random() < 0.1) headers["prefer"] = "wait=3";
  const response = await fetch(`${worker.origin}/api/crew-runs/${pick(ids)}`, { headers });
  const text = await response.text();
  statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
  if (response.status < 500) return;
  const { code } = JSON.parse(text) as { code: keyof typeof upstreams };
  const isFelt = ({ fromMs, untilMs }: Spell) => fromMs <= Date.now() && untilMs + FAULT_ECHO_MS >= startMs;
  if (!upstreams[code]?.faults.some(isFelt)) wrong.push(`${response.status} ${code} while nothing was wrong`);
}

async function measureMemory(): Promise<void> {
  const state = await readFile(`/proc/${worker.pid}/status`, "utf8");
  megabytes.push(Number(/^VmRSS:\s+(\d+) kB$/m.exec(state)?.[1]) / 1_024);
}

try {
  for (let count = 0; count < RUNS; count += 1) {
    const status = pick(["running", "completed"] as const);
    ids.push(await insertRunBy(stack.database, { status, result: "x".repeat(20_000) }));
  }
  const pauseOfFaults = () => 3_000 + Math.random() * 6_000;
  await Promise.all([
    ...Object.values(upstreams).map((upstream) => loop(() => fail(upstream), pauseOfFaults)),
    loop(measureMemory, () => MEMORY_INTERVAL_MS),
    ...Array.from({ length: CLIENTS }, () => loop(read, () => Math.random() * 150)),
  ]);
} finally {
  await worker.end();
  cache.close();
  await proxies.close();
  await stack.close();
  await rm(directory, { recursive: true, force: true });
}

// In the first half the Worker fills its caches.
const quarter = Math.max(1, Math.floor(megabytes.length / 4));
const [third, last] = [median(megabytes.slice(-2 * quarter, -quarter)), median(megabytes.slice(-quarter))];
if (last > third * 1.1 + 10) wrong.push("memory kept growing");
for (const [status, count] of [...statuses].toSorted()) console.log(`${count} × ${status}`);
console.log(
  `${Object.values(upstreams)
    .map(({ faults }) => faults.length)
    .join(" and ")} faults of database and issuer`,
);
console.log(`memory: ${third.toFixed(0)} MB in the third quarter, ${last.toFixed(0)} in the last`);
for (const problem of new Set(wrong)) console.error(problem);
process.exit(wrong.length === 0 ? 0 : 1);
