// Clients that leave, against workerd as a process: their waits end, and what they began for others goes on.
// Runs in Node (node --test test/node/*.test.ts): inside workerd there is no client to leave, and the proxy of `wrangler dev`
// does not tell of one that does.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { bundleProduct } from "../../bench/bundle.ts";
import { type Workerd, startWorkerd } from "../../bench/workerd.ts";
import { type Stack, startStack } from "../../dev/stack.ts";
import type { Fault, LaneAddress, LaneState } from "../stack/lane-protocol.ts";
import { type UnreliableUpstream, startUnreliableUpstream } from "../stack/unreliable-upstream.ts";

let stack: Stack;
let upstream: UnreliableUpstream;
let database: LaneAddress;
let keys: LaneAddress;
let worker: Workerd;
let directory: string;
const limits = { timeout: 60_000 };

async function command<T>(method: string, path: string, value?: unknown): Promise<T> {
  const body = value === undefined ? {} : { body: JSON.stringify(value) };
  const response = await fetch(`${upstream.url}/lanes${path}`, { method, ...body });
  return (await response.json()) as T;
}

const openLane = (target: string) => command<LaneAddress>("POST", "", { target });
const fail = (lane: LaneAddress, fault: Fault) => command("PUT", `/${lane.id}/fault`, fault);
const received = async (lane: LaneAddress) => (await command<LaneState>("GET", `/${lane.id}`)).received;

before(async () => {
  stack = await startStack();
  upstream = await startUnreliableUpstream();
  [database, keys] = await Promise.all([
    openLane(stack.variables.NEON_FETCH_ENDPOINT),
    openLane(stack.variables.JWKS_URL),
  ]);
  directory = await mkdtemp(join(tmpdir(), "crew-run-reader-"));
  worker = await startWorkerd({
    bundle: await bundleProduct(directory),
    variables: { ...stack.variables, NEON_FETCH_ENDPOINT: database.url, JWKS_URL: keys.url },
  });
}, limits);

after(async () => {
  await worker?.end();
  await rm(directory, { recursive: true, force: true });
  await upstream?.close();
  await stack?.close();
});

async function insertRun(): Promise<string> {
  const { rows } = await stack.database.query<{ id: string }>(
    "insert into crew_runs (id, correlation_id, owner_id, status) values (gen_random_uuid(), 'x', 'owner', 'pending') returning id",
  );
  return String(rows[0]?.id);
}

/** Sends a request and leaves, with a reset: a client that has only stopped sending may still be reading. */
async function askAndLeave(path: string, headers: Record<string, string>, afterMs: number): Promise<void> {
  const { hostname, port } = new URL(worker.origin);
  const socket = connect(Number(port), hostname);
  await once(socket, "connect");
  const lines = Object.entries({ host: hostname, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`);
  await sleep(afterMs);
  socket.resetAndDestroy();
}

// First, while the Worker knows no keys.
test(
  "a client that leaves while it fetches the keys leaves nobody waiting, nor costs another fetch",
  limits,
  async () => {
    const token = await stack.authorizationServer.fetchToken("owner");
    const path = `/api/crew-runs/${await insertRun()}`;
    const headers = { authorization: `Bearer ${token}` };
    await fail(keys, { kind: "delay", milliseconds: 700 });
    const leaving = askAndLeave(path, headers, 300);
    await sleep(200);
    const answers = await Promise.all(Array.from({ length: 50 }, () => fetch(worker.origin + path, { headers })));
    await leaving;
    for (const answer of answers) assert.equal(answer.status, 200);
    assert.equal(await received(keys), 1);
  },
);

test("a wait ends with its client, and others go on", limits, async () => {
  const token = await stack.authorizationServer.fetchToken("owner");
  const [left, stayed] = [await insertRun(), await insertRun()];
  const headers = { authorization: `Bearer ${token}`, prefer: "wait=30" };
  const leaving = askAndLeave(`/api/crew-runs/${left}`, headers, 1_000);
  const waiting = fetch(`${worker.origin}/api/crew-runs/${stayed}`, { headers });
  await leaving;
  await sleep(300);
  const queries = async (id: string) => {
    const { requests } = await command<LaneState>("GET", `/${database.id}`);
    return requests.filter(({ body }) => body.includes(id)).length;
  };
  const [before, stayedBefore] = [await queries(left), await queries(stayed)];
  assert.ok(before >= 2, "it had been waiting");
  await sleep(4_000);
  assert.equal(await queries(left), before);
  assert.ok((await queries(stayed)) > stayedBefore, "the other still waits");
  await stack.database.query("update crew_runs set status = 'completed' where id = $1", [stayed]);
  const answer = await waiting;
  assert.equal(answer.status, 200);
  assert.equal(((await answer.json()) as { status: string }).status, "completed");
});
