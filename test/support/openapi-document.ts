// Compares a response with the published OpenAPI document: status, content type, headers, body; nothing undocumented.
import { type Schema, Validator } from "@cfworker/json-schema";
import { expect } from "vitest";

interface Described {
  description?: string;
  required?: boolean;
  schema?: Schema;
  example?: unknown;
  examples?: Record<string, { value: unknown }>;
}

interface DescribedAnswer {
  description: string;
  headers: Record<string, Described & { $ref?: string }>;
  content?: Record<string, Described>;
}

interface DescribedSchema extends Omit<Schema, "properties"> {
  description?: string;
  properties: Record<string, Schema & { description?: string }>;
}

export interface OpenApi {
  openapi: string;
  servers: { url: string }[];
  security: object[];
  paths: Record<
    string,
    { get: { operationId: string; parameters?: object[]; responses: Record<string, DescribedAnswer> } }
  >;
  components: {
    schemas: Record<string, DescribedSchema>;
    headers: Record<string, Described>;
    parameters: Record<string, Described & { name: string }>;
    securitySchemes: Record<string, Record<string, unknown>>;
  };
}

/** Headers that the Worker doesn't choose, or that belong to the browser's protocol. */
const isElsewhere = (name: string) => name === "content-type" || name.startsWith("access-control-");

/** The headers of a documented response, by lower-case name, references followed. */
export function listHeaders({ components }: OpenApi, answer: DescribedAnswer): Map<string, Described> {
  const resolve = (header: Described & { $ref?: string }) =>
    header.$ref === undefined ? header : (components.headers[header.$ref.split("/").at(-1) ?? ""] ?? {});
  return new Map(Object.entries(answer.headers).map(([name, header]) => [name.toLowerCase(), resolve(header)]));
}

/** Fails unless the document describes the response for this path. Returns its body, or undefined if there is none. */
export async function expectDocumented(document: OpenApi, path: string, response: Response): Promise<unknown> {
  const answer = document.paths[path]?.get.responses[response.status];
  if (answer === undefined) throw new Error(`${path} documents no ${response.status}`);
  const documented = listHeaders(document, answer);
  const sent = [...response.headers].filter(([name]) => !isElsewhere(name));
  for (const [name, { required }] of documented) {
    if (required === true && !response.headers.has(name))
      throw new Error(`the ${response.status} of ${path} lacks ${name}`);
  }
  for (const [name, value] of sent) {
    const { schema } = documented.get(name) ?? {};
    if (schema === undefined) throw new Error(`${path} documents no ${name} for a ${response.status}`);
    expectValid(document, schema, schema.type === "integer" ? Number(value) : value, name);
  }

  const text = await response.text();
  const [type, content] = Object.entries(answer.content ?? {})[0] ?? [null];
  expect(response.headers.get("content-type")).toBe(type);
  if (content === undefined) {
    expect(text).toBe("");
    return undefined;
  }
  const body: unknown = JSON.parse(text);
  expectValid(document, content.schema ?? {}, body, "body");
  return body;
}

function expectValid({ components }: OpenApi, schema: Schema, value: unknown, what: string): void {
  const schemas = Object.entries(components.schemas).map(([name, each]) => [
    name,
    // Stricter than clients, which must accept additions of later versions: here, everything sent is documented.
    { ...each, additionalProperties: false },
  ]);
  const whole: Schema = structuredClone({ ...schema, components: { schemas: Object.fromEntries(schemas) } });
  const { errors } = new Validator(whole, "2020-12", false).validate(value);
  if (errors.length > 0) throw new Error(`the ${what} is not as documented: ${JSON.stringify(errors)}`);
}
