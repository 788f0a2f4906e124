// The server of all fault proxies. Each test opens new proxies with their own fault and count, so tests don't affect each other.
// Tests open them by `openFaultProxyAt` of ../fault-proxy-protocol.ts.
import { EventEmitter, once } from "node:events";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import { buffer, json } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { listenOnLoopback } from "../../../dev/loopback.ts";
import type { CannedResponse, Fault, FaultProxyState, RecordedRequest, Upstream } from "../fault-proxy-protocol.ts";

const MAX_RECORDED_REQUESTS = 100;

/** Belong to one connection (RFC 9110 §7.6.1), or are set anew for the body that is sent. */
const CONNECTION_HEADERS = new Set(
  "connection content-encoding content-length date expect host keep-alive te trailer transfer-encoding upgrade".split(
    " ",
  ),
);

interface Proxy {
  upstream: Upstream;
  fault: Fault;
  state: FaultProxyState;
  /** Emits `fault` when the fault changes. */
  events: EventEmitter;
}

interface Reply {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

export interface FaultProxyServer {
  url: string;
  close(): Promise<void>;
}

/**
 * Starts the server on a free port of the loopback interface.
 *
 * `POST /proxies` with an Upstream opens a proxy and gives its id and URL; `GET /proxies/:id` gives its state;
 * `PUT /proxies/:id/fault` takes a Fault, `PUT /proxies/:id/response` a CannedResponse. `/proxy/:id` is the proxy itself.
 *
 * `/sql` serves Neon's driver, which knows one endpoint per isolate, while all test apps of a file share an isolate. The
 * driver sends the connection string along, so its host names the proxy: `proxy-ID.localhost`. Other hosts go to
 * `sqlEndpoint`. See `routeDatabase` in ../test-app.ts.
 */
export async function startFaultProxyServer(sqlEndpoint = ""): Promise<FaultProxyServer> {
  const proxies = new Map<string, Proxy>();
  const direct = makeProxy(sqlEndpoint);

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, area, id = "", part = ""] = (request.url ?? "/").split("/");
    if (area === "proxy") return pass(find(id), request, response);
    if (area === "sql") {
      const host = URL.parse(String(request.headers["neon-connection-string"]))?.hostname ?? "";
      return pass(proxies.get(/^proxy-(\d+)\./.exec(host)?.[1] ?? "") ?? direct, request, response);
    }
    const result = await command(`${request.method} ${area} ${part}`, id, request);
    send(response, { ...JSON_REPLY, body: Buffer.from(JSON.stringify(result)) });
  }

  async function command(name: string, id: string, request: IncomingMessage): Promise<object> {
    if (name === "POST proxies ") return add((await json(request)) as Upstream);
    const proxy = find(id);
    if (name === "PUT proxies fault") setFault(proxy, (await json(request)) as Fault);
    else if (name === "PUT proxies response") proxy.upstream = (await json(request)) as CannedResponse;
    else if (name !== "GET proxies ") throw new Error(`${name} is no command`);
    return proxy.state;
  }

  function add(upstream: Upstream): { id: string; url: string } {
    const id = String(proxies.size + 1);
    proxies.set(id, makeProxy(upstream));
    return { id, url: `${origin}/proxy/${id}` };
  }

  function find(id: string): Proxy {
    const proxy = proxies.get(id);
    if (proxy === undefined) throw new Error(`there is no proxy ${id}`);
    return proxy;
  }

  const server = createServer((request, response) => {
    respond(request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else send(response, { ...JSON_REPLY, status: 502, body: Buffer.from(JSON.stringify({ error: String(error) })) });
    });
  });
  const { url: origin, close } = await listenOnLoopback(server);

  return { url: origin, close };
}

const JSON_REPLY = { status: 200, headers: { "content-type": "application/json" } };

function makeProxy(upstream: Upstream): Proxy {
  const events = new EventEmitter();
  // Each request that is held listens.
  events.setMaxListeners(0);
  return { upstream, fault: { kind: "none" }, state: { received: 0, held: 0, unfinished: 0, requests: [] }, events };
}

function setFault(proxy: Proxy, fault: Fault): void {
  proxy.fault = fault;
  proxy.events.emit("fault");
}

/** One request through a proxy. */
async function pass(proxy: Proxy, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { state } = proxy;
  const fault = takeFault(proxy);
  const headers = Object.entries(request.headers).map(([name, value]) => [name, String(value)]);
  const record: RecordedRequest = { headers: Object.fromEntries(headers), body: "" };
  state.requests = [...state.requests, record].slice(-MAX_RECORDED_REQUESTS);
  state.received += 1;
  const gone = new AbortController();
  response.once("close", () => {
    if (!response.writableFinished) state.unfinished += 1;
    gone.abort();
  });
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
  const untilNextFault = async () => {
    state.held += 1;
    await once(proxy.events, "fault", { signal: gone.signal }).finally(() => (state.held -= 1));
  };
  if (fault.kind === "hold") await untilNextFault();

  const reply = await fetchReply(proxy.upstream, request, body, gone.signal);
  if (fault.kind === "hold-response") await untilNextFault();
  const half = reply.body.subarray(0, Math.floor(reply.body.length / 2));
  switch (fault.kind) {
    case "truncated":
      return send(response, { ...reply, body: half });
    case "huge-body": {
      const blanks = Buffer.alloc(fault.megabytes * 1024 * 1024, " ");
      return send(response, { ...reply, body: Buffer.concat([reply.body, blanks]) });
    }
    case "drop-in-body":
    case "hang-in-body":
      writeHead(response, reply);
      response.write(half, () => {
        if (fault.kind === "drop-in-body") request.socket.destroy();
      });
      return;
    case "trickle":
      writeHead(response, reply);
      for (let start = 0; start < reply.body.length; start += fault.bytes) {
        if (start > 0) await pause(fault.intervalMs);
        response.write(reply.body.subarray(start, start + fault.bytes));
      }
      response.end();
      return;
    default:
      send(response, reply);
  }
}

function takeFault(proxy: Proxy): Fault {
  const { fault } = proxy;
  if (fault.times !== undefined) {
    proxy.fault = fault.times > 1 ? { ...fault, times: fault.times - 1 } : { kind: "none" };
  }
  return fault;
}

async function fetchReply(
  upstream: Upstream,
  request: IncomingMessage,
  body: Buffer,
  signal: AbortSignal,
): Promise<Reply> {
  if (typeof upstream !== "string") {
    const { status = 200, headers = {}, text } = upstream;
    return { status, headers: { ...JSON_REPLY.headers, ...headers }, body: Buffer.from(text) };
  }
  const response = await fetch(upstream, {
    method: request.method ?? "GET",
    headers: passHeaders(Object.entries(request.headers)),
    redirect: "manual",
    signal,
    ...(body.length > 0 && { body: new Uint8Array(body) }),
  });
  return {
    status: response.status,
    headers: passHeaders([...response.headers]),
    body: Buffer.from(await response.arrayBuffer()),
  };
}

function passHeaders(headers: [string, unknown][]): Record<string, string> {
  const passed = headers.filter(([name]) => !CONNECTION_HEADERS.has(name));
  return Object.fromEntries(passed.map(([name, value]) => [name, String(value)]));
}

function send(response: ServerResponse, reply: Reply): void {
  writeHead(response, reply);
  response.end(reply.body);
}

function writeHead(response: ServerResponse, { status, headers, body }: Reply): void {
  response.writeHead(status, { ...headers, "content-length": body.length });
}
