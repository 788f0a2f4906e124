// The requests of smoke's checks, and their comparison. Collects the Worker's responses, so that a last check can compare what all
// of them must have.
import { isDeepStrictEqual } from "node:util";

export interface Received {
  status: number;
  headers: Headers;
  text: string;
  /** Empty if the text isn't a JSON object. */
  json: Record<string, unknown>;
}

interface Request {
  token?: string;
  headers?: Record<string, string>;
}

const TIMEOUT_MS = 15_000;
const MAX_SHOWN_LENGTH = 300;
/** What Browser Integrity Check sends instead of the Worker. */
export const BLOCKED = "error code: 1010";
/** Static files, served without the Worker: no request id. */
const FILES = /^\/(docs(\/|$)|openapi\.json)/;

/** Status and `detail` of each error, by its code. */
const REFUSALS = {
  not_authenticated: [401, "Not authenticated"],
  invalid_token: [401, "Could not validate credentials"],
  run_not_found: [404, "Run not found"],
  not_found: [404, "Not Found"],
} as const;

export class Session {
  readonly origin: string;
  readonly responses: Received[] = [];

  constructor(origin: string) {
    this.origin = origin;
  }

  async send(path: string, { token, headers }: Request = {}): Promise<Received> {
    const response = await fetch(this.origin + path, {
      redirect: "manual",
      headers: { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...headers },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.text();
    const received = { status: response.status, headers: response.headers, text, json: parseObject(text) };
    if (!FILES.test(path) && text !== BLOCKED) this.responses.push(received);
    return received;
  }

  /** Expects a 200 with that Content-Type, by default JSON. */
  async read(path: string, request: Request = {}, type = /^application\/json/): Promise<Received> {
    const response = await this.send(path, request);
    expectStatus(`the status of ${path}`, response, 200);
    expect(`Content-Type of ${path}`, response.headers.get("content-type"), type);
    return response;
  }

  /** Expects the complete error with that code. */
  async expectRefusal(code: keyof typeof REFUSALS, path: string, request: Request = {}): Promise<Received> {
    const response = await this.send(path, request);
    const [status, detail] = REFUSALS[code];
    expectStatus("the status", response, status);
    expect("the body", response.json, { detail, code, request_id: response.headers.get("x-request-id") });
    expect("Cache-Control", response.headers.get("cache-control"), "no-store");
    return response;
  }
}

/** If the response is an error, the message has what its log line is found by. */
function expectStatus(name: string, { status, json: { code, request_id: id } }: Received, expected: number): void {
  expect(name, status, expected, code === undefined ? "" : ` (${String(code)}, request_id ${String(id)})`);
}

/** Throws unless `actual` equals what is expected, or matches the expected pattern. */
export function expect(name: string, actual: unknown, expected: unknown, note = ""): void {
  const isPattern = expected instanceof RegExp;
  if (isPattern ? typeof actual === "string" && expected.test(actual) : isDeepStrictEqual(actual, expected)) return;
  const shown = JSON.stringify(actual)?.slice(0, MAX_SHOWN_LENGTH);
  throw new Error(`${name} is ${shown}, not ${isPattern ? expected : JSON.stringify(expected)}${note}`);
}

/** The JSON object in a text; an empty one if there is none. */
function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
