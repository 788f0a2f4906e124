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
import { finishRun, insertRun } from "../stack/runs.ts";
import { type OpenLane, type UnreliableUpstream, startUnreliableUpstream } from "../stack/unreliable-upstream.ts";

let stack: Stack;
let upstream: UnreliableUpstream;
let database: OpenLane;
let keys: OpenLane;
let worker: Workerd;
let directory: string;
const limits = { timeout: 60_000 };

before(async () => {
  stack = await startStack();
  upstream = await startUnreliableUpstream();
  database = upstream.openLane(stack.variables.NEON_FETCH_ENDPOINT);
  keys = upstream.openLane(stack.variables.JWKS_URL);
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
test("a client that leaves while it fetches the keys keeps nobody waiting, nor costs a fetch", limits, async () => {
  const token = await stack.authorizationServer.fetchToken("owner");
  const path = `/api/crew-runs/${await insertRun(stack.database)}`;
  const headers = { authorization: `Bearer ${token}` };
  keys.fail({ kind: "delay", milliseconds: 700 });
  const leaving = askAndLeave(path, headers, 300);
  await sleep(200);
  const answers = await Promise.all(Array.from({ length: 50 }, () => fetch(worker.origin + path, { headers })));
  await leaving;
  for (const answer of answers) assert.equal(answer.status, 200);
  assert.equal(keys.state().received, 1);
});

test("a wait ends with its client, and others go on", limits, async () => {
  const token = await stack.authorizationServer.fetchToken("owner");
  const [left, stayed] = [await insertRun(stack.database), await insertRun(stack.database)];
  const headers = { authorization: `Bearer ${token}`, prefer: "wait=30" };
  const leaving = askAndLeave(`/api/crew-runs/${left}`, headers, 1_000);
  const waiting = fetch(`${worker.origin}/api/crew-runs/${stayed}`, { headers });
  await leaving;
  await sleep(300);
  const queries = (id: string) => database.state().requests.filter(({ body }) => body.includes(id)).length;
  const [before, stayedBefore] = [queries(left), queries(stayed)];
  assert.ok(before >= 2, "it had been waiting");
  await sleep(4_000);
  assert.equal(queries(left), before);
  assert.ok(queries(stayed) > stayedBefore, "the other still waits");
  await finishRun(stack.database, stayed);
  const answer = await waiting;
  assert.equal(answer.status, 200);
  assert.equal(((await answer.json()) as { status: string }).status, "completed");
});
