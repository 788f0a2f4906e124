// The response of each failure, made by the Worker's own code, so that the documents can't drift from it.
import { FAILURES, Failure, type FailureCode, respondWithFailure } from "../src/failure.ts";

export const EXAMPLE_ORIGIN = "https://api.example.com";
const METADATA_URL = `${EXAMPLE_ORIGIN}/.well-known/oauth-protected-resource`;
export const EXAMPLE_REQUEST_ID = "5b1f3c9e-8a47-4c1d-9f3a-2d6e7b8c9d01";

export interface FailureAnswer extends Texts {
  status: number;
  /** Names in lower case. */
  headers: Record<string, string>;
  body: { detail: unknown; code: string; request_id: string };
}

/** Without the one that no client ever reads. */
const CODES = (Object.keys(FAILURES) as FailureCode[]).filter((code) => code !== "client_left");

interface Texts {
  /** A few words. */
  summary: string;
  /** What happened, in Markdown. */
  happened: string;
  /** What the client, or whoever runs the service, can do about it. */
  action: string;
}

const RETRY = "Send the request again after the seconds in `Retry-After`.";

const TEXTS: Record<Exclude<FailureCode, "client_left">, Texts> = {
  not_authenticated: {
    summary: "No bearer token was sent",
    happened:
      "The request has no `Authorization` header, or one with another scheme than `Bearer`. Tokens in the query or in a body " +
      "are ignored.",
    action: "Send an access token. [Authentication](authentication.md) shows where to get one.",
  },
  invalid_token: {
    summary: "The token isn't accepted",
    happened:
      "The token has expired, was meant for another API, or isn't an access token of this API's issuer. `error_description` in " +
      "`WWW-Authenticate` names the reason.",
    action:
      "Get a new token and send the request once more. If that fails too, the reason is in the settings of your client.",
  },
  insufficient_scope: {
    summary: "The token lacks a scope",
    happened: "The token is valid, but this deployment requires a scope that it doesn't have.",
    action: "Get a token with the `scope` that `WWW-Authenticate` names.",
  },
  run_not_found: {
    summary: "The run doesn't exist, or you may not read it",
    happened: "There is no run with this id, or it belongs to another user. The response is the same in both cases.",
    action: "Check the id and the user. A retry doesn't help.",
  },
  not_found: {
    summary: "The path doesn't exist",
    happened: "The API has no such path. Often a slash is doubled, the case is wrong, or the id is missing.",
    action: "Correct the path: `/api/crew-runs/{run_id}`.",
  },
  method_not_allowed: {
    summary: "The method isn't GET or HEAD",
    happened: "The path exists, but the API only reads. `Allow` lists the methods.",
    action: "Use `GET`, or `HEAD` for the headers alone.",
  },
  invalid_run_id: {
    summary: "The id isn't a UUID",
    happened: "The id in the path can't be read as a UUID. `detail[0].input` repeats it.",
    action: "Correct the id. A retry doesn't help.",
  },
  rate_limited: {
    summary: "Too many reads",
    happened: "You have read from the database more often than this deployment allows.",
    action: `${RETRY} Long polls and cached runs need fewer reads: [Polling](polling.md).`,
  },
  invalid_record: {
    summary: "The stored record is malformed",
    happened: "The run exists, but its row doesn't fit the schema of the record. Other runs are not affected.",
    action: "Report it with the `request_id`. A retry doesn't help until the row is corrected.",
  },
  record_too_large: {
    summary: "The record is too large",
    happened: "The run exists, but its record is larger than this service can read. Other runs are not affected.",
    action: "Report it with the `request_id`. A retry doesn't help.",
  },
  misconfigured: {
    summary: "The deployment is misconfigured",
    happened: "A setting of this deployment is missing or malformed. Every read fails until it is corrected.",
    action: "Report it. Whoever runs the service finds the setting's name in the log.",
  },
  internal_error: {
    summary: "The service failed",
    happened: "A bug in this service.",
    action: "Report it with the `request_id`.",
  },
  key_set_unavailable: {
    summary: "The issuer's keys are unavailable",
    happened: "The issuer's keys can't be fetched, so the token can't be checked. It may well be valid.",
    action: `Keep the token. ${RETRY}`,
  },
  database_unavailable: {
    summary: "The database is unavailable",
    happened: "The database can't be reached or didn't respond in time. The service has already retried.",
    action: RETRY,
  },
  overloaded: {
    summary: "Too many large records at once",
    happened: "The service is reading too many large records at this moment.",
    action: RETRY,
  },
};

/** Every failure's response, in the order of their statuses. */
export async function collectFailureAnswers(): Promise<FailureAnswer[]> {
  const answers = CODES.map(async (code) => {
    const failure = new Failure(code, {
      ...(code === "invalid_token" && { problem: "expired" as const }),
      input: "not-a-uuid",
    });
    // Only if a scope is required can one be missing.
    const requiredScope = code === "insufficient_scope" ? "crew-runs:read" : undefined;
    const response = respondWithFailure(failure, EXAMPLE_REQUEST_ID, METADATA_URL, requiredScope);
    return {
      status: response.status,
      headers: Object.fromEntries(response.headers),
      body: (await response.json()) as FailureAnswer["body"],
      ...TEXTS[code as keyof typeof TEXTS],
    };
  });
  return (await Promise.all(answers)).toSorted((one, other) => one.status - other.status);
}
