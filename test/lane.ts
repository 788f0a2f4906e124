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
  counters(): Promise<Omit<LaneState, "requests">>;
  /** The last 100 requests, oldest first. */
  requests(): Promise<RecordedRequest[]>;
}

/**
 * Opens a lane.
 *
 * @param upstream the address it leads to, or the answer it gives itself (200 and JSON unless it says otherwise)
 */
export async function openLane(upstream: string | CannedAnswer): Promise<Lane> {
  const request: LaneRequest = typeof upstream === "string" ? { target: upstream } : { target: null, body: upstream };
  const { id, url } = await command<LaneAddress>("POST", "", request);
  const fail = async (fault: Fault) => {
    await command("PUT", `/${id}/fault`, fault);
  };
  return {
    url,
    fail,
    heal: () => fail({ kind: "none" }),
    async serve(answer) {
      await command("PUT", `/${id}/body`, answer);
    },
    async counters() {
      const { requests: _, ...counters } = await command<LaneState>("GET", `/${id}`);
      return counters;
    },
    async requests() {
      return (await command<LaneState>("GET", `/${id}`)).requests;
    },
  };
}

async function command<T>(method: string, path: string, value?: unknown): Promise<T> {
  const response = await fetch(`${inject("stack").unreliableUpstream}/lanes${path}`, {
    method,
    ...(value !== undefined && { body: JSON.stringify(value) }),
  });
  if (!response.ok) {
    throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  }
  return response.json<T>();
}
