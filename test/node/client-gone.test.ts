// Clients that leave, against workerd as a process: their waits end, and what they began for others goes on.
// In Node, because inside workerd there is no client that could leave, and `wrangler dev`'s proxy hides one that does.
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { setTimeout as sleep } from "node:timers/promises";
import { type Upstreams, startUpstreams } from "../../dev/local-stack.ts";
import { bundleProduct } from "../support/node/bundle.ts";
import type { FaultProxy } from "../support/fault-proxy-protocol.ts";
import { type FaultProxyServer, startFaultProxyServer } from "../support/node/fault-proxy-server.ts";
import { type Workerd, startWorkerd } from "../support/node/workerd.ts";
import { FINISH, insertRunBy, updateRunBy } from "../support/runs.ts";

let stack: Upstreams;
let proxies: FaultProxyServer;
let database: FaultProxy;
let keys: FaultProxy;
let worker: Workerd;
let directory: string;

beforeAll(async () => {
  stack = await startUpstreams();
  proxies = await startFaultProxyServer();
  database = proxies.open(stack.variables.NEON_FETCH_ENDPOINT);
  keys = proxies.open(stack.variables.JWKS_URL);
  directory = await mkdtemp(join(tmpdir(), "crew-run-reader-"));
  worker = await startWorkerd({
    bundle: await bundleProduct(directory),
    variables: { ...stack.variables, NEON_FETCH_ENDPOINT: database.url, JWKS_URL: keys.url },
  });
});

afterAll(async () => {
  await worker?.end();
  await rm(directory, { recursive: true, force: true });
  await proxies?.close();
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

// First, before the Worker has keys.
test("a client that leaves while it fetches the keys delays no other request and costs no other fetch", async () => {
  const token = await stack.authorizationServer.fetchToken("owner");
  const path = `/api/crew-runs/${await insertRunBy(stack.database, { status: "running" })}`;
  const headers = { authorization: `Bearer ${token}` };
  await keys.fail({ kind: "delay", milliseconds: 700 });
  const leaving = askAndLeave(path, headers, 300);
  await sleep(200);
  const answers = await Promise.all(Array.from({ length: 50 }, () => fetch(worker.origin + path, { headers })));
  await leaving;
  for (const answer of answers) expect(answer.status).toBe(200);
  expect(await keys.received()).toBe(1);
});

test("a wait ends with its client, and others go on", async () => {
  const token = await stack.authorizationServer.fetchToken("owner");
  const [left, stayed] = [
    await insertRunBy(stack.database, { status: "running" }),
    await insertRunBy(stack.database, { status: "running" }),
  ];
  const headers = { authorization: `Bearer ${token}`, prefer: "wait=30" };
  const leaving = askAndLeave(`/api/crew-runs/${left}`, headers, 1_000);
  const waiting = fetch(`${worker.origin}/api/crew-runs/${stayed}`, { headers });
  await leaving;
  await sleep(300);
  const queries = async (id: string) => (await database.requests()).filter(({ body }) => body.includes(id)).length;
  const [before, stayedBefore] = [await queries(left), await queries(stayed)];
  expect(before, "it had been waiting").toBeGreaterThanOrEqual(2);
  await sleep(4_000);
  expect(await queries(left)).toBe(before);
  expect(await queries(stayed), "the other still waits").toBeGreaterThan(stayedBefore);
  await updateRunBy(stack.database, stayed, FINISH);
  const answer = await waiting;
  expect(answer.status).toBe(200);
  expect(((await answer.json()) as { status: string }).status).toBe("completed");
});
