// Compares a response with the published OpenAPI document: status, content type, headers, body; nothing undocumented.
import { type Schema, Validator } from "@cfworker/json-schema";
import { expect } from "vitest";
import type { ReadResult } from "./reader.ts";

interface Described {
  $ref?: string;
  required?: boolean;
  schema?: Schema;
  examples?: Record<string, { value: unknown }>;
}

interface DescribedAnswer {
  headers: Record<string, Described>;
  content?: Record<string, Described>;
}

interface Operation {
  operationId: string;
  parameters?: object[];
  responses: Record<string, DescribedAnswer>;
}

/** The members that tests read. */
export interface OpenApi {
  servers: { url: string }[];
  security: object[];
  paths: Record<string, { get: Operation }>;
  components: Record<"schemas", Record<string, { properties: Record<string, object> }>> &
    Record<"headers" | "securitySchemes", Record<string, Described>>;
}

/** The headers of a documented response, by lower-case name, references followed. */
export function listHeaders({ components }: OpenApi, answer?: DescribedAnswer): Map<string, Described> {
  const resolve = ({ $ref, ...header }: Described) => components.headers[$ref?.split("/").at(-1) ?? ""] ?? header;
  return new Map(Object.entries(answer?.headers ?? {}).map(([name, header]) => [name.toLowerCase(), resolve(header)]));
}

/** Fails unless the document describes the response for this path. Returns its body, or undefined if there is none. */
export function expectDocumented(document: OpenApi, path: string, { status, headers, body }: ReadResult): unknown {
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
  const whole: Schema = structuredClone({ ...schema, components });
  // Stricter than clients, which must accept additions of later versions: here, everything sent is documented.
  for (const each of Object.values(whole["components"].schemas))
    Object.assign(each as object, { additionalProperties: false });
  const { errors } = new Validator(whole, "2020-12", false).validate(value);
  if (errors.length > 0) throw new Error(`the ${what} is not as documented: ${JSON.stringify(errors)}`);
}
