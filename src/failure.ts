// Every way in which a request can end without a record, and the one place where each is put on the wire:
// vague outside, precise in the log. `why` is for the log only.
import type { Exchange } from "./exchange.ts";

/** What a client may know of a refused token (RFC 6750 §3.1); each is a constant text, never a part of the token. */
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

export type Failure =
  | { reason: "no_credentials" }
  | { reason: "invalid_token"; problem: keyof typeof TOKEN_PROBLEMS; why: string }
  | { reason: "insufficient_scope"; why: string }
  | { reason: "invalid_run_id"; input: string }
  | { reason: "run_not_found" }
  | { reason: "path_not_found" }
  | { reason: "method_not_allowed" }
  | { reason: "key_set_unavailable"; why: string; retryAfterSeconds: number }
  | { reason: "database_unavailable"; why: string; retryAfterSeconds: number }
  | { reason: "invalid_record"; why: string }
  | { reason: "misconfigured"; why: string }
  | { reason: "internal_error"; why: string };

export type Result<T> = { ok: true; value: T } | { ok: false; failure: Failure };

export const succeed = <T>(value: T): Result<T> => ({ ok: true, value });
export const fail = (failure: Failure): { ok: false; failure: Failure } => ({ ok: false, failure });

/** FastAPI cuts nothing; but a path may be kilobytes long, and an echo should not be. */
const MAX_ECHO_LENGTH = 100;

/** Status, stable `code`, and `detail` as the original service words it. */
const ANSWERS: Record<Failure["reason"], [status: number, code: string, detail: string]> = {
  no_credentials: [401, "not_authenticated", "Not authenticated"],
  invalid_token: [401, "invalid_token", "Could not validate credentials"],
  insufficient_scope: [403, "insufficient_scope", "Not enough permissions"],
  invalid_run_id: [422, "invalid_run_id", "Input should be a valid UUID"],
  run_not_found: [404, "run_not_found", "Run not found"],
  path_not_found: [404, "not_found", "Not Found"],
  method_not_allowed: [405, "method_not_allowed", "Method Not Allowed"],
  key_set_unavailable: [503, "key_set_unavailable", "Service temporarily unavailable"],
  database_unavailable: [503, "database_unavailable", "Service temporarily unavailable"],
  invalid_record: [500, "invalid_record", "Internal Server Error"],
  misconfigured: [500, "misconfigured", "Internal Server Error"],
  internal_error: [500, "internal_error", "Internal Server Error"],
};

/** Puts a failure on the wire: status, `detail`, `code`, `request_id`, and the headers that its kind demands. */
export function refuse(exchange: Exchange, failure: Failure): Response {
  const [status, code, text] = ANSWERS[failure.reason];
  exchange.note({ code, why: explain(failure) });
  const detail = failure.reason === "invalid_run_id" ? [describeInput(failure.input, text)] : text;
  return exchange.answer(status, JSON.stringify({ detail, code, request_id: exchange.requestId }), {
    "content-type": "application/json",
    "cache-control": "no-store",
    ...demandedHeaders(exchange, failure),
  });
}

/** One entry of FastAPI's HTTPValidationError. */
function describeInput(input: string, msg: string) {
  const echo = input.length > MAX_ECHO_LENGTH ? `${input.slice(0, MAX_ECHO_LENGTH)}…` : input;
  return { type: "uuid_parsing", loc: ["path", "run_id"], msg, input: echo };
}

function demandedHeaders(exchange: Exchange, failure: Failure): Record<string, string> {
  switch (failure.reason) {
    case "no_credentials":
      return challenge(exchange);
    case "invalid_token":
      return challenge(exchange, failure.reason, TOKEN_PROBLEMS[failure.problem]);
    case "insufficient_scope":
      return challenge(exchange, failure.reason, "The access token lacks a scope");
    case "method_not_allowed":
      return { allow: "GET" };
    case "key_set_unavailable":
    case "database_unavailable":
      return { "retry-after": String(failure.retryAfterSeconds) };
    default:
      return {};
  }
}

function explain(failure: Failure): string | undefined {
  if (failure.reason === "invalid_token") return `${failure.problem}: ${failure.why}`;
  return "why" in failure ? failure.why : undefined;
}

/**
 * RFC 6750 §3, with RFC 9728 §5.1: where to learn which authorization server to ask. No error code where no credentials
 * were sent (RFC 6750 §3.1).
 */
function challenge(exchange: Exchange, error?: string, description?: string) {
  const scope = exchange.settings?.REQUIRED_SCOPE;
  const parameters = [
    ...(error === undefined ? [] : [`error="${error}"`, `error_description="${description}"`]),
    ...(scope === undefined ? [] : [`scope="${scope}"`]),
    // A relative reference where the request names no host: RFC 6750 §3 wants at least one parameter.
    `resource_metadata="${exchange.origin}/.well-known/oauth-protected-resource"`,
  ];
  return { "www-authenticate": `Bearer ${parameters.join(", ")}` };
}
