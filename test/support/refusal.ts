// What a refusal looks like from outside and in the log, and that neither contains a part of the credential.
import { expect } from "vitest";
import { TOKEN_PROBLEMS, type TokenProblem } from "../../src/failure.ts";
import type { ReadResult } from "./reader.ts";

const nameScope = (scope?: string) => (scope === undefined ? "" : `scope="${scope}", `);
const METADATA = `resource_metadata="https://api.test/.well-known/oauth-protected-resource"`;

/** The response to a request without credentials, from a deployment that requires `scope` or none. */
export function expectNoCredentials(result: ReadResult, scope?: string): void {
  expectRefusal(result, 401, "not_authenticated", "Not authenticated", nameScope(scope));
}

/** What the client is told of each problem, in part. */
const TOLD: Record<TokenProblem, string> = {
  malformed: "token is malformed",
  wrong_kind: "not a bearer access token",
  wrong_issuer: "by another issuer",
  wrong_audience: "for another audience",
  expired: "token expired",
  not_yet_valid: "not yet valid",
  no_subject: "no usable subject",
  bad_signature: "signature or the key",
};

/** The response to a refused token. `why` is the log's, `problem: reason`; `scope` as above. */
export function expectInvalidToken(result: ReadResult, why: string, scope?: string): void {
  const [, description] = /error_description="([^"]*)"/.exec(result.headers.get("www-authenticate") ?? "") ?? [];
  const problem = why.split(":")[0] as TokenProblem;
  expect(description).toContain(TOLD[problem]);
  // Nothing else, such as a claim of the token.
  expect(description).toBe(TOKEN_PROBLEMS[problem]);
  const error = `error="invalid_token", error_description="${description}", `;
  expectRefusal(result, 401, "invalid_token", "Could not validate credentials", error + nameScope(scope));
  expect(result.log["why"]).toBe(why);
}

/** The response to a good token that may not read at all. */
export function expectInsufficientScope(result: ReadResult, scope: string): void {
  const error = `error="insufficient_scope", error_description="The access token lacks a scope", `;
  expectRefusal(result, 403, "insufficient_scope", "Not enough permissions", error + nameScope(scope));
}

function expectRefusal(result: ReadResult, status: number, code: string, detail: string, challenge: string): void {
  const { headers, body, log } = result;
  expect(result.status).toBe(status);
  expect(headers.get("content-type")).toBe("application/json");
  expect(headers.get("cache-control")).toBe("no-store");
  expect(body).toBe(JSON.stringify({ detail, code, request_id: headers.get("x-request-id") }));
  expect(headers.get("www-authenticate")).toBe(`Bearer ${challenge}${METADATA}`);
  expect(log).toMatchObject({ status, code });
  for (const name of ["subject", "run_id"]) expect(log).not.toHaveProperty(name);
}

/** A refused token, and nothing of the run: no tag, no age, no cache lifetime. */
export function expectNothingOfRun({ status, headers, body }: ReadResult): void {
  expect(status).toBe(401);
  expect(JSON.parse(body)).toMatchObject({ detail: "Could not validate credentials", code: "invalid_token" });
  expect(headers.get("cache-control")).toBe("no-store");
  for (const name of ["etag", "age", "cache-status", "retry-after", "preference-applied"]) {
    expect(headers.get(name), name).toBeNull();
  }
}

/** So many equal characters in a row, in response or log, are a part of the secret and not a coincidence. */
const TELLING_LENGTH = 16;

/** Expects no part of the secrets in the response or in the log. */
export function expectNoLeak({ headers, body, log }: ReadResult, secrets: readonly string[]): void {
  const text = [...[...headers].flat(), body, JSON.stringify(log)].join("\n");
  const parts = secrets.flatMap((secret) => [...secret].map((_, at) => secret.slice(at, at + TELLING_LENGTH)));
  expect(parts.filter((part) => part.length === TELLING_LENGTH && text.includes(part))).toEqual([]);
}
