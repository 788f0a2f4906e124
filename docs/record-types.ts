// The record as TypeScript interfaces, from the schemas of the OpenAPI document: examples/typescript/crew-run.ts.
import type * as z from "zod";
import { describeRecord } from "./openapi.ts";

type Schema = z.core.JSONSchema.JSONSchema;

const HEAD = "// The record of a run. Generated from the API's schema by `npm run fix`.";

export function writeRecordTypes(): string {
  const interfaces = Object.entries(describeRecord()).map(([name, schema]) => {
    const fields = Object.entries(schema.properties ?? {}).map(([field, fieldSchema]) => {
      const { description } = fieldSchema as Schema;
      return `/** ${description} */\n${field}: ${writeType(fieldSchema as Schema)};`;
    });
    return `/** ${schema.description} */\nexport interface ${name} {\n${fields.join("\n")}\n}`;
  });
  return [HEAD, ...interfaces].join("\n\n");
}

/** Throws if the schema has something new, so that no field silently gets a wrong type. */
function writeType(schema: Schema): string {
  const { $ref, anyOf, type, items } = schema;
  if ($ref !== undefined) return $ref.split("/").at(-1) ?? "";
  if (anyOf !== undefined) return anyOf.map((part) => writeType(part as Schema)).join(" | ");
  if (schema.enum !== undefined) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (Array.isArray(type)) return type.map((one) => writeType({ ...schema, type: one } as Schema)).join(" | ");
  if (type === "array") return `${writeType(items as Schema)}[]`;
  if (type === "object") return "Record<string, unknown>";
  if (type === "integer") return "number";
  if (type === "string" || type === "boolean" || type === "null") return type;
  throw new Error(`no TypeScript type is known for ${JSON.stringify(schema)}`);
}
