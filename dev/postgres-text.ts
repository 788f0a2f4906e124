// Between JSON and the text form of Postgres's values, with the rules of Neon's HTTP endpoint. Pure functions.

/** An element type's id by the id of its array type. */
export type ElementTypes = ReadonlyMap<number, number>;

/** From `pg_type`: these ids are part of Postgres's protocol and do not change. */
const typeIds = {
  bool: 16,
  int2: 21,
  int4: 23,
  json: 114,
  float4: 700,
  float8: 701,
  jsonb: 3802,
} as const;

/**
 * A parameter as Postgres reads it: an array becomes an array literal, an object JSON text.
 *
 * @param value what JSON.parse gave
 */
export function toParameter(value: unknown): string | null {
  if (value === null) {
    return null;
  }
  if (typeof value === "string") {
    return value;
  }
  return Array.isArray(value) ? toArrayLiteral(value) : JSON.stringify(value);
}

function toArrayLiteral(values: readonly unknown[]): string {
  const elements = values.map((value) => {
    if (value === null) {
      return "NULL";
    }
    if (Array.isArray(value)) {
      return toArrayLiteral(value);
    }
    // JSON's escapes of quotes and backslashes are the ones of an array literal.
    return typeof value === "object" ? JSON.stringify(JSON.stringify(value)) : JSON.stringify(value);
  });
  return `{${elements.join(",")}}`;
}

/**
 * A value as JSON text: what JavaScript can hold exactly as a JSON value, everything else as a string.
 *
 * @param text the value in Postgres's text form
 */
export function toJsonText(text: string, typeId: number, elementTypes: ElementTypes): string {
  const elementTypeId = elementTypes.get(typeId);
  if (elementTypeId !== undefined) {
    return arrayToJsonText(text, (element) => toJsonText(element, elementTypeId, elementTypes));
  }
  switch (typeId) {
    case typeIds.bool:
      return text === "t" ? "true" : "false";
    case typeIds.int2:
    case typeIds.int4:
    case typeIds.json:
    case typeIds.jsonb:
      return text;
    case typeIds.float4:
    case typeIds.float8: {
      const number = Number(text);
      return Number.isFinite(number) ? JSON.stringify(number) : JSON.stringify(text);
    }
    default:
      return JSON.stringify(text);
  }
}

/** PostgreSQL documentation §8.15.6; a decoration with bounds (`[0:1]={1,2}`) has no place in JSON and is dropped. */
function arrayToJsonText(text: string, convert: (element: string) => string): string {
  const token = /[{},]|"(?:[^"\\]|\\.)*"|[^{},"]+/gsy;
  token.lastIndex = text.startsWith("[") ? text.indexOf("=") + 1 : 0;
  let json = "";
  for (let match = token.exec(text); match !== null; match = token.exec(text)) {
    const [found] = match;
    if (found === "{") {
      json += "[";
    } else if (found === "}") {
      json += "]";
    } else if (found === ",") {
      json += ",";
    } else if (found.startsWith('"')) {
      json += convert(found.slice(1, -1).replaceAll(/\\(.)/gs, "$1"));
    } else {
      json += found === "NULL" ? "null" : convert(found);
    }
  }
  return json;
}
