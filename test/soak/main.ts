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
const FAULTS: readonly Fault[] = [
  { kind: "drop" },
  { kind: "hang" },
  { kind: "hang-in-body" },
  { kind: "truncated" },
  { kind: "delay", milliseconds: 1_000 },
  { kind: "status", status: 500 },
];

const { values } = parseArgs({ options: { minutes: { type: "string", default: "3" } } });
const stack = await startUpstreams();
const { NEON_FETCH_ENDPOINT, JWKS_URL } = stack.variables;
const proxies = await startFaultProxyServer();
const [database, issuer] = [
  await openFaultProxyAt(proxies.url, NEON_FETCH_ENDPOINT),
  await openFaultProxyAt(proxies.url, JWKS_URL),
];
const directory = await mkdtemp(join(tmpdir(), "crew-run-reader-"));
const cache = await startUpstream(NEON_FETCH_ENDPOINT, "");
// So that runs are read again and again.
const settings = { NEON_FETCH_ENDPOINT: database.url, JWKS_URL: issuer.url, FINISHED_RUN_TTL_SECONDS: "30" };
const worker = await startWorkerd({
  bundle: await bundleProduct(directory),
  variables: { ...stack.variables, ...settings },
  cacheAddress: cache.cacheAddress,
  v8Flags: ["--max-heap-size=128"],
});

/** By the code of a 503: until when a request that gets one may begin. */
const faultyUntilMs: Record<string, number> = {};
const statuses: Record<number, number> = {};
const wrong = new Set<string>();
const megabytes: number[] = [];
const ids: string[] = [];
const pick = <T>(list: readonly T[]): T => list[Math.floor(Math.random() * list.length)] as T;

async function fail(proxy: FaultProxy, code: string): Promise<void> {
  faultyUntilMs[code] = Number.POSITIVE_INFINITY;
  await proxy.fail(pick(FAULTS));
  await sleep(1_000 + Math.random() * 4_000);
  await proxy.heal();
  faultyUntilMs[code] = Date.now() + FAULT_ECHO_MS;
  await sleep(3_000 + Math.random() * 6_000);
}

async function read(): Promise<void> {
  const startMs = Date.now();
  const token = await stack.authorizationServer.fetchToken(pick(["owner", "stranger", "admin"]));
  const headers = { authorization: `Bearer ${token}`, ...(Math.random() < 0.1 && { prefer: "wait=3" }) };
  const response = await fetch(`${worker.origin}/api/crew-runs/${pick(ids)}`, { headers });
  const { code } = (await response.json()) as { code?: string };
  statuses[response.status] = (statuses[response.status] ?? 0) + 1;
  if (response.status >= 500 && startMs > (faultyUntilMs[String(code)] ?? 0)) {
    wrong.add(`${response.status} ${code} while nothing was wrong`);
  }
  await sleep(Math.random() * 150);
}

async function measureMemory(): Promise<void> {
  const state = await readFile(`/proc/${worker.pid}/status`, "utf8");
  megabytes.push(Number(/^VmRSS:\s+(\d+) kB$/m.exec(state)?.[1]) / 1_024);
  await sleep(2_000);
}

try {
  for (let count = 0; count < RUNS; count += 1) {
    const status = pick(["running", "completed"] as const);
    ids.push(await insertRunBy(stack.database, { status, result: "x".repeat(20_000) }));
  }
  const endMs = Date.now() + Number(values.minutes) * 60_000;
  const repeat = async (work: () => Promise<void>): Promise<void> => {
    while (Date.now() < endMs) await work();
  };
  await Promise.all([
    repeat(() => fail(database, "database_unavailable")),
    repeat(() => fail(issuer, "key_set_unavailable")),
    repeat(measureMemory),
    ...Array.from({ length: CLIENTS }, () => repeat(read)),
  ]);
} finally {
  await worker.end();
  cache.close();
  await proxies.close();
  await stack.close();
  await rm(directory, { recursive: true, force: true });
}

// In the first half the Worker fills its caches.
const quarter = Math.floor(megabytes.length / 4);
const [third, last] = [median(megabytes.slice(-2 * quarter, -quarter)), median(megabytes.slice(-quarter))];
if (last > third * 1.1 + 10) wrong.add("memory kept growing");
console.log("responses by status:", statuses);
console.log(`memory: ${third.toFixed(0)} MB in the third quarter, ${last.toFixed(0)} in the last`);
for (const problem of wrong) console.error(problem);
process.exit(wrong.size === 0 ? 0 : 1);
