// What the Worker answers where a request fails, asked of the Worker's own code, so that the document cannot drift from it.
import { Exchange } from "../src/exchange.ts";
import { type Failure, refuse } from "../src/failure.ts";
import { readSettings } from "../src/settings.ts";

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

const FAILURES: { [Reason in Failure["reason"]]: Extract<Failure, { reason: Reason }> } = {
  no_credentials: { reason: "no_credentials" },
  invalid_token: { reason: "invalid_token", problem: "expired", why: "" },
  insufficient_scope: { reason: "insufficient_scope", why: "" },
  run_not_found: { reason: "run_not_found" },
  path_not_found: { reason: "path_not_found" },
  method_not_allowed: { reason: "method_not_allowed" },
  invalid_run_id: { reason: "invalid_run_id", input: "not-a-uuid" },
  invalid_record: { reason: "invalid_record", why: "" },
  misconfigured: { reason: "misconfigured", why: "" },
  internal_error: { reason: "internal_error", why: "" },
  key_set_unavailable: { reason: "key_set_unavailable", why: "", retryAfterSeconds: 3 },
  database_unavailable: { reason: "database_unavailable", why: "", retryAfterSeconds: 5 },
};

/** What each means, and what to do. */
const TEXTS: Record<Failure["reason"], { summary: string; action: string }> = {
  no_credentials: {
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
  path_not_found: {
    summary: "No path of this API: a doubled slash, another case, no id",
    action: "Correct the path",
  },
  method_not_allowed: { summary: "Another method than GET and HEAD", action: "Use `GET`" },
  invalid_run_id: { summary: "The id is no spelling of a UUID", action: "Correct the id" },
  invalid_record: {
    summary: "What is stored does not fit the contract",
    action: "Report it; asking again does not help",
  },
  misconfigured: { summary: "A setting of this deployment is missing or wrong", action: "Report it" },
  internal_error: { summary: "A fault of this service", action: "Report it" },
  key_set_unavailable: {
    summary: "The issuer's keys cannot be had, so the token can be neither accepted nor refused",
    action: "Ask again after `Retry-After`",
  },
  database_unavailable: { summary: "The database cannot be reached", action: "Ask again after `Retry-After`" },
};

/** Every failure's answer, in the order of their statuses. */
export async function collectFailureAnswers(): Promise<FailureAnswer[]> {
  const answers = Object.values(FAILURES).map(async (failure) => {
    const response = refuseQuietly(createExchange(failure), failure);
    return {
      status: response.status,
      headers: Object.fromEntries(response.headers),
      body: (await response.json()) as FailureAnswer["body"],
      ...TEXTS[failure.reason],
    };
  });
  return (await Promise.all(answers)).toSorted((one, other) => one.status - other.status);
}

function createExchange({ reason }: Failure): Exchange {
  const read = readSettings({
    DATABASE_URL: "postgresql://crew_runs_reader:secret@db.example.com/crews",
    JWT_ISSUER: "https://login.example.com",
    JWT_AUDIENCE: EXAMPLE_ORIGIN,
    JWKS_URL: "https://login.example.com/jwks",
    // Only where a scope is demanded can one be missing.
    ...(reason === "insufficient_scope" && { REQUIRED_SCOPE: "crew-runs:read" }),
  });
  if (!read.ok) throw new Error(read.problems.join("; "));
  const request = new Request(EXAMPLE_ORIGIN, { headers: { "x-request-id": EXAMPLE_REQUEST_ID } });
  return new Exchange(request, read.settings);
}

/** Without the log line, which belongs to a request that somebody made. */
function refuseQuietly(exchange: Exchange, failure: Failure): Response {
  const { log, error } = console;
  console.log = console.error = () => {};
  try {
    return refuse(exchange, failure);
  } finally {
    Object.assign(console, { log, error });
  }
}
