// No header costs the isolate more than its length: each that the Worker reads comes as long as Cloudflare passes one on, in every
// shape that could make a pattern backtrack. A pattern that is quadratic takes seconds per request, so that its test runs into its
// time-out; one that is linear takes about a millisecond.
// In Node, because a raw socket sends what `fetch` refuses to, and against workerd without a server in front of it.
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Upstreams, startUpstreams } from "../../dev/local-stack.ts";
import { bundleProduct } from "../support/node/bundle.ts";
import { type Workerd, startWorkerd } from "../support/node/workerd.ts";
import { insertRunBy } from "../support/runs.ts";

/** A request's headers may have 128 KB in all. */
const BYTES = 120_000;
/** The 112 requests of one test take half a second on an idle machine; one that is quadratic takes about ten. */
const TIMEOUT_MS = 8_000;

const FILLERS = [" ", "\t", ",", " ,", '"', "\\", '\\"', ".", "A", "1", "=", ";", 'W/"', "\u0085"];
const TAILS = ["", "x", '"', "\u2028", "\u2029", "\u0085", '\u2028"', '"\u2029'];

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

let stack: Upstreams;
let worker: Workerd;
let directory: string;
let path: string;
let headers: Record<string, string>;

beforeAll(async () => {
  stack = await startUpstreams();
  directory = await mkdtemp(join(tmpdir(), "crew-run-reader-"));
  worker = await startWorkerd({
    bundle: await bundleProduct(directory),
    // No wait, so that a `Prefer` which is understood takes no longer than another.
    variables: { ...stack.variables, MAX_WAIT_SECONDS: "0", CORS_ORIGINS: ORIGIN },
  });
  // Unfinished, because only then is `Prefer` read.
  path = `/api/crew-runs/${await insertRunBy(stack.database, { status: "running" })}`;
  headers = { host: "api.test", authorization: `Bearer ${await stack.authorizationServer.fetchToken("owner")}` };
});

afterAll(async () => {
  await worker?.end();
  await rm(directory, { recursive: true, force: true });
  await stack?.close();
});

/** Sends a request with the header's value in UTF-8, and returns the response. */
async function send(name: string, value: string): Promise<string> {
  const { hostname, port } = new URL(worker.origin);
  const socket = connect(Number(port), hostname);
  await once(socket, "connect");
  const isPreflight = name === "access-control-request-method";
  const method = isPreflight ? "OPTIONS" : "GET";
  const origin = isPreflight ? { origin: ORIGIN } : {};
  const sent = Object.entries({ ...headers, ...origin, [name]: value, connection: "close" });
  socket.write(`${method} ${path} HTTP/1.1\r\n${sent.map((header) => `${header.join(": ")}\r\n`).join("")}\r\n`);
  return text(socket);
}

const CASES = Object.entries(STARTS).flatMap(([name, starts]) => starts.map((start) => [name, start] as const));

test.for(CASES)(
  `%s: %j and ${BYTES.toLocaleString("en")} bytes more cost the isolate no more than their length`,
  { timeout: TIMEOUT_MS },
  async ([name, start], { signal }) => {
    for (const filler of FILLERS) {
      const filled = start + filler.repeat(BYTES / Buffer.byteLength(filler));
      for (const tail of TAILS) {
        // A test that timed out must not load the Worker of those after it.
        signal.throwIfAborted();
        const response = await send(name, filled + tail);
        expect(response).toMatch(/^HTTP\/1\.1 [234]/);
        // workerd itself refuses some hosts; every other header gets to the Worker.
        if (name !== "host") expect(response).toContain("x-request-id");
      }
    }
  },
);
