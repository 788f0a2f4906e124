// What a refusal looks like from outside and in the log, and that neither contains a part of the credential.
import { expect } from "vitest";
import { TOKEN_PROBLEMS, type TokenProblem } from "../../src/failure.ts";
import { listLines } from "./console.ts";

interface Observed {
  response: Response;
  body: string;
  /** Every line on the console meanwhile. */
  lines: string[];
}

/** Sends a request and listens to the console. */
export async function observe(send: () => Promise<Response>): Promise<Observed> {
  const before = listLines().length;
  const response = await send();
  const body = await response.text();
  return {
    response,
    body,
    lines: listLines()
      .slice(before)
      .map(({ text }) => text),
  };
}

const nameScope = (scope?: string) => (scope === undefined ? "" : `scope="${scope}", `);
const METADATA = `resource_metadata="https://api.test/.well-known/oauth-protected-resource"`;

/** The response to a request without credentials, from a deployment that requires `scope` or none. */
export function expectNoCredentials({ response, body, lines }: Observed, scope?: string): void {
  expectAnswer(response, body, 401, "not_authenticated", "Not authenticated");
  expect(response.headers.get("www-authenticate")).toBe(`Bearer ${nameScope(scope)}${METADATA}`);
  expectLine(lines, { status: 401, code: "not_authenticated" });
}

/** The response to a refused token. `why` is the log's, `problem: reason`; `scope` as above. */
export function expectInvalidToken({ response, body, lines }: Observed, why: string, scope?: string): void {
  expectAnswer(response, body, 401, "invalid_token", "Could not validate credentials");
  const problem = why.split(":")[0] as TokenProblem;
  const description = `error="invalid_token", error_description="${TOKEN_PROBLEMS[problem]}"`;
  expect(response.headers.get("www-authenticate")).toBe(`Bearer ${description}, ${nameScope(scope)}${METADATA}`);
  expectLine(lines, { status: 401, code: "invalid_token", why });
}

/** The response to a good token that may not read at all. */
export function expectInsufficientScope({ response, body, lines }: Observed, scope: string): void {
  expectAnswer(response, body, 403, "insufficient_scope", "Not enough permissions");
  const error = `error="insufficient_scope", error_description="The access token lacks a scope"`;
  expect(response.headers.get("www-authenticate")).toBe(`Bearer ${error}, ${nameScope(scope)}${METADATA}`);
  expectLine(lines, { status: 403, code: "insufficient_scope" });
}

/** So many equal characters in a row, in response or log, are a part of the secret and not a coincidence. */
const TELLING_LENGTH = 16;

/** Expects no part of the secrets in the response or in the log. */
export function expectNoLeak({ response, body, lines }: Observed, secrets: readonly string[]): void {
  const seen = [...[...response.headers].flat(), body, ...lines].join("\n");
  const parts = new Set(listParts(seen));
  expect(secrets.flatMap((secret) => listParts(secret).filter((part) => parts.has(part)))).toEqual([]);
}

function listParts(text: string): string[] {
  const count = Math.max(0, text.length - TELLING_LENGTH + 1);
  return Array.from({ length: count }, (_, at) => text.slice(at, at + TELLING_LENGTH));
}

function expectAnswer(response: Response, body: string, status: number, code: string, detail: string): void {
  expect(response.status).toBe(status);
  expect(response.headers.get("content-type")).toBe("application/json");
  expect(response.headers.get("cache-control")).toBe("no-store");
  const requestId = response.headers.get("x-request-id");
  expect(body).toBe(JSON.stringify({ detail, code, request_id: requestId }));
}

function expectLine(lines: readonly string[], members: Record<string, unknown>): void {
  expect(lines).toHaveLength(1);
  const line: unknown = JSON.parse(lines[0] ?? "");
  expect(line).toMatchObject(members);
  for (const name of ["subject", "run_id"]) expect(line).not.toHaveProperty(name);
}
