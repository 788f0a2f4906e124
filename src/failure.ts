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
  | { reason: "insufficient_scope"; scope: string }
  | { reason: "invalid_run_id"; input: string }
  | { reason: "run_not_found" }
  | { reason: "path_not_found" }
  | { reason: "method_not_allowed"; allow: string }
  | { reason: "key_set_unavailable"; why: string; retryAfterSeconds: number }
  | { reason: "database_unavailable"; why: string; retryAfterSeconds: number }
  | { reason: "invalid_record"; why: string }
  | { reason: "misconfigured"; problems: string[] }
  | { reason: "internal_error"; why: string };

export type Result<T> = { ok: true; value: T } | { ok: false; failure: Failure };

export const succeed = <T>(value: T): Result<T> => ({ ok: true, value });
export const fail = (failure: Failure): { ok: false; failure: Failure } => ({ ok: false, failure });

/** FastAPI cuts nothing; a path may be kilobytes long, and an echo should not be. */
const MAX_ECHO_LENGTH = 100;

interface Problem {
  status: number;
  code: string;
  detail: unknown;
  headers?: Record<string, string>;
  why?: string;
}

/** Puts a failure on the wire: status, `detail`, stable `code`, `request_id`, and the headers that its kind demands. */
export function refuse(exchange: Exchange, failure: Failure): Response {
  const { status, code, detail, headers, why } = describe(exchange, failure);
  exchange.note({ code, why: why ?? ("why" in failure ? failure.why : undefined) });
  return exchange.answer(status, JSON.stringify({ detail, code, request_id: exchange.requestId }), {
    "content-type": "application/json",
    "cache-control": "no-store",
    ...headers,
  });
}

function describe(exchange: Exchange, failure: Failure): Problem {
  switch (failure.reason) {
    case "no_credentials":
      // RFC 6750 §3.1: no error code where no credentials were sent.
      return {
        status: 401,
        code: "not_authenticated",
        detail: "Not authenticated",
        headers: challenge(exchange),
      };
    case "invalid_token":
      return {
        status: 401,
        code: "invalid_token",
        detail: "Could not validate credentials",
        headers: challenge(exchange, "invalid_token", TOKEN_PROBLEMS[failure.problem]),
        why: `${failure.problem}: ${failure.why}`,
      };
    case "insufficient_scope":
      return {
        status: 403,
        code: "insufficient_scope",
        detail: "Not enough permissions",
        headers: challenge(exchange, "insufficient_scope", "The access token lacks a scope"),
        why: `the token lacks ${failure.scope}`,
      };
    case "invalid_run_id": {
      const { input } = failure;
      const echo = input.length > MAX_ECHO_LENGTH ? `${input.slice(0, MAX_ECHO_LENGTH)}…` : input;
      const msg = "Input should be a valid UUID";
      return {
        status: 422,
        code: "invalid_run_id",
        detail: [{ type: "uuid_parsing", loc: ["path", "run_id"], msg, input: echo }],
      };
    }
    case "run_not_found":
      return { status: 404, code: "run_not_found", detail: "Run not found" };
    case "path_not_found":
      return { status: 404, code: "not_found", detail: "Not Found" };
    case "method_not_allowed":
      return {
        status: 405,
        code: "method_not_allowed",
        detail: "Method Not Allowed",
        headers: { allow: failure.allow },
      };
    case "key_set_unavailable":
    case "database_unavailable":
      return {
        status: 503,
        code: failure.reason,
        detail: "Service temporarily unavailable",
        headers: { "retry-after": String(failure.retryAfterSeconds) },
      };
    case "invalid_record":
    case "internal_error":
      return { status: 500, code: failure.reason, detail: "Internal Server Error" };
    case "misconfigured":
      return {
        status: 500,
        code: "misconfigured",
        detail: "Internal Server Error",
        why: failure.problems.join("; "),
      };
  }
}

/** RFC 6750 §3 with RFC 9728 §5.1: where to learn which authorization server to ask. */
function challenge(exchange: Exchange, error?: string, description?: string) {
  const scope = exchange.settings?.REQUIRED_SCOPE;
  const parameters = [
    ...(error === undefined ? [] : [`error="${error}"`, `error_description="${description}"`]),
    ...(scope === undefined ? [] : [`scope="${scope}"`]),
    `resource_metadata="${exchange.origin}/.well-known/oauth-protected-resource"`,
  ];
  return { "www-authenticate": `Bearer ${parameters.join(", ")}` };
}
