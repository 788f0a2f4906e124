// What only a raw socket can do to the Worker, against workerd as a process: a client leaves in the middle of a request, or sends
// headers that `fetch` refuses. Inside workerd there is no client that could leave, and `wrangler dev`'s proxy hides one that does.
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type Socket, connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { insertRun, updateRun } from "../support/database.ts";
import { openDatabaseProxy } from "../support/fault-proxy.ts";
import { type TestIssuer, openIssuer } from "../support/issuer.ts";
import { type Bundle, bundleProduct } from "../support/node/bundle.ts";
import { type Workerd, startWorkerd } from "../support/node/workerd.ts";
import { FINISH } from "../support/runs.ts";
import { makeKey } from "../support/signing.ts";

let directory: string;
let bundle: Bundle;
let issuer: TestIssuer;
let token: string;
const workers: Workerd[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "crew-run-reader-"));
  bundle = await bundleProduct(directory);
  issuer = await openIssuer([await makeKey("ES256")]);
  token = await issuer.sign();
});

afterAll(async () => {
  for (const worker of workers) await worker.end();
  await rm(directory, { recursive: true, force: true });
});

/** Starts a Worker that has no keys yet, with these settings. */
async function startWorker(settings: Record<string, string>): Promise<string> {
  const variables = { ...inject("localStack").variables, ...issuer.variables, ...settings };
  const worker = await startWorkerd({ bundle, variables });
  workers.push(worker);
  return worker.origin;
}

const addRun = async (status: "running" | "completed") => `/api/crew-runs/${await insertRun({ status })}`;

/** Sends a request, whose headers may be anything. */
async function send(origin: string, head: string, headers: Record<string, string>): Promise<Socket> {
  const { hostname, port } = new URL(origin);
  const socket = connect(Number(port), hostname);
  await once(socket, "connect");
  const lines = Object.entries(headers).map((header) => `${header.join(": ")}\r\n`);
  socket.write(`${head} HTTP/1.1\r\n${lines.join("")}\r\n`);
  return socket;
}

/** Sends a request and leaves, with a reset: a client that has only stopped sending may still be reading. */
async function readAndLeave(url: string, headers: Record<string, string>, afterMs: number): Promise<void> {
  const { origin, pathname, hostname: host } = new URL(url);
  const socket = await send(origin, `GET ${pathname}`, { host, ...headers });
  await sleep(afterMs);
  socket.resetAndDestroy();
}

test("a client that leaves while it fetches the keys delays no other request and costs no other fetch", async () => {
  const url = (await startWorker({})) + (await addRun("running"));
  const headers = { authorization: `Bearer ${token}` };
  const before = await issuer.proxy.received();
  await issuer.proxy.fail({ kind: "delay", milliseconds: 700, times: 1 });
  const leaving = readAndLeave(url, headers, 300);
  await sleep(200);
  const responses = await Promise.all(Array.from({ length: 50 }, () => fetch(url, { headers })));
  await leaving;
  for (const { status } of responses) expect(status).toBe(200);
  expect(await issuer.proxy.received()).toBe(before + 1);
});

test("a wait ends with its client, and others go on", async () => {
  const database = await openDatabaseProxy();
  const origin = await startWorker({ NEON_FETCH_ENDPOINT: database.url });
  const [left, stayed] = [await addRun("running"), await addRun("running")];
  const idOf = (path: string) => path.slice(-36);
  const countQueries = async (path: string) =>
    (await database.requests()).filter(({ body }) => body.includes(idOf(path))).length;
  const untilQueried = (path: string, count: number) =>
    expect.poll(() => countQueries(path), { timeout: 20_000 }).toBeGreaterThanOrEqual(count);
  const headers = { authorization: `Bearer ${token}`, prefer: "wait=30" };
  const leaving = readAndLeave(origin + left, headers, 800);
  const waiting = fetch(origin + stayed, { headers });
  await untilQueried(left, 2);
  await leaving;
  await sleep(200);
  const before = await countQueries(left);
  // In the time of two polls of the one who stayed, the other would have polled, too.
  await untilQueried(stayed, (await countQueries(stayed)) + 2);
  expect(await countQueries(left)).toBe(before);
  await updateRun(idOf(stayed), FINISH);
  const response = await waiting;
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ status: "completed" });
});

/** Half as much as Cloudflare passes on. A pattern that is quadratic takes seconds for it, one that is linear a millisecond. */
const BYTES = 60_000;
/** A test's 48 requests take a quarter of a second on an idle machine. */
const TIMEOUT_MS = 5_000;

const FILLERS = [" ", "\t", ",", " ,", '"', "\\", '\\"', ".", "A", "1", "=", ";"];
const TAILS = ["x", '"', "\u2028", '\u2029"'];

const ORIGIN = "https://app.example.com";

/** What each header begins with, so that each step which reads it gets to the filler. */
const STARTS: Record<string, string[]> = {
  authorization: ["", "Bearer", "Bearer ", "Bearer e30.", "bearer e30.e30."],
  prefer: ["", "wait", "wait=", 'wait="1', 'x="', "respond-async, wait=1;"],
  "if-none-match": ["", '"', "*"],
  "x-request-id": [""],
  traceparent: ["", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
  origin: ["", ORIGIN],
  "access-control-request-method": [""],
  "cf-ray": [""],
  host: ["", "a", "[::", "api.test:"],
};

describe("no header costs the isolate more than its length:", () => {
  let worker: string;
  let path: string;

  beforeAll(async () => {
    worker = await startWorker({ CORS_ORIGINS: ORIGIN });
    // Finished, so that it comes from memory, and a `Prefer` that is understood takes no longer than another.
    path = await addRun("completed");
  });

  test.for(Object.entries(STARTS).flatMap(([name, starts]) => starts.map((start) => [name, start] as const)))(
    `%s: %j and ${BYTES} bytes`,
    { timeout: TIMEOUT_MS },
    async ([name, start], { signal }) => {
      const isPreflight = name === "access-control-request-method";
      const head = `${isPreflight ? "OPTIONS" : "GET"} ${path}`;
      const usual = { host: "api.test", authorization: `Bearer ${token}`, ...(isPreflight && { origin: ORIGIN }) };
      for (const filler of FILLERS) {
        const filled = start + filler.repeat(BYTES / filler.length);
        for (const tail of TAILS) {
          // A test that timed out must not load the Worker of those after it.
          signal.throwIfAborted();
          const socket = await send(worker, head, { ...usual, [name]: filled + tail, connection: "close" });
          const response = await text(socket);
          expect(response).toMatch(/^HTTP\/1\.1 [234]/);
          // workerd itself refuses some hosts; every other header gets to the Worker.
          if (name !== "host") expect(response).toContain("x-request-id");
        }
      }
    },
  );
});
