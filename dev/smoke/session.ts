// Requests to a deployment as the checks of smoke send them, and the comparison that they make.
// Keeps each answer of the Worker, so that what all of them must have can be checked at the end.
import { isDeepStrictEqual } from "node:util";

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  /** Empty where the text is no JSON object. */
  json: Record<string, unknown>;
}

interface Request {
  method?: string;
  token?: string;
  headers?: Record<string, string>;
}

export const TIMEOUT_MS = 15_000;
const MAX_SHOWN_LENGTH = 300;
/** Answered from files, without the Worker: no request id and no timing. */
const FILES = /^\/(docs|openapi\.json|llms\.txt)/;

/** What each error answer says, by its code. */
const REFUSALS = {
  not_authenticated: [401, "Not authenticated"],
  invalid_token: [401, "Could not validate credentials"],
  run_not_found: [404, "Run not found"],
  not_found: [404, "Not Found"],
  method_not_allowed: [405, "Method Not Allowed"],
} as const;

export class Session {
  readonly origin: string;
  readonly answers: Answer[] = [];

  constructor(origin: string) {
    this.origin = origin;
  }

  async ask(path: string, { method = "GET", token, headers }: Request = {}): Promise<Answer> {
    const response = await fetch(this.origin + path, {
      method,
      redirect: "manual",
      headers: { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...headers },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.text();
    const answer = { status: response.status, headers: response.headers, text, json: parseObject(text) };
    if (!FILES.test(path)) this.answers.push(answer);
    return answer;
  }

  /** Expects a 200 of that Content-Type, JSON unless told otherwise. */
  async read(path: string, request: Request = {}, type = /^application\/json/): Promise<Answer> {
    const answer = await this.ask(path, request);
    expect(`the status of ${path}`, answer.status, 200);
    expect(`Content-Type of ${path}`, answer.headers.get("content-type"), type);
    return answer;
  }

  /** Expects the whole error answer with that code. */
  async askInVain(code: keyof typeof REFUSALS, path: string, request: Request = {}): Promise<Answer> {
    const answer = await this.ask(path, request);
    const [status, detail] = REFUSALS[code];
    expect("the status", answer.status, status);
    expect("the body", answer.json, { detail, code, request_id: answer.headers.get("x-request-id") });
    expect("Cache-Control", answer.headers.get("cache-control"), "no-store");
    return answer;
  }
}

/** Throws unless `actual` is what is expected, or a text that the expected pattern fits. */
export function expect(name: string, actual: unknown, expected: unknown): void {
  const isPattern = expected instanceof RegExp;
  if (isPattern ? typeof actual === "string" && expected.test(actual) : isDeepStrictEqual(actual, expected)) return;
  const shown = JSON.stringify(actual)?.slice(0, MAX_SHOWN_LENGTH);
  throw new Error(`${name} is ${shown}, not ${isPattern ? expected : JSON.stringify(expected)}`);
}

/** The JSON object in a text; an empty one where there is none. */
export function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
