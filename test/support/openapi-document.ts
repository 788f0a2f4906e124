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

/** A response, its body read. */
interface Sent {
  status: number;
  headers: Headers;
  body: string;
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

/** The headers of a documented response, by lower-case name, references followed. */
export function listHeaders({ components }: OpenApi, answer?: DescribedAnswer): Map<string, Described> {
  const resolve = (header: Described & { $ref?: string }) =>
    header.$ref === undefined ? header : (components.headers[header.$ref.split("/").at(-1) ?? ""] ?? {});
  return new Map(Object.entries(answer?.headers ?? {}).map(([name, header]) => [name.toLowerCase(), resolve(header)]));
}

/** Fails unless the document describes the response for this path. Returns its body, or undefined if there is none. */
export function expectDocumented(document: OpenApi, path: string, { status, headers, body }: Sent): unknown {
  const answer = document.paths[path]?.get.responses[status];
  if (answer === undefined) throw new Error(`${path} documents no ${status}`);
  const documented = listHeaders(document, answer);
  const required = [...documented].filter(([, header]) => header.required).map(([name]) => name);
  expect([...headers.keys()]).toEqual(expect.arrayContaining(required));
  const [type = null, content] = Object.entries(answer.content ?? {})[0] ?? [];
  expect(headers.get("content-type")).toBe(type);
  for (const [name, value] of headers) {
    if (name === "content-type") continue;
    const { schema } = documented.get(name) ?? {};
    if (schema === undefined) throw new Error(`${path} documents no ${name} for a ${status}`);
    expectValid(document, schema, schema.type === "integer" ? Number(value) : value, name);
  }
  if (content === undefined) return void expect(body).toBe("");
  const value: unknown = JSON.parse(body);
  expectValid(document, content.schema ?? {}, value, "body");
  return value;
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
