// A server that stands in front of a real one, or in its place, and misbehaves on command. Each test opens a lane of its
// own, with its own fault and count, so tests do not meet. Tests in workerd drive it over HTTP, those in Node by `openLane`.
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import { buffer, json } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { listenOnLoopback } from "../../dev/loopback.ts";
import type { CannedAnswer, Fault, LaneAddress, LaneRequest, LaneState, RecordedRequest } from "./lane-protocol.ts";

const MAX_RECORDED_REQUESTS = 100;

/** Belong to one connection (RFC 9110 §7.6.1), or are set anew for the body that is sent. */
const CONNECTION_HEADERS = new Set(
  "connection content-encoding content-length date expect host keep-alive te trailer transfer-encoding upgrade".split(
    " ",
  ),
);

interface Lane {
  target: string | null;
  canned: CannedAnswer;
  fault: Fault;
  state: LaneState;
}

interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

export interface OpenLane {
  url: string;
  /** From the next request on. */
  fail(fault: Fault): void;
  state(): LaneState;
}

export interface UnreliableUpstream {
  url: string;
  openLane(target: string): OpenLane;
  close(): Promise<void>;
}

/**
 * Starts the server on a free port of the loopback interface.
 *
 * `POST /lanes` with a LaneRequest gives a LaneAddress; `GET /lanes/:id` a LaneState; `PUT /lanes/:id/fault` takes a
 * Fault, `PUT /lanes/:id/body` a CannedAnswer. A request for `/lane/:id` goes down the lane.
 * `POST /sql` is for Neon's driver, which has one endpoint for a whole isolate: a connection string with the host
 * `lane-ID.localhost` goes down that lane, any other one to `sqlEndpoint`.
 */
export async function startUnreliableUpstream(sqlEndpoint?: string): Promise<UnreliableUpstream> {
  const lanes = new Map<string, Lane>();
  const direct = makeLane({ target: sqlEndpoint ?? null });

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, area, id = "", part = ""] = (request.url ?? "/").split("/");
    if (area === "lane") return travel(find(id), request, response);
    if (area === "sql") {
      const host = URL.parse(String(request.headers["neon-connection-string"]))?.hostname ?? "";
      return travel(lanes.get(/^lane-(\d+)\./.exec(host)?.[1] ?? "") ?? direct, request, response);
    }
    const reply = await command(`${request.method} ${area} ${part}`, id, request);
    send(response, { ...JSON_ANSWER, body: Buffer.from(JSON.stringify(reply)) });
  }

  async function command(name: string, id: string, request: IncomingMessage): Promise<object> {
    if (name === "POST lanes ") return open((await json(request)) as LaneRequest);
    const lane = find(id);
    if (name === "PUT lanes fault") lane.fault = (await json(request)) as Fault;
    else if (name === "PUT lanes body") lane.canned = (await json(request)) as CannedAnswer;
    else if (name !== "GET lanes ") throw new Error(`${name} is no command`);
    return lane.state;
  }

  function open(request: LaneRequest): LaneAddress {
    const id = String(lanes.size + 1);
    lanes.set(id, makeLane(request));
    return { id, url: `${origin}/lane/${id}` };
  }

  function find(id: string): Lane {
    const lane = lanes.get(id);
    if (lane === undefined) throw new Error(`there is no lane ${id}`);
    return lane;
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else send(response, { ...JSON_ANSWER, status: 502, body: Buffer.from(JSON.stringify({ error: String(error) })) });
    });
  });
  const { url: origin, close } = await listenOnLoopback(server);

  return {
    url: origin,
    openLane(target) {
      const { id, url } = open({ target });
      const lane = find(id);
      return { url, fail: (fault) => void (lane.fault = fault), state: () => lane.state };
    },
    close,
  };
}

const JSON_ANSWER = { status: 200, headers: { "content-type": "application/json" } };

function makeLane({ target, body = { status: 404, text: "" } }: LaneRequest): Lane {
  return { target, canned: body, fault: { kind: "none" }, state: { received: 0, requests: [] } };
}

/** One request down a lane. */
async function travel(lane: Lane, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { state } = lane;
  const fault = takeFault(lane);
  const record: RecordedRequest = { body: "" };
  state.requests = [...state.requests, record].slice(-MAX_RECORDED_REQUESTS);
  state.received += 1;
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const pause = (milliseconds: number) => sleep(milliseconds, undefined, { signal: gone.signal });

  if (fault.kind === "refuse") return void request.socket.destroy();
  const body = await buffer(request);
  record.body = body.toString("utf8");
  if (fault.kind === "drop") return void request.socket.destroy();
  if (fault.kind === "hang") return;
  if (fault.kind === "status") {
    const { status, text = "", contentType = "text/plain", headers = {} } = fault;
    return send(response, { status, headers: { "content-type": contentType, ...headers }, body: Buffer.from(text) });
  }
  if (fault.kind === "redirect") {
    const { status = 302, location } = fault;
    return send(response, { status, headers: { location }, body: Buffer.alloc(0) });
  }
  if (fault.kind === "delay") await pause(fault.milliseconds);

  const answer = await fetchAnswer(lane, request, body, gone.signal);
  const half = answer.body.subarray(0, Math.floor(answer.body.length / 2));
  switch (fault.kind) {
    case "truncated":
      return send(response, { ...answer, body: half });
    case "huge-body": {
      const blanks = Buffer.alloc(fault.megabytes * 1024 * 1024, " ");
      return send(response, { ...answer, body: Buffer.concat([answer.body, blanks]) });
    }
    case "drop-in-body":
    case "hang-in-body":
      writeHead(response, answer);
      response.write(half, () => {
        if (fault.kind === "drop-in-body") request.socket.destroy();
      });
      return;
    case "trickle":
      writeHead(response, answer);
      for (let start = 0; start < answer.body.length; start += fault.bytes) {
        if (start > 0) await pause(fault.intervalMs);
        response.write(answer.body.subarray(start, start + fault.bytes));
      }
      response.end();
      return;
    default:
      send(response, answer);
  }
}

function takeFault(lane: Lane): Fault {
  const { fault } = lane;
  if (fault.times !== undefined) {
    lane.fault = fault.times > 1 ? { ...fault, times: fault.times - 1 } : { kind: "none" };
  }
  return fault;
}

async function fetchAnswer(
  { target, canned }: Lane,
  request: IncomingMessage,
  body: Buffer,
  signal: AbortSignal,
): Promise<Answer> {
  if (target === null) {
    const { status = 200, headers = {}, text } = canned;
    return { status, headers: { ...JSON_ANSWER.headers, ...headers }, body: Buffer.from(text) };
  }
  const answer = await fetch(target, {
    method: request.method ?? "GET",
    headers: passHeaders(Object.entries(request.headers)),
    redirect: "manual",
    signal,
    ...(body.length > 0 && { body: new Uint8Array(body) }),
  });
  return {
    status: answer.status,
    headers: passHeaders([...answer.headers]),
    body: Buffer.from(await answer.arrayBuffer()),
  };
}

function passHeaders(headers: [string, unknown][]): Record<string, string> {
  const passed = headers.filter(([name]) => !CONNECTION_HEADERS.has(name));
  return Object.fromEntries(passed.map(([name, value]) => [name, String(value)]));
}

function send(response: ServerResponse, answer: Answer): void {
  writeHead(response, answer);
  response.end(answer.body);
}

function writeHead(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, { ...headers, "content-length": body.length });
}
