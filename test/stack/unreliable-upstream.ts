// A server that stands in front of a real one, or in its place, and misbehaves on command. Each test opens a lane of its
// own, with its own fault and counters, so tests do not meet. Driven over HTTP, since the tests run in workerd.
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer, json } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import type { CannedAnswer, Fault, LaneAddress, LaneRequest, LaneState, RecordedRequest } from "./lane-protocol.ts";

const maxRecordedRequests = 100;

/** Belong to one connection (RFC 9110 §7.6.1), or are set anew for the body that is sent. */
const connectionHeaders = new Set([
  "connection",
  "content-encoding",
  "content-length",
  "date",
  "expect",
  "host",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

interface Lane {
  target: string | null;
  body: CannedAnswer;
  fault: Fault;
  state: LaneState;
}

interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

export interface UnreliableUpstream {
  url: string;
  close(): Promise<void>;
}

/**
 * Starts the server on a free port of the loopback interface.
 *
 * `POST /lanes` with a LaneRequest gives a LaneAddress; `GET /lanes/:id` a LaneState; `PUT /lanes/:id/fault` takes a
 * Fault, `PUT /lanes/:id/body` a CannedAnswer. Everything below `/lane/:id` goes down the lane.
 * `POST /sql` is for Neon's driver, which has one endpoint for a whole isolate: a connection string with the host
 * `lane-ID.localhost` goes down that lane, any other one to `sqlEndpoint`.
 */
export async function startUnreliableUpstream(sqlEndpoint?: string): Promise<UnreliableUpstream> {
  const lanes = new Map<string, Lane>();
  const direct: Lane = openLane({ target: sqlEndpoint ?? null });

  const server = createServer((request, response) => {
    const [, area, id = "", ...rest] = (request.url ?? "/").split("/");
    const serve = async () => {
      if (area === "lane") {
        const [name = "", query] = id.split("?", 2);
        const path = rest.length > 0 ? `/${rest.join("/")}` : query === undefined ? "" : `?${query}`;
        await travel(find(name), path, request, response);
      } else if (area === "sql") {
        const host = URL.parse(String(request.headers["neon-connection-string"]))?.hostname ?? "";
        await travel(lanes.get(/^lane-(\d+)\./.exec(host)?.[1] ?? "") ?? direct, "", request, response);
      } else if (area === "lanes") {
        sendJson(response, 200, await command(request, id, rest[0]));
      } else {
        sendJson(response, 404, { error: "no such path" });
      }
    };
    serve().catch((error: unknown) => {
      if (!response.headersSent) {
        sendJson(response, 502, { error: String(error) });
      } else {
        response.destroy();
      }
    });
  });

  function find(id: string): Lane {
    const lane = lanes.get(id);
    if (lane === undefined) {
      throw new Error(`there is no lane ${id}`);
    }
    return lane;
  }

  async function command(
    request: IncomingMessage,
    id: string,
    part: string | undefined,
  ): Promise<LaneAddress | LaneState | Record<string, never>> {
    switch (`${request.method} ${part ?? ""}`) {
      case "POST ": {
        const newId = String(lanes.size + 1);
        lanes.set(newId, openLane((await json(request)) as LaneRequest));
        return { id: newId, url: `${origin}/lane/${newId}` };
      }
      case "GET ":
        return find(id).state;
      case "PUT fault":
        find(id).fault = (await json(request)) as Fault;
        return {};
      case "PUT body":
        find(id).body = (await json(request)) as CannedAnswer;
        return {};
      default:
        throw new Error(`${request.method} ${request.url} is no command`);
    }
  }

  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  return {
    url: origin,
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function openLane({ target, body = { status: 404, text: "" } }: LaneRequest): Lane {
  const state = { received: 0, answered: 0, open: 0, maxOpen: 0, requests: [] };
  return { target, body, fault: { kind: "none" }, state };
}

/** One request down a lane. */
async function travel(lane: Lane, path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { state } = lane;
  const fault = takeFault(lane);
  const record: RecordedRequest = {
    method: request.method ?? "",
    path,
    headers: keepHeaders(Object.entries(request.headers), () => true),
    body: "",
  };
  state.requests = [...state.requests, record].slice(-maxRecordedRequests);
  state.received += 1;
  state.open += 1;
  state.maxOpen = Math.max(state.maxOpen, state.open);

  const gone = new AbortController();
  response.once("finish", () => {
    state.answered += 1;
  });
  response.once("close", () => {
    state.open -= 1;
    gone.abort();
  });

  if (fault.kind === "refuse") {
    request.socket.destroy();
    return;
  }
  const body = await buffer(request);
  record.body = body.toString("utf8");

  switch (fault.kind) {
    case "drop":
      request.socket.destroy();
      return;
    case "hang":
      return;
    case "status": {
      const { status, text = "", contentType = "text/plain", headers = {} } = fault;
      return send(response, {
        status,
        headers: { "content-type": contentType, ...headers },
        body: Buffer.from(text),
      });
    }
    case "redirect": {
      const { status = 302, location } = fault;
      return send(response, { status, headers: { location }, body: Buffer.alloc(0) });
    }
    case "delay":
      await sleep(fault.milliseconds, undefined, { signal: gone.signal });
      break;
    default:
  }

  const answer = await fetchAnswer(lane, path, request, body, gone.signal);
  const half = answer.body.subarray(0, Math.floor(answer.body.length / 2));
  switch (fault.kind) {
    case "truncated":
      return send(response, { ...answer, body: half });
    case "huge-body":
      return send(response, {
        ...answer,
        body: Buffer.concat([answer.body, Buffer.alloc(fault.megabytes * 1024 * 1024, " ")]),
      });
    case "drop-in-body":
    case "hang-in-body":
      writeHead(response, answer);
      response.write(half, () => {
        if (fault.kind === "drop-in-body") {
          request.socket.destroy();
        }
      });
      return;
    case "trickle":
      writeHead(response, answer);
      for (let start = 0; start < answer.body.length; start += fault.bytes) {
        if (start > 0) {
          await sleep(fault.intervalMs, undefined, { signal: gone.signal });
        }
        response.write(answer.body.subarray(start, start + fault.bytes));
      }
      response.end();
      return;
    default:
      return send(response, answer);
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
  lane: Lane,
  path: string,
  request: IncomingMessage,
  body: Buffer,
  signal: AbortSignal,
): Promise<Answer> {
  if (lane.target === null) {
    const { status = 200, headers = {}, text } = lane.body;
    return { status, headers: { "content-type": "application/json", ...headers }, body: Buffer.from(text) };
  }
  const answer = await fetch(lane.target + path, {
    method: request.method ?? "GET",
    headers: keepHeaders(Object.entries(request.headers), (name) => !connectionHeaders.has(name)),
    redirect: "manual",
    signal,
    ...(body.length > 0 && { body: new Uint8Array(body) }),
  });
  return {
    status: answer.status,
    headers: keepHeaders([...answer.headers], (name) => !connectionHeaders.has(name)),
    body: Buffer.from(await answer.arrayBuffer()),
  };
}

function keepHeaders(
  headers: [string, string | string[] | undefined][],
  keeps: (name: string) => boolean,
): Record<string, string> {
  const kept = headers.filter(([name, value]) => value !== undefined && keeps(name));
  return Object.fromEntries(kept.map(([name, value]) => [name, String(value)]));
}

function send(response: ServerResponse, answer: Answer): void {
  writeHead(response, answer);
  response.end(answer.body);
}

function writeHead(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, { ...headers, "content-length": body.length });
}

function sendJson(response: ServerResponse, status: number, value: unknown): void {
  send(response, {
    status,
    headers: { "content-type": "application/json" },
    body: Buffer.from(JSON.stringify(value)),
  });
}
