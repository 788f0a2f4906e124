// The response of each failure, made by the Worker's own code, so that the documents can't drift from it; its texts are in data/.
import { FAILURES, Failure, type FailureCode, respondWithFailure } from "../src/failure.ts";
import texts from "./data/failures.json" with { type: "json" };

export const EXAMPLE_ORIGIN = "https://api.example.com";
const METADATA_URL = `${EXAMPLE_ORIGIN}/.well-known/oauth-protected-resource`;
export const EXAMPLE_REQUEST_ID = "5b1f3c9e-8a47-4c1d-9f3a-2d6e7b8c9d01";

export interface FailureResponse extends Texts {
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

const TEXTS: Record<Exclude<FailureCode, "client_left">, Texts> = texts;

/** Every failure's response, in the order of their statuses. */
export async function collectFailureResponses(): Promise<FailureResponse[]> {
  const responses = CODES.map(async (code) => {
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
      body: (await response.json()) as FailureResponse["body"],
      ...TEXTS[code as keyof typeof TEXTS],
    };
  });
  return (await Promise.all(responses)).toSorted((one, other) => one.status - other.status);
}
