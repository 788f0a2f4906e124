// What the Worker answers where a request fails, asked of the Worker's own code, so that the document cannot drift from it.
import { FAILURES, Failure, type FailureCode, answerFailure } from "../src/failure.ts";

export const EXAMPLE_ORIGIN = "https://api.example.com";
export const EXAMPLE_REQUEST_ID = "5b1f3c9e-8a47-4c1d-9f3a-2d6e7b8c9d01";

export interface FailureAnswer {
  status: number;
  /** Names in lower case. */
  headers: Record<string, string>;
  body: { detail: unknown; code: string; request_id: string };
  summary: string;
  action: string;
}

/** Not among them: what no client ever reads. */
const CODES = (Object.keys(FAILURES) as FailureCode[]).filter((code) => code !== "client_left");

/** What each means, and what to do. */
const TEXTS: Record<Exclude<FailureCode, "client_left">, { summary: string; action: string }> = {
  not_authenticated: {
    summary: "No bearer token was sent",
    action: "Send one: [Authentication](/docs/authentication.md)",
  },
  invalid_token: {
    summary: "The token is not accepted; `error_description` in `WWW-Authenticate` says why",
    action: "Get a new one",
  },
  insufficient_scope: {
    summary: "The token lacks the scope that this deployment demands of everyone",
    action: "Get one with the `scope` that `WWW-Authenticate` names",
  },
  run_not_found: {
    summary: "There is no such run, or it is somebody else's: the two cannot be told apart",
    action: "Do not ask again",
  },
  not_found: {
    summary: "There is no such path: often a doubled slash, another case or a missing id",
    action: "Correct the path",
  },
  method_not_allowed: { summary: "The method is not GET or HEAD", action: "Use `GET`" },
  invalid_run_id: { summary: "The id is not a UUID", action: "Correct the id" },
  invalid_record: {
    summary: "The stored record does not fit the contract",
    action: "Report it; asking again does not help",
  },
  record_too_large: {
    summary: "The record is larger than this service can read",
    action: "Report it; asking again does not help",
  },
  rate_limited: { summary: "Too many reads by this user in a short time", action: "Ask again after `Retry-After`" },
  overloaded: {
    summary: "Too many large records are being read at this moment",
    action: "Ask again after `Retry-After`",
  },
  misconfigured: { summary: "A setting of this deployment is missing or wrong", action: "Report it" },
  internal_error: { summary: "A fault of this service", action: "Report it" },
  key_set_unavailable: {
    summary: "The issuer's keys cannot be reached, so the token can be neither accepted nor refused",
    action: "Ask again after `Retry-After`",
  },
  database_unavailable: { summary: "The database cannot be reached", action: "Ask again after `Retry-After`" },
};

/** Every failure's answer, in the order of their statuses. */
export async function collectFailureAnswers(): Promise<FailureAnswer[]> {
  const answers = CODES.map(async (code) => {
    const failure = new Failure(code, {
      ...(code === "invalid_token" && { problem: "expired" as const }),
      input: "not-a-uuid",
    });
    // Only where a scope is demanded can one be missing.
    const requiredScope = code === "insufficient_scope" ? "crew-runs:read" : undefined;
    const response = answerFailure(failure, EXAMPLE_REQUEST_ID, EXAMPLE_ORIGIN, requiredScope);
    return {
      status: response.status,
      headers: Object.fromEntries(response.headers),
      body: (await response.json()) as FailureAnswer["body"],
      ...TEXTS[code as keyof typeof TEXTS],
    };
  });
  return (await Promise.all(answers)).toSorted((one, other) => one.status - other.status);
}
