// A fault proxy stands in front of an upstream, or in its place, and fails on command. This is the interface that tests use,
// in workerd and in Node, and what the two sides send each other.

/** How a fault proxy fails. `times` counts requests; after so many the proxy works again. */
export type Fault = { times?: number } & (
  | { kind: "none" }
  /** Ends the connection when the request's head has come: nothing was read, nothing passed on. */
  | { kind: "refuse" }
  /** Ends the connection when the whole request has come, instead of a response; nothing is passed on. */
  | { kind: "drop" }
  /** Ends the connection in the middle of the response's body. */
  | { kind: "drop-in-body" }
  /** Takes the request and never responds. */
  | { kind: "hang" }
  /** Sends half of the response's body, then nothing more. */
  | { kind: "hang-in-body" }
  /** Responds by itself. */
  | ({ kind: "status" } & CannedResponse)
  /** The response, followed by so much white space: still the same JSON. */
  | { kind: "huge-body"; megabytes: number }
  /** Half of the response's body, as if it were the whole. */
  | { kind: "truncated" }
  /** The whole response, so many bytes at a time. */
  | { kind: "trickle"; bytes: number; intervalMs: number }
  | { kind: "redirect"; location: string }
  /** Waits, then passes on. */
  | { kind: "delay"; milliseconds: number }
  /** Holds the request until the proxy heals or gets another fault, then passes it on. */
  | { kind: "hold" }
  /** Passes the request on, and holds the response as above. */
  | { kind: "hold-response" }
);

/** A response that needs no upstream. */
export interface CannedResponse {
  /** 200 if left out. */
  status?: number;
  /** JSON if there is no Content-Type. */
  headers?: Record<string, string>;
  /** Empty if left out. */
  text?: string;
}

/** The upstream's address, or the response to give in its place. */
export type Upstream = string | CannedResponse;

export interface RecordedRequest {
  /** By lower-case name. */
  headers: Record<string, string>;
  /** Empty for a request that was refused. */
  body: string;
}

export interface FaultProxyState {
  /** Requests whose head has come. */
  received: number;
  /** Requests and responses that are held. */
  held: number;
  /** The last 100, oldest first. */
  requests: RecordedRequest[];
}

/** What the server is told about a proxy. */
export interface Change {
  upstream?: Upstream;
  fault?: Fault;
}

/** Each member of the state can be asked for. */
export interface FaultProxy extends Asked<FaultProxyState> {
  /** Give this to the program under test in place of the upstream's address. */
  readonly url: string;
  /** From the next request on. */
  fail(fault: Fault): Promise<void>;
  heal(): Promise<void>;
  /** Changes the canned response, for example to rotate keys. */
  serve(response: CannedResponse): Promise<void>;
}
type Asked<State> = { [Name in keyof State]: () => Promise<State[Name]> };

/** Opens a proxy at a server of node/fault-proxy-server.ts, to the given address or with a fixed response. */
export async function openFaultProxyAt(server: string, upstream: Upstream): Promise<FaultProxy> {
  const id = crypto.randomUUID();
  const change = async (to: Change): Promise<FaultProxyState> => {
    const response = await fetch(`${server}/proxies/${id}`, { method: "PUT", body: JSON.stringify(to) });
    return await response.json();
  };
  await change({ upstream });
  return {
    url: `${server}/proxy/${id}`,
    fail: async (fault) => void (await change({ fault })),
    heal: async () => void (await change({ fault: { kind: "none" } })),
    serve: async (response) => void (await change({ upstream: response })),
    received: async () => (await change({})).received,
    held: async () => (await change({})).held,
    requests: async () => (await change({})).requests,
  };
}

/** Waits until so many requests have come since the proxy was opened. */
export const untilReceived = (proxy: FaultProxy, count: number): Promise<void> =>
  until(async () => (await proxy.received()) >= count);

/** Waits until a request or a response is held. */
export const untilHeld = (proxy: FaultProxy): Promise<void> => until(async () => (await proxy.held()) > 0);

/** Gives up after some seconds: a test that has timed out must not go on. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (let left = 1_000; !(await isSo()); left -= 1) {
    if (left === 0) throw new Error("the fault proxy has waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
