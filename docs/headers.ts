// The headers of requests and responses, as OpenAPI describes them.
import { EXAMPLE_ETAG } from "./example-runs.ts";
import { EXAMPLE_REQUEST_ID, type FailureResponse } from "./failure-responses.ts";

interface Header {
  name: string;
  /** Whether every response that lists the header has it. */
  required: boolean;
  description: string;
  schema: { type: "string" | "integer"; const?: string; pattern?: string; minimum?: number; maximum?: number };
  example?: string | number;
}

const describeConstant = (name: string, value: string, description: string) =>
  ({ name, required: true, description, schema: { type: "string", const: value } }) as const;

/** By the name of the component. A header with different meanings in different responses is described once for each. */
export const HEADERS = {
  ETag: {
    name: "ETag",
    required: true,
    description:
      "Changes exactly when the body does. Send it back in `If-None-Match`. A proxy that compresses the response makes it weak " +
      "(prefix `W/`); that works as well.",
    schema: { type: "string", pattern: `^(W/)?"[\\w-]+"$` },
    example: EXAMPLE_ETAG,
  },
  RunCacheControl: {
    name: "Cache-Control",
    required: true,
    description:
      "`private, max-age=N` for a finished run, which doesn't change; otherwise `private, no-cache`: you may store the run, " +
      "but must revalidate it with `If-None-Match` before each use.",
    schema: { type: "string", pattern: "^private, (no-cache|max-age=\\d+)$" },
    example: "private, max-age=3600",
  },
  NoStore: describeConstant("Cache-Control", "no-store", "The response must not be stored."),
  Age: {
    name: "Age",
    required: false,
    description: "For a cached run: how many seconds ago it was read from the database.",
    schema: { type: "integer", minimum: 0 },
    example: 42,
  },
  CacheStatus: {
    name: "Cache-Status",
    required: true,
    description: "Whether the run came from a cache of this service (`hit`) or from the database (RFC 9211).",
    schema: { type: "string", pattern: "^crew-runs; " },
    example: "crew-runs; hit; detail=isolate",
  },
  UnfinishedRetryAfter: {
    name: "Retry-After",
    required: false,
    description:
      "Only while the run isn't finished: the seconds to wait before the next request. A tenth of the run's age, from 1 to 30; " +
      "0 after a wait that lasted its full time.",
    schema: { type: "integer", minimum: 0, maximum: 30 },
    example: 6,
  },
  ReadinessRetryAfter: {
    name: "Retry-After",
    required: true,
    description: "How many seconds the service repeats this response.",
    schema: { type: "integer", minimum: 1 },
  },
  PreferenceApplied: {
    name: "Preference-Applied",
    required: false,
    description: "The seconds granted to `Prefer: wait` (RFC 7240); absent if the response didn't wait.",
    schema: { type: "string", pattern: "^wait=\\d+$" },
    example: "wait=30",
  },
  RequestId: {
    name: "X-Request-Id",
    required: true,
    description: "The id of this request in the log: the client's, or a new one.",
    schema: { type: "string", pattern: "^[A-Za-z0-9._:-]{1,128}$" },
    example: EXAMPLE_REQUEST_ID,
  },
  ServerTiming: {
    name: "Server-Timing",
    required: true,
    description: "The steps of the request and their milliseconds (W3C Server Timing).",
    schema: { type: "string", pattern: "^total;dur=\\d+" },
    example: "total;dur=0, auth;desc=remembered, cache;desc=hit",
  },
  Vary: {
    name: "Vary",
    required: true,
    description: "The request headers on which the response depends.",
    schema: { type: "string" },
    example: "Authorization",
  },
  NoSniff: describeConstant("X-Content-Type-Options", "nosniff", "Browsers must not guess another content type."),
  NoReferrer: describeConstant(
    "Referrer-Policy",
    "no-referrer",
    "Browsers don't send this URL, which contains an id, to other sites.",
  ),
  StrictTransportSecurity: {
    name: "Strict-Transport-Security",
    required: false,
    description: "Only over https: browsers must use https from now on.",
    schema: { type: "string", pattern: "^max-age=\\d+" },
    example: "max-age=31536000",
  },
} satisfies Record<string, Header>;

export type HeaderName = keyof typeof HEADERS;

/** Headers that only some failures have. */
export const FAILURE_HEADERS: readonly Header[] = [
  {
    name: "WWW-Authenticate",
    required: true,
    description:
      "The challenge (RFC 6750 §3): `error` and `error_description` if a token was sent, `scope` if one is required, and in " +
      "`resource_metadata` the URL of a document that names the issuer (RFC 9728).",
    schema: { type: "string", pattern: "^Bearer .*resource_metadata=" },
  },
  { name: "Allow", required: true, description: "The methods that the path supports.", schema: { type: "string" } },
  { name: "Retry-After", required: true, description: "The seconds to wait.", schema: { type: "integer", minimum: 1 } },
];

/** Headers that every response has. */
const COMMON: readonly HeaderName[] = [
  "RequestId",
  "ServerTiming",
  "Vary",
  "NoSniff",
  "NoReferrer",
  "StrictTransportSecurity",
];

/** The OpenAPI Header Objects, for the document's components. */
export function describeHeaders(): object {
  return Object.fromEntries(Object.entries(HEADERS).map(([key, header]) => [key, { ...header, name: undefined }]));
}

/** The `headers` of an OpenAPI Response Object: the given ones and those that every response has. */
export function listHeaders(...names: HeaderName[]): Record<string, { $ref: string }> {
  return Object.fromEntries(
    [...names, ...COMMON].map((name) => [HEADERS[name].name, { $ref: `#/components/headers/${name}` }]),
  );
}

/** The `headers` of the responses with one status. Headers that only these failures have get an example per code. */
export function listFailureHeaders(responses: readonly FailureResponse[]): object {
  const demanded = FAILURE_HEADERS.flatMap(({ name, ...header }) => {
    const examples = responses.flatMap(({ headers, body }) => {
      const value = headers[name.toLowerCase()];
      if (value === undefined) return [];
      return [[body.code, { value: header.schema.type === "integer" ? Number(value) : value }]];
    });
    return examples.length === 0 ? [] : [[name, { ...header, examples: Object.fromEntries(examples) }]];
  });
  return { ...Object.fromEntries(demanded), ...listHeaders("NoStore") };
}

/** The request's headers, as OpenAPI parameters. They have no `example`, because viewers of OpenAPI would send it. */
export const PARAMETERS = {
  IfNoneMatch: {
    name: "If-None-Match",
    in: "header",
    required: false,
    description:
      "The `ETag` of your copy: if the record hasn't changed, the response is a 304 without a body. Lists, weak tags and `*` " +
      `work as in RFC 9110 §13.1.2. For example \`${EXAMPLE_ETAG}\`.`,
    schema: { type: "string" },
  },
  Prefer: {
    name: "Prefer",
    in: "header",
    required: false,
    description:
      "`wait=N` (RFC 7240 §4.3) delays the response for up to N seconds, until the run is finished or, with `If-None-Match`, " +
      "until it changes. `Preference-Applied` confirms the seconds granted. Ignored for a finished run.",
    schema: { type: "string" },
  },
  RequestId: {
    name: "X-Request-Id",
    in: "header",
    required: false,
    description:
      "Your id for this request: up to 128 letters, digits and `._:-`. Anything else is replaced by a new id.",
    schema: { type: "string" },
  },
  Traceparent: {
    name: "traceparent",
    in: "header",
    required: false,
    description: "W3C Trace Context. The log contains the trace id.",
    schema: { type: "string" },
  },
};
