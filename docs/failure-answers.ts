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
}

/** Not among them: what no client ever reads. */
const CODES = (Object.keys(FAILURES) as FailureCode[]).filter((code) => code !== "client_left");

const SUMMARIES: Record<Exclude<FailureCode, "client_left">, string> = {
  not_authenticated: "No bearer token was sent",
  invalid_token: "The token is not accepted; error_description in WWW-Authenticate says why",
  insufficient_scope: "The token lacks the scope that this deployment demands of everyone",
  run_not_found: "There is no such run, or it is somebody else's: the two cannot be told apart",
  not_found: "No path of this API: a doubled slash, another case, no id",
  method_not_allowed: "Another method than GET and HEAD",
  invalid_run_id: "The id is no spelling of a UUID",
  invalid_record: "What is stored does not fit the contract; asking again does not help",
  misconfigured: "A setting of this deployment is missing or wrong",
  record_too_large: "The record is larger than this service can read; asking again does not help",
  rate_limited: "Too many reads by this user in a short time",
  overloaded: "Too many large records are being read at this moment",
  internal_error: "A fault of this service",
  key_set_unavailable: "The issuer's keys cannot be had, so the token can be neither accepted nor refused",
  database_unavailable: "The database cannot be reached",
};

/** Every failure's answer, in the order of their statuses. */
export async function collectFailureAnswers(): Promise<FailureAnswer[]> {
  const answers = CODES.map(async (code) => {
    const failure = new Failure(code, {
      ...(code === "invalid_token" && { problem: "expired" as const }),
      input: "not-a-uuid",
    });
    const response = answerFailure(failure, {
      requestId: EXAMPLE_REQUEST_ID,
      origin: EXAMPLE_ORIGIN,
      // Only where a scope is demanded can one be missing.
      requiredScope: code === "insufficient_scope" ? "crew-runs:read" : undefined,
    });
    return {
      status: response.status,
      headers: Object.fromEntries(response.headers),
      body: (await response.json()) as FailureAnswer["body"],
      summary: SUMMARIES[code as keyof typeof SUMMARIES],
    };
  });
  return (await Promise.all(answers)).toSorted((one, other) => one.status - other.status);
}
