// One request and its answer: its id, what is noted of it on the way, the headers that every answer carries, and its one
// log line. Knows nothing of tokens, runs or failures.
import { grantOrigin } from "./cors.ts";
import type { Settings } from "./settings.ts";

/** What the log line tells of a request; the names are documented in docs/logging.md. Never a token, never a secret. */
export interface Notes {
  route?: string | undefined;
  run_id?: string | undefined;
  code?: string | undefined;
  why?: string | undefined;
  auth?: "remembered" | "verified" | undefined;
  subject?: string | undefined;
  cache?: "hit" | "miss" | undefined;
  cache_layer?: "isolate" | "data_centre" | undefined;
  key_set?: string | undefined;
  db_attempts?: number | undefined;
  db_ms?: number | undefined;
  db_faults?: string | undefined;
  waited_ms?: number | undefined;
}

/** An incoming id is kept where it is short and plain enough to stand in a header, a log and a shell. */
const SANE_REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/;
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}/;

export class Exchange {
  readonly requestId: string;
  readonly startedMs = Date.now();
  readonly notes: Notes = {};
  readonly request: Request;
  /** Absent where the settings are unusable. */
  readonly settings: Settings | undefined;
  readonly #waitUntil: ((promise: Promise<unknown>) => void) | undefined;

  constructor(request: Request, settings: Settings | undefined, waitUntil?: (promise: Promise<unknown>) => void) {
    this.request = request;
    this.settings = settings;
    this.#waitUntil = waitUntil;
    const given = request.headers.get("x-request-id");
    this.requestId = given !== null && SANE_REQUEST_ID.test(given) ? given : crypto.randomUUID();
  }

  /** Where the request was sent to; empty where its Host is none that could stand in a URL and in a header. */
  get origin(): string {
    const origin = URL.parse(this.request.url)?.origin ?? "";
    return /["\\,\s]/.test(origin) ? "" : origin;
  }

  /** Lets work outlive the answer. It must not reject: nobody would hear. */
  finishLater(work: Promise<unknown>): void {
    this.#waitUntil?.(work);
  }

  note(notes: Notes): void {
    Object.assign(this.notes, notes);
  }

  /** Makes the answer, with the headers that all answers share, and writes the log line. */
  answer(status: number, body: BodyInit | null, headers: Record<string, string>): Response {
    const all = { ...this.describe(), ...headers, "x-request-id": this.requestId };
    return this.#finish(new Response(body, { status, headers: all }));
  }

  /**
   * As `answer`, with status and headers of a form: an answer without a body that was made with the headers of `describe`.
   * To copy a form costs a fifth of what its headers would, and to set one header afterwards as much as ten at once.
   */
  answerAs(form: Response, body: BodyInit | null): Response {
    const response = new Response(body, form);
    response.headers.set("x-request-id", this.requestId);
    return this.#finish(response);
  }

  /** The headers that all answers share, but for the request's id and origin. */
  describe(): Record<string, string> {
    return {
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
      "server-timing": this.serverTiming,
      vary: "Authorization",
      ...(this.isSecure && { "strict-transport-security": "max-age=31536000" }),
    };
  }

  get isSecure(): boolean {
    return this.request.url.startsWith("https:");
  }

  /** What happened so far, for `Server-Timing`; durations in milliseconds, as far as the platform's clock moved. */
  get serverTiming(): string {
    const { auth, cache, db_ms } = this.notes;
    let timing = `total;dur=${Date.now() - this.startedMs}`;
    if (auth !== undefined) timing += `, auth;desc=${auth}`;
    if (cache !== undefined) timing += `, cache;desc=${cache}`;
    if (db_ms !== undefined) timing += `, db;dur=${db_ms}`;
    return timing;
  }

  #finish(response: Response): Response {
    const origins = this.settings?.CORS_ORIGINS;
    if (origins !== undefined && origins.length > 0) grantOrigin(this.request, origins, response.headers);
    this.#log(response.status);
    return response;
  }

  #log(status: number): void {
    const { request, notes } = this;
    const line = JSON.stringify({
      level: status >= 500 ? "error" : "info",
      request_id: this.requestId,
      trace_id: TRACEPARENT.exec(request.headers.get("traceparent") ?? "")?.[1],
      method: request.method,
      route: notes.route,
      run_id: notes.run_id,
      status,
      ms: Date.now() - this.startedMs,
      colo: colo(request),
      ...notes,
    });
    if (status >= 500) console.error(line);
    else console.log(line);
  }
}

let knownColo: string | undefined;

/** An isolate lives in one data centre; to touch `cf` costs 15 microseconds a request. */
function colo(request: Request): string {
  knownColo ??= String(request.cf?.["colo"] ?? "");
  return knownColo;
}
