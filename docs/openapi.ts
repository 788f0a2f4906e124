// The OpenAPI 3.1 document, made from the record's schemas and from the responses that the Worker's code makes for failures.
// It describes every deployment, so it names no issuer: /.well-known/oauth-protected-resource does.
import * as z from "zod";
import { AgentConfig, CrewConfig, CrewRun, TaskConfig } from "../src/crew-runs/record.ts";
import descriptions from "./data/record.json" with { type: "json" };
import { describeExampleRuns } from "./example-runs.ts";
import { EXAMPLE_REQUEST_ID, type FailureResponse, collectFailureResponses } from "./failure-responses.ts";
import { type HeaderName, PARAMETERS, describeHeaders, listFailureHeaders, listHeaders } from "./headers.ts";

const SCHEMAS = { CrewRun, CrewConfig, AgentConfig, TaskConfig };

/** A text for each field of each schema: a missing one doesn't compile. */
const FIELDS: { [Name in keyof typeof SCHEMAS]: Record<keyof z.infer<(typeof SCHEMAS)[Name]>, string> } =
  descriptions.fields;

const refer = (kind: "parameters" | "schemas", name: string) => ({ $ref: `#/components/${kind}/${name}` });

const PART_STATE = { type: "string", enum: ["ok", "unavailable"] };

const SERVICE_SCHEMAS = {
  Health: {
    description: "This service runs.",
    type: "object",
    properties: { status: { type: "string", const: "ok", description: "Always `ok`." } },
    required: ["status"],
  },
  Readiness: {
    description: "The parts that this service can reach.",
    type: "object",
    properties: {
      status: {
        type: "string",
        enum: ["ready", "not_ready"],
        description: "`ready` if every part is `ok` or `not_checked`.",
      },
      database: {
        ...PART_STATE,
        enum: [...PART_STATE.enum, "not_checked"],
        description: "Whether the table of runs can be read; `not_checked` unless `READY_CHECKS_DATABASE` is `true`.",
      },
      key_set: { ...PART_STATE, description: "Whether the issuer's keys are at hand." },
      settings: {
        type: "string",
        const: "misconfigured",
        description: "Only if a setting is missing or malformed, which the log names. Nothing else was checked then.",
      },
    },
    required: ["status"],
  },
};

const DESCRIPTION = `Read the record of a CrewAI crew run: its input, its result, and when it ran.

Send an access token of the issuer as a bearer token. Finished runs may be cached. While a run isn't finished,
\`Retry-After\` is the time until the next poll, and \`Prefer: wait\` makes the request a long poll. The guides:
[Read a run](/docs/get-run.md), [Authentication](/docs/authentication.md), [Polling](/docs/polling.md),
[Webhooks](/docs/webhooks.md), [Errors](/docs/errors.md).`;

const GET_RUN_DESCRIPTION = `The record of one run. You can read your own runs; admins can read every run. Another user's run
gives the same 404 as a run that doesn't exist.

The token is checked first, then the id, then the run is looked up. HEAD returns the same headers without a body. The path is
case-sensitive, and a doubled slash is a 404; a trailing slash makes no difference. Query parameters are ignored.`;

const STATUS_DESCRIPTIONS: Record<number, string> = {
  401: "No bearer token was sent, or it isn't accepted.",
  403: "The token is valid but lacks a scope. Only if the deployment requires one from everyone.",
  404: "The run doesn't exist, or you may not read it; or the path doesn't exist.",
  405: "The method is neither GET nor HEAD. It is listed here because OpenAPI has no place for it outside an operation.",
  422: "The id isn't a UUID.",
  429: "Too many reads by this user. Only if the deployment has a rate limit.",
  500: "An error of this service that retrying won't fix.",
  503: "The issuer's keys or the database are unavailable, or too many large records are being read.",
};

/** The path's parameter. */
export const RUN_ID = {
  name: "run_id",
  in: "path",
  required: true,
  description:
    "The run's UUID, of any version: canonical, in any case, without dashes, in braces, or after `urn:uuid:`.",
  schema: { type: "string", format: "uuid" },
  example: "11111111-1111-4111-8111-111111111111",
};

/** The headers of a 200 and a 304, besides those of every response. */
export const RUN_HEADERS: readonly HeaderName[] = [
  "ETag",
  "RunCacheControl",
  "CacheStatus",
  "Age",
  "UnfinishedRetryAfter",
  "PreferenceApplied",
];

/** Makes the document. `version` is the product's, from package.json. */
export async function createOpenApi(version: string): Promise<object> {
  const failures = await collectFailureResponses();
  const failureResponses = describeFailures(failures);
  const { 405: methodNotAllowed } = failureResponses;
  return {
    openapi: "3.1.1",
    info: {
      title: "Crew runs",
      version,
      description: DESCRIPTION,
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    security: [{ bearer: [] }],
    tags: [
      { name: "Crew runs", description: "The records of crew runs." },
      { name: "Service", description: "Whether this service works. They need no token." },
    ],
    paths: {
      "/api/crew-runs/{run_id}": {
        get: {
          operationId: "getCrewRun",
          tags: ["Crew runs"],
          summary: "Get run",
          description: GET_RUN_DESCRIPTION,
          parameters: [RUN_ID, ...Object.keys(PARAMETERS).map((name) => refer("parameters", name))],
          responses: { ...(await describeRunResponses()), ...failureResponses },
        },
      },
      "/health": {
        get: {
          operationId: "getHealth",
          tags: ["Service"],
          summary: "Health",
          description: "Whether this service runs. It calls neither the database nor the issuer.",
          security: [],
          responses: { 200: describeState("This service runs.", "Health", { status: "ok" }), 405: methodNotAllowed },
        },
      },
      "/ready": {
        get: {
          operationId: "getReadiness",
          tags: ["Service"],
          summary: "Readiness",
          description: "Whether the service can work. The response is up to ten seconds old.",
          security: [],
          responses: {
            200: describeState("The service can work.", "Readiness", {
              status: "ready",
              database: "not_checked",
              key_set: "ok",
            }),
            405: methodNotAllowed,
            503: describeState(
              "A part is unavailable, or a setting is missing or malformed.",
              "Readiness",
              { status: "not_ready", database: "not_checked", key_set: "unavailable" },
              "ReadinessRetryAfter",
            ),
          },
        },
      },
    },
    components: {
      schemas: { ...describeRecord(), ...describeProblems(failures), ...SERVICE_SCHEMAS },
      headers: describeHeaders(),
      parameters: PARAMETERS,
      securitySchemes: {
        bearer: {
          type: "http",
          scheme: "bearer",
          bearerFormat: "JWT",
          description: "An access token of the issuer that `/.well-known/oauth-protected-resource` names (RFC 9728).",
        },
      },
    },
  };
}

async function describeRunResponses(): Promise<object> {
  return {
    200: {
      description: "The record.",
      headers: listHeaders(...RUN_HEADERS),
      content: {
        "application/json": { schema: refer("schemas", "CrewRun"), examples: await describeExampleRuns() },
      },
    },
    304: {
      description: "The run has not changed: `If-None-Match` names its tag. No body.",
      headers: listHeaders(...RUN_HEADERS),
    },
  };
}

/** A Response Object for each status, with an example for each code. */
function describeFailures(failures: readonly FailureResponse[]): Record<number, object> {
  return Object.fromEntries(
    [...Map.groupBy(failures, ({ status }) => status)].map(([status, responses]) => {
      const examples = responses.map(({ body, summary }) => [body.code, { summary, value: body }]);
      const content = { schema: describeProblem(responses), examples: Object.fromEntries(examples) };
      const description = STATUS_DESCRIPTIONS[status];
      return [
        status,
        { description, headers: listFailureHeaders(responses), content: { "application/json": content } },
      ];
    }),
  );
}

/** Whether the detail is a list, as FastAPI has it, and not a text. */
const hasFaultList = ({ body }: FailureResponse) => Array.isArray(body.detail);

function describeProblem(responses: readonly FailureResponse[]): object {
  if (responses.some(hasFaultList)) return refer("schemas", "HTTPValidationError");
  const code = { type: "string", enum: responses.map(({ body }) => body.code) };
  return { allOf: [refer("schemas", "Problem"), { type: "object", properties: { code } }] };
}

function describeState(description: string, schema: string, value: object, ...headers: HeaderName[]): object {
  return {
    description,
    headers: listHeaders("NoStore", ...headers),
    content: { "application/json": { schema: refer("schemas", schema), example: value } },
  };
}

/** The record's schemas, with the texts of data/record.json. */
export function describeRecord(): Record<string, z.core.JSONSchema.BaseSchema> {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(SCHEMAS)) registry.add(schema, { id });
  const { schemas } = z.toJSONSchema(registry, {
    uri: (id) => `#/components/schemas/${id}`,
    override: ({ jsonSchema }) => simplify(jsonSchema),
  });
  return Object.fromEntries(
    Object.entries(FIELDS).map(([name, texts]) => {
      const { $schema: _, $id: __, properties = {}, ...schema } = schemas[name] ?? {};
      const described = Object.entries(texts).map(([field, description]) => [
        field,
        { description, ...(properties[field] as object) },
      ]);
      const description = descriptions.schemas[name as keyof typeof SCHEMAS];
      return [name, { description, ...schema, properties: Object.fromEntries(described) }];
    }),
  );
}

/** Leaves out what readers of responses needn't know, and lets later versions add members. */
function simplify(schema: z.core.JSONSchema.BaseSchema): void {
  const [inner, none] = schema.anyOf ?? [];
  if (inner?.type !== undefined && none?.type === "null") {
    delete schema.anyOf;
    Object.assign(schema, inner, { type: [inner.type, "null"] });
  }
  if (schema.format !== undefined) delete schema.pattern;
  // zod gives every integer the bounds of JavaScript's safe integers.
  if (schema.maximum === Number.MAX_SAFE_INTEGER) {
    delete schema.minimum;
    delete schema.maximum;
  }
  if (schema.additionalProperties === false) delete schema.additionalProperties;
  delete schema.propertyNames;
}

function describeProblems(failures: readonly FailureResponse[]): Record<string, object> {
  const text = (description: string) => ({ type: "string", description });
  const describe = (description: string, responses: readonly FailureResponse[], detail: object) => ({
    description,
    type: "object",
    properties: {
      detail,
      code: { ...text("A stable word for programs."), enum: responses.map(({ body }) => body.code) },
      request_id: { ...text("The same as in `X-Request-Id`."), examples: [EXAMPLE_REQUEST_ID] },
    },
    required: ["detail", "code", "request_id"],
  });
  return {
    Problem: describe(
      "The reason why there is no record.",
      failures.filter((failure) => !hasFaultList(failure)),
      text("A text for people, which may change."),
    ),
    HTTPValidationError: describe("The faults of the request.", failures.filter(hasFaultList), {
      description: "One entry for each fault.",
      type: "array",
      items: refer("schemas", "ValidationError"),
    }),
    ValidationError: {
      description: "One fault of the request.",
      type: "object",
      properties: {
        type: text("The kind of fault."),
        loc: {
          description: "The part of the request, and the name in it.",
          type: "array",
          items: { type: ["string", "integer"] },
        },
        msg: text("A text for people."),
        input: text("The id that was sent, percent-decoded and cut after 100 characters."),
      },
      required: ["type", "loc", "msg", "input"],
    },
  };
}
