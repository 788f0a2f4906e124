// The server of all fault proxies. Each test opens new proxies with their own fault and count, so tests don't affect each other.
// Tests open them by `openFaultProxyAt` of ../fault-proxy-protocol.ts.
import { EventEmitter, once } from "node:events";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import { json, text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { type Loopback, listenOnLoopback } from "../../../dev/loopback.ts";
import type { Change, Fault, FaultProxyState, Upstream } from "../fault-proxy-protocol.ts";

const MAX_RECORDED_REQUESTS = 100;

interface Proxy {
  upstream: Upstream;
  fault: Fault;
  state: FaultProxyState;
  /** Emits `fault` when the fault changes. */
  events: EventEmitter;
}

/**
 * Starts the server on a free port of the loopback interface. `PUT /proxies/ID` with a Change opens the proxy or changes it, and
 * returns its state. `/proxy/ID` is the proxy itself.
 */
export async function startFaultProxyServer(): Promise<Loopback> {
  const proxies = new Map<string, Proxy>();

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, area, id = ""] = (request.url ?? "").split("/");
    const proxy = proxies.get(id) ?? makeProxy();
    proxies.set(id, proxy);
    if (area === "proxy") return serve(proxy, request, response);
    const { upstream, fault } = (await json(request)) as Change;
    if (upstream !== undefined) proxy.upstream = upstream;
    if (fault !== undefined) {
      proxy.fault = fault;
      proxy.events.emit("fault");
    }
    response.end(JSON.stringify(proxy.state));
  }

  return listenOnLoopback(
    createServer((request, response) => void respond(request, response).catch(() => response.destroy())),
  );
}

function makeProxy(): Proxy {
  const state = { received: 0, held: 0, requests: [] };
  // Each request that is held listens.
  return { upstream: "", fault: { kind: "none" }, state, events: new EventEmitter().setMaxListeners(0) };
}

/** One request through a proxy. */
async function serve(proxy: Proxy, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { state } = proxy;
  const fault = takeFault(proxy);
  const record = { headers: request.headers as Record<string, string>, body: "" };
  state.requests = [...state.requests, record].slice(-MAX_RECORDED_REQUESTS);
  state.received += 1;
  const gone = new AbortController();
  const { signal } = gone;
  response.once("close", () => gone.abort());
  const untilNextFault = async () => {
    state.held += 1;
    await once(proxy.events, "fault", { signal }).finally(() => (state.held -= 1));
  };

  if (fault.kind === "refuse") return void request.socket.destroy();
  record.body = await text(request);
  if (fault.kind === "drop") return void request.socket.destroy();
  if (fault.kind === "hang") return;
  if (fault.kind === "delay") await sleep(fault.milliseconds, undefined, { signal });
  if (fault.kind === "hold") await untilNextFault();
  const reply = await findReply(fault, proxy.upstream, request, record.body, signal);
  if (fault.kind === "hold-response") await untilNextFault();

  let { body } = reply;
  const half = body.subarray(0, Math.floor(body.length / 2));
  if (fault.kind === "truncated") body = half;
  if (fault.kind === "huge-body") body = Buffer.concat([body, Buffer.alloc(fault.megabytes * 1024 * 1024, " ")]);
  response.writeHead(reply.status, { ...reply.headers, "content-length": body.length });
  if (fault.kind === "hang-in-body") return void response.write(half);
  if (fault.kind === "drop-in-body") return void response.write(half, () => request.socket.destroy());
  for (; fault.kind === "trickle" && body.length > fault.bytes; body = body.subarray(fault.bytes)) {
    response.write(body.subarray(0, fault.bytes));
    await sleep(fault.intervalMs, undefined, { signal });
  }
  response.end(body);
}

function takeFault(proxy: Proxy): Fault {
  const { fault } = proxy;
  if (fault.times !== undefined) {
    proxy.fault = fault.times > 1 ? { ...fault, times: fault.times - 1 } : { kind: "none" };
  }
  return fault;
}

interface Reply {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
}

/** The response that the fault is, or the canned one, or the upstream's: as much of it as the Worker reads. */
async function findReply(
  fault: Fault,
  upstream: Upstream,
  request: IncomingMessage,
  body: string,
  signal: AbortSignal,
): Promise<Reply> {
  if (fault.kind === "redirect") return { status: 302, headers: { location: fault.location }, body: Buffer.alloc(0) };
  const canned = fault.kind === "status" ? fault : upstream;
  if (typeof canned !== "string") {
    const { status = 200, headers, text: whole = "" } = canned;
    return { status, headers: { "content-type": "application/json", ...headers }, body: Buffer.from(whole) };
  }
  const { method = "GET", headers } = request;
  const neons = Object.entries(headers)
    .map(([name, value]) => [name, String(value)])
    .filter(([name = ""]) => name.startsWith("neon-"));
  const response = await fetch(canned, {
    method,
    headers: Object.fromEntries(neons),
    signal,
    ...(body !== "" && { body }),
  });
  const type = response.headers.get("content-type") ?? "";
  return { status: response.status, headers: { "content-type": type }, body: Buffer.from(await response.bytes()) };
}
