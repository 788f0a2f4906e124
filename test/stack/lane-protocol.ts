// What the tests, in workerd, and the unreliable upstream, in Node, say to each other. Types only.

/** How a lane misbehaves. `times` counts requests; after so many the lane heals by itself. */
export type Fault = { times?: number } & (
  | { kind: "none" }
  /** Ends the connection when the request's head has come: nothing was read, nothing passed on. */
  | { kind: "refuse" }
  /** Ends the connection when the whole request has come, instead of an answer; nothing is passed on. */
  | { kind: "drop" }
  /** Ends the connection in the middle of the answer's body. */
  | { kind: "drop-in-body" }
  /** Takes the request, never answers. */
  | { kind: "hang" }
  /** Sends half of the answer's body, then nothing more. */
  | { kind: "hang-in-body" }
  /** Answers by itself. The body is plain text unless `contentType` says otherwise. */
  | { kind: "status"; status: number; text?: string; contentType?: string; headers?: Record<string, string> }
  /** The answer, followed by so much white space: still the same JSON. */
  | { kind: "huge-body"; megabytes: number }
  /** Half of the answer's body, as if it were the whole. */
  | { kind: "truncated" }
  /** The whole answer, so many bytes at a time. */
  | { kind: "trickle"; bytes: number; intervalMs: number }
  | { kind: "redirect"; location: string; status?: 301 | 302 | 303 | 307 | 308 }
  /** Waits, then passes on. */
  | { kind: "delay"; milliseconds: number }
);

/** An answer that needs nobody behind the lane. */
export interface CannedAnswer {
  /** 200 if left out. */
  status?: number;
  headers?: Record<string, string>;
  text: string;
}

/** What opens a lane: it leads to `target`, or gives the canned answer if there is no target. */
export interface LaneRequest {
  target: string | null;
  body?: CannedAnswer;
}

export interface LaneAddress {
  id: string;
  /** Give this to the program under test. */
  url: string;
}

export interface RecordedRequest {
  /** Empty for a request that was refused. */
  body: string;
}

export interface LaneState {
  /** Requests whose head has come. */
  received: number;
  /** The last 100. */
  requests: RecordedRequest[];
}
