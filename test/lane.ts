// A test's own way to an upstream that misbehaves on command. The server behind it is stack/unreliable-upstream.ts.
import { inject } from "vitest";
import type {
  CannedAnswer,
  Fault,
  LaneAddress,
  LaneRequest,
  LaneState,
  RecordedRequest,
} from "./stack/lane-protocol.ts";

export interface Lane {
  /** What the program under test is given in place of the upstream's address. */
  url: string;
  /** From the next request on. */
  fail(fault: Fault): Promise<void>;
  heal(): Promise<void>;
  /** Changes the canned answer, for example to rotate keys. */
  serve(answer: CannedAnswer): Promise<void>;
  counters(): Promise<Pick<LaneState, "received">>;
  /** The last 100 requests, oldest first. */
  requests(): Promise<RecordedRequest[]>;
}

/** Opens a lane to the address given, or one that gives the answer itself (200 and JSON unless it says otherwise). */
export async function openLane(upstream: string | CannedAnswer): Promise<Lane> {
  const request: LaneRequest = typeof upstream === "string" ? { target: upstream } : { target: null, body: upstream };
  const { id, url } = await command<LaneAddress>("POST", "", request);
  const readState = () => command<LaneState>("GET", `/${id}`);
  const fail = async (fault: Fault) => void (await command("PUT", `/${id}/fault`, fault));
  return {
    url,
    fail,
    heal: () => fail({ kind: "none" }),
    serve: async (answer) => void (await command("PUT", `/${id}/body`, answer)),
    counters: readState,
    requests: async () => (await readState()).requests,
  };
}

async function command<T>(method: string, path: string, value?: unknown): Promise<T> {
  const response = await fetch(`${inject("stack").unreliableUpstream}/lanes${path}`, {
    method,
    ...(value !== undefined && { body: JSON.stringify(value) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response.json<T>();
}
