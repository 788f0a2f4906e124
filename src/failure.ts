// Every way in which a request can fail: one error to throw, one table, one place that puts it on the wire.
// The response is vague; `why` and `stack` are for the log only.

/** Status, `detail` in the original service's words, and the seconds of `Retry-After`. */
export const FAILURES = {
  not_authenticated: [401, "Not authenticated"],
  invalid_token: [401, "Could not validate credentials"],
  insufficient_scope: [403, "Not enough permissions"],
  run_not_found: [404, "Run not found"],
  not_found: [404, "Not Found"],
  method_not_allowed: [405, "Method Not Allowed"],
  invalid_run_id: [422, "Input should be a valid UUID"],
  /** The seconds are the period in wrangler.toml, which the binding doesn't expose. */
  rate_limited: [429, "Too Many Requests", 60],
  /** Never sent, because the client has left. Proxies log this status. */
  client_left: [499, "Client Closed Request"],
  invalid_record: [500, "Internal Server Error"],
  record_too_large: [500, "Internal Server Error"],
  misconfigured: [500, "Internal Server Error"],
  internal_error: [500, "Internal Server Error"],
  key_set_unavailable: [503, "Service temporarily unavailable", 3],
  database_unavailable: [503, "Service temporarily unavailable", 5],
  overloaded: [503, "Service temporarily unavailable", 1],
} as const satisfies Record<string, readonly [status: number, detail: string, retryAfterSeconds?: number]>;

export type FailureCode = keyof typeof FAILURES;

/** What a client may know of a refused token (RFC 6750 §3.1): constant texts, never a part of the token. */
export const TOKEN_PROBLEMS = {
  malformed: "The access token is malformed",
  wrong_kind: "The token is not a bearer access token for this API",
  wrong_issuer: "The access token was issued by another issuer",
  wrong_audience: "The access token was issued for another audience",
  expired: "The access token expired",
  not_yet_valid: "The access token is not yet valid",
  no_subject: "The access token names no usable subject",
  bad_signature: "The signature or the key of the access token is not valid",
} as const;

export type TokenProblem = keyof typeof TOKEN_PROBLEMS;

interface FailureDetails {
  /** For the log: the cause, never a value of a token, a record or a secret. */
  why?: string | undefined;
  /** With `invalid_token`. */
  problem?: TokenProblem;
  /** With `invalid_run_id`: the path's segment, percent-decoded. */
  input?: string;
  /** The fault is expected to pass by itself, so a long poll goes on. */
  isTransient?: boolean;
  /** With `internal_error`, for the log: where it was thrown. */
  stack?: string | undefined;
}

/** Thrown once, where it is found, and put on the wire once, in `app.onError`. */
export class Failure extends Error {
  readonly code: FailureCode;
  readonly details: FailureDetails;

  constructor(code: FailureCode, details: FailureDetails = {}) {
    super(details.why ?? code);
    this.code = code;
    this.details = details;
  }
}

/**
 * The failure that an error is; `internal_error` if no step foresaw it. The platform doesn't see what `onError` handles, so the
 * log gets the place where it was thrown: frames only, because a message could contain data.
 */
export function toFailure(error: Error): Failure {
  if (error instanceof Failure) return error;
  const withoutMessage = error.stack?.replace(error.message, "");
  const stack = withoutMessage?.match(/(?<=^ +)at .*$/gm)?.join("\n");
  return new Failure("internal_error", { why: error.name, stack });
}

/** A refused token. `why` names the rule for the log. */
export const refuseToken = (problem: TokenProblem, why: string): Failure =>
  new Failure("invalid_token", { problem, why: `${problem}: ${why}` });

/** FastAPI echoes the whole input; a path may be kilobytes long, and an echo should not be. */
const MAX_ECHO_LENGTH = 100;

/**
 * Puts a failure on the wire: status, `detail`, `code`, `request_id`, and the headers that its kind demands. `metadataUrl` is
 * where the protected resource metadata is; `requiredScope` is REQUIRED_SCOPE.
 */
export function respondWithFailure(failure: Failure, requestId: string, metadataUrl: string, requiredScope?: string) {
  const { code, details } = failure;
  const [status, text, retryAfterSeconds] = FAILURES[code] as readonly [number, string, number?];
  const input = details.input ?? "";
  const echo = input.length > MAX_ECHO_LENGTH ? `${input.slice(0, MAX_ECHO_LENGTH)}…` : input;
  // One entry of FastAPI's HTTPValidationError.
  const entry = { type: "uuid_parsing", loc: ["path", "run_id"], msg: text, input: echo };
  const body = { detail: code === "invalid_run_id" ? [entry] : text, code, request_id: requestId };
  const response = Response.json(body, { status, headers: { "cache-control": "no-store" } });
  if (status === 401 || status === 403) {
    const description = details.problem ? TOKEN_PROBLEMS[details.problem] : "The access token lacks a scope";
    response.headers.set("www-authenticate", challenge(code, description, metadataUrl, requiredScope));
  }
  // HEAD works wherever GET does (RFC 9110 §10.2.1).
  if (status === 405) response.headers.set("allow", "GET, HEAD");
  if (retryAfterSeconds !== undefined) response.headers.set("retry-after", String(retryAfterSeconds));
  return response;
}

/**
 * RFC 6750 §3, with RFC 9728 §5.1: where a client learns which authorization server issues tokens. No error code if no
 * credentials were sent (RFC 6750 §3.1).
 */
function challenge(code: string, description: string, metadataUrl: string, requiredScope: string | undefined): string {
  const error = code === "not_authenticated" ? "" : `error="${code}", error_description="${description}", `;
  const scope = requiredScope === undefined ? "" : `scope="${requiredScope}", `;
  return `Bearer ${error}${scope}resource_metadata="${metadataUrl}"`;
}
