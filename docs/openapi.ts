// The OpenAPI 3.1 document, made from the record's schemas and from the answers that the Worker's own code gives to failures.
// It stands for any deployment: /.well-known/oauth-protected-resource names the issuer.
import * as z from "zod";
import { AgentConfig, CrewConfig, CrewRun, TaskConfig } from "../src/crew-runs/record.ts";
import { FIELD_DESCRIPTIONS, SCHEMA_DESCRIPTIONS } from "./descriptions.ts";
import { describeExampleRuns } from "./example-runs.ts";
import { EXAMPLE_REQUEST_ID, type FailureAnswer, collectFailureAnswers } from "./failure-answers.ts";
import { type HeaderName, PARAMETERS, describeHeaders, listFailureHeaders, listHeaders } from "./headers.ts";

const SCHEMAS = { CrewRun, CrewConfig, AgentConfig, TaskConfig };

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
        description: "`ready` if database and key set can be reached.",
      },
      database: { ...PART_STATE, description: "Whether the table of runs can be read." },
      key_set: { ...PART_STATE, description: "Whether the issuer's keys are at hand." },
      settings: {
        type: "string",
        const: "misconfigured",
        description: "Only if a setting is missing or wrong, which the log names. Nothing was tried then.",
      },
    },
    required: ["status"],
  },
};

const DESCRIPTION = `Read the record of a CrewAI crew run: its input, its result, and when it ran.

Send the access token that your authorization server gave you as a bearer token. Finished runs may be kept. While a run is not
finished, \`Retry-After\` says when to ask again, and \`Prefer: wait\` lets the request wait. The guides:
[Read a run](/docs/get-run.md), [Authentication](/docs/authentication.md), [Polling](/docs/polling.md),
[Webhooks](/docs/webhooks.md), [Errors](/docs/errors.md).`;

const GET_RUN_DESCRIPTION = `The record of one run. You see your own runs; an admin sees every run. A run of somebody else
and a run that does not exist are the same 404.

The token is checked first, then the id, then the run. HEAD gives the same answer without its body. A doubled slash or
another case in the path is a 404; a trailing slash changes nothing. Query parameters are ignored.`;

const STATUS_DESCRIPTIONS: Record<number, string> = {
  401: "No bearer token was sent, or it is not accepted.",
  403: "The token is valid but lacks a scope. Only if the deployment demands one of everyone.",
  404: "There is no such run, or it is not yours; or there is no such path.",
  405: "Another method than GET and HEAD. It is listed here because OpenAPI has no place for it outside an operation.",
  422: "The id is not a UUID.",
  429: "Too many reads by this user. Only if the deployment has a limit. `Retry-After` says when to try again.",
  500: "A fault of this service that does not pass by itself.",
  503: "The issuer's keys or the database cannot be reached, or too much is read at once. `Retry-After` says when to try again.",
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

/** The headers of a 200 and a 304, besides those of every answer. */
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
  const failures = await collectFailureAnswers();
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
      { name: "Service", description: "Whether this service works. No token needed." },
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
          description: "Whether this service runs. Asks neither the database nor the issuer.",
          security: [],
          responses: { 200: describeState("This service runs.", "Health", { status: "ok" }), 405: methodNotAllowed },
        },
      },
      "/ready": {
        get: {
          operationId: "getReadiness",
          tags: ["Service"],
          summary: "Readiness",
          description:
            "Whether the database and the issuer's keys can be reached. The answer is up to ten seconds old.",
          security: [],
          responses: {
            200: describeState("Everything can be reached.", "Readiness", {
              status: "ready",
              database: "ok",
              key_set: "ok",
            }),
            405: methodNotAllowed,
            503: describeState(
              "Something cannot be reached, or a setting is missing or wrong.",
              "Readiness",
              { status: "not_ready", database: "unavailable", key_set: "ok" },
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
          description:
            "An access token of the authorization server that `/.well-known/oauth-protected-resource` names (RFC 9728).",
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
function describeFailures(failures: readonly FailureAnswer[]): Record<number, object> {
  return Object.fromEntries(
    [...Map.groupBy(failures, ({ status }) => status)].map(([status, answers]) => {
      const examples = answers.map(({ body, summary }) => [body.code, { summary, value: body }]);
      const content = { schema: describeProblem(answers), examples: Object.fromEntries(examples) };
      const description = STATUS_DESCRIPTIONS[status];
      return [status, { description, headers: listFailureHeaders(answers), content: { "application/json": content } }];
    }),
  );
}

/** Whether the detail is a list, as FastAPI has it, and not a text. */
const hasFaultList = ({ body }: FailureAnswer) => Array.isArray(body.detail);

function describeProblem(answers: readonly FailureAnswer[]): object {
  if (answers.some(hasFaultList)) return refer("schemas", "HTTPValidationError");
  const code = { type: "string", enum: answers.map(({ body }) => body.code) };
  return { allOf: [refer("schemas", "Problem"), { type: "object", properties: { code } }] };
}

function describeState(description: string, schema: string, value: object, ...headers: HeaderName[]): object {
  return {
    description,
    headers: listHeaders("NoStore", ...headers),
    content: { "application/json": { schema: refer("schemas", schema), example: value } },
  };
}

/** The record's schemas, with the texts of descriptions.ts. */
export function describeRecord(): Record<string, z.core.JSONSchema.BaseSchema> {
  const registry = z.registry<{ id: string }>();
  for (const [id, schema] of Object.entries(SCHEMAS)) registry.add(schema, { id });
  const { schemas } = z.toJSONSchema(registry, {
    uri: (id) => `#/components/schemas/${id}`,
    override: ({ jsonSchema }) => simplify(jsonSchema),
  });
  return Object.fromEntries(
    Object.entries(FIELD_DESCRIPTIONS).map(([name, texts]) => {
      const { $schema: _, $id: __, properties = {}, ...schema } = schemas[name] ?? {};
      const described = Object.entries(texts).map(([field, description]) => [
        field,
        { description, ...(properties[field] as object) },
      ]);
      const description = SCHEMA_DESCRIPTIONS[name as keyof typeof SCHEMAS];
      return [name, { description, ...schema, properties: Object.fromEntries(described) }];
    }),
  );
}

/** Leaves out what readers of answers need not know, and lets later versions add members. */
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

function describeProblems(failures: readonly FailureAnswer[]): Record<string, object> {
  const text = (description: string) => ({ type: "string", description });
  const describe = (description: string, answers: readonly FailureAnswer[], detail: object) => ({
    description,
    type: "object",
    properties: {
      detail,
      code: { ...text("A word for programs, which does not change."), enum: answers.map(({ body }) => body.code) },
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
