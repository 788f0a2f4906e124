// The generated blocks that come from the schemas, examples and failures of the Worker: as Markdown tables, and as HTML.
import { readFile } from "node:fs/promises";
import type * as z from "zod";
import { TOKEN_PROBLEMS } from "../src/failure.ts";
import { EXAMPLE_ETAG, describeExampleRuns } from "./example-runs.ts";
import { type FailureResponse, collectFailureResponses } from "./failure-responses.ts";
import { type Block, formatTable } from "./generated.ts";
import { FAILURE_HEADERS, HEADERS, PARAMETERS } from "./headers.ts";
import { createRenderer, escapeHtml, renderPanel, renderTabs } from "./markdown.ts";
import { RUN_HEADERS, RUN_ID, describeRecord } from "./openapi.ts";
import { addressOf } from "./pages.ts";

const { renderInline } = createRenderer(addressOf);

type Schema = z.core.JSONSchema.JSONSchema;

/** A line of a list: a field of the record, a parameter or a header. */
interface Entry {
  name: string;
  type: string;
  /** `required`, or the default in JSON; empty if there is neither. */
  note: string;
  description: string;
  /** The fields of the object or of the list's objects. */
  fields: Entry[];
  fieldsOf: string;
}

export async function createReferenceBlocks(): Promise<Record<string, Block>> {
  const failures = await collectFailureResponses();
  const schemas = describeRecord();
  const parameters = [RUN_ID, ...Object.values(PARAMETERS)].map((parameter) => describeEntry(parameter, schemas));
  const headers = RUN_HEADERS.map((name) => describeEntry({ ...HEADERS[name], required: false }, schemas));
  const list = (head: string, id: string, entries: Entry[]): Block => ({
    markdown: formatTable([head, "type", "meaning"], flatten(entries)),
    html: renderEntries(entries, id),
  });
  const head = formatHead(200, sampleHeaders());
  return {
    operation: {
      markdown: "```http\nGET /api/crew-runs/{run_id}\nAuthorization: Bearer <access token>\n```",
      html: `<p class="operation" data-copy="the address"><b>GET</b> <code><i>/api/crew-runs/<var>{run_id}</var></i></code></p>`,
    },
    states: { markdown: await tabulateStates(), html: renderStates() },
    runs: await showRuns(),
    parameters: list("parameter", "parameter", parameters),
    record: list("field", "record", describeFields("CrewRun", schemas)),
    headers: list("header", "header", headers),
    head: {
      markdown: `\`\`\`http\n${head}\n\`\`\``,
      code: renderPanel({ label: "A cached run", language: "http", code: head }, "Headers"),
    },
    try: { markdown: TRY_IT, html: await readPart("try"), code: `${renderRequest()}${await readPart("response")}` },
    "error-kinds": showErrorKinds(failures),
    errors: { markdown: formatTable(["status", "code", "cause", "what to do"], failures.map(formatFailure)) },
    refusals: {
      markdown: Object.values(TOKEN_PROBLEMS)
        .map((problem) => `- ${problem}`)
        .join("\n"),
    },
    "conditional-request": {
      markdown: `\`\`\`sh\ncurl -i "$URL" -H "Authorization: Bearer $TOKEN" -H 'If-None-Match: ${EXAMPLE_ETAG}'\n\`\`\``,
    },
  };
}

const TRY_IT =
  "On the site, at `/docs` of each deployment, a form logs you in, sends the request and shows the response.";

/** Tabs that the form fills. */
function renderRequest(): string {
  const samples = ["curl", "JavaScript", "Python", "Go"].map((label) => ({ label, language: "", code: "" }));
  return `<div id="request" hidden>${renderTabs("samples-try", "Try it, request", samples)}</div>`;
}

const readPart = (name: string) => readFile(`${import.meta.dirname}/page/${name}.html`, "utf8");

function describeFields(name: string, schemas: Record<string, Schema>): Entry[] {
  const { properties = {} } = schemas[name] ?? {};
  return Object.entries(properties).map(([field, schema]) =>
    describeEntry(
      { name: field, schema: schema as Schema, description: (schema as Schema).description ?? "" },
      schemas,
    ),
  );
}

function describeEntry(
  entry: { name: string; schema: object; description: string; required?: boolean; example?: unknown },
  schemas: Record<string, Schema>,
): Entry {
  const schema = entry.schema as Schema;
  const { type, of } = describeType(schema);
  const note =
    schema.default === undefined ? (entry.required ? "required" : "") : `default ${JSON.stringify(schema.default)}`;
  return { ...entry, type, note, fieldsOf: of, fields: of === "" ? [] : describeFields(of, schemas) };
}

/** The type in words, and the name of the schema in it. */
function describeType(schema: Schema): { type: string; of: string } {
  if (schema.$ref !== undefined) {
    const of = schema.$ref.split("/").at(-1) ?? "";
    return { type: of, of };
  }
  if (schema.anyOf !== undefined) {
    const parts = schema.anyOf.map((part) => describeType(part as Schema));
    return { type: parts.map(({ type }) => type).join(" or "), of: parts.map(({ of }) => of).join("") };
  }
  if (schema.type === "array") {
    const { type, of } = describeType(schema.items as Schema);
    return { type: `list of ${type}`, of };
  }
  if (schema.enum !== undefined) return { type: `one of ${schema.enum.join(", ")}`, of: "" };
  const format = schema.format === undefined ? "" : ` (${schema.format})`;
  return { type: [schema.type].flat().join(" or ").replace("string", `string${format}`), of: "" };
}

/** Rows of a Markdown table; a field of a field is named by its path. */
function flatten(entries: readonly Entry[], path = ""): string[][] {
  return entries.flatMap(({ name, type, note, description, fields }) => [
    [
      `\`${path}${name}\``,
      type,
      [description, note && `${note.replace("required", "Required").replace(/default (.*)/, "Default `$1`")}.`]
        .filter(Boolean)
        .join(" "),
    ],
    ...flatten(fields, `${path}${name}${type.startsWith("list") ? "[]" : ""}.`),
  ]);
}

/** Each entry with an anchor: the id of the list and its name. */
function renderEntries(entries: readonly Entry[], path: string): string {
  const items = entries.map(({ name, type, note, description, fields, fieldsOf }) => {
    const id = `${path}-${path === "header" || path === "parameter" ? name.toLowerCase() : name}`;
    const nested =
      fields.length > 0
        ? `<details><summary>The fields of ${fieldsOf}</summary>${renderEntries(fields, id)}</details>`
        : "";
    const noted = note === "" ? "" : ` <span class="note">${escapeHtml(note)}</span>`;
    return `<div id="${id}"><dt><a href="#${id}"><code>${name}</code></a> <span class="type">${escapeHtml(type)}</span>${noted}</dt>
<dd><p>${renderInline(description)}</p>${nested}</dd></div>`;
  });
  return `<dl class="fields">${items.join("")}</dl>`;
}

/** The states that can follow each state. */
const NEXT: Record<string, string> = { pending: "`running` or `failed`", running: "`completed` or `failed`" };
/** Fields that are null in some states. */
const FILLED_LATER = ["started_at", "completed_at", "result", "error"];

/** The states, with what tells their records and headers apart. */
async function tabulateStates(): Promise<string> {
  const runs = await describeExampleRuns();
  const rows = ["pending", "running", "completed", "failed"].map((state) => {
    const run = runs[state]?.value as Record<string, unknown>;
    const filled = FILLED_LATER.filter((field) => run[field] !== null);
    const headers = state in NEXT ? ["yes", "`private, no-cache`"] : ["no", "`private, max-age=3600`"];
    const list = filled.map((field) => `\`${field}\``).join(", ") || "none";
    return [`\`${state}\``, NEXT[state] ?? "none: final", list, ...headers];
  });
  const head = ["status", "next", "times, result, error", "Retry-After", "Cache-Control"];
  return formatTable(head, rows);
}

/** The life of a run, each state a link to its example. */
function renderStates(): string {
  const state = (name: string) => `<a href="#runs-${name}" data-example="runs-${name}">${name}</a>`;
  return `<ol class="states">
<li>${state("pending")}<i>→</i>${state("running")}<i>→</i><p><code>Retry-After</code>: poll again, or let the request <a href="${addressOf("polling")}">wait</a></p></li>
<li>${state("completed")}<i>or</i>${state("failed")}<p>Final: no <code>Retry-After</code>, cached by <code>max-age</code></p></li>
</ol>`;
}

/** The example runs by their state. */
async function showRuns(): Promise<Block> {
  const runs = Object.entries(await describeExampleRuns()).map(([label, { value }]) => ({
    label,
    language: "json",
    code: JSON.stringify(value, null, 2),
  }));
  return {
    markdown: `\`\`\`json\n${runs[0]?.code}\n\`\`\``,
    code: renderTabs("runs", "Response by the state of the run", runs),
  };
}

/** A cached run's headers, by the examples of the document. */
function sampleHeaders(): [name: string, value: string][] {
  const shown = ["ETag", "RunCacheControl", "CacheStatus", "Age", "RequestId", "ServerTiming", "Vary"] as const;
  return [
    ["Content-Type", "application/json"],
    ...shown.map((key): [string, string] => [HEADERS[key].name, String(HEADERS[key].example)]),
  ];
}

function formatHead(status: number, headers: readonly (readonly [name: string, value: string])[]): string {
  return [`HTTP/2 ${status}`, ...headers.map(([name, value]) => `${name}: ${value}`)].join("\n");
}

/** The content's type, and the headers that only some failures have. */
function findSpecialHeaders(headers: FailureResponse["headers"]): (readonly [name: string, value: string])[] {
  const special = FAILURE_HEADERS.map(({ name }) => [name, headers[name.toLowerCase()] ?? ""] as const);
  return [["Content-Type", "application/json"], ...special.filter(([, value]) => value !== "")];
}

function formatResponse({ status, headers, body }: FailureResponse): string {
  return `${formatHead(status, findSpecialHeaders(headers))}\n\n${JSON.stringify(body, null, 2)}`;
}

/** The kinds of errors, and a code that shows each. */
const ERROR_KINDS = [
  ["401 and 403", "invalid_token"],
  ["404, 405 and 500", "run_not_found"],
  ["422", "invalid_run_id"],
  ["429 and 503", "database_unavailable"],
] as const;

function showErrorKinds(failures: readonly FailureResponse[]): Block {
  const kinds = ERROR_KINDS.map(([label, code]) => {
    const failure = failures.find(({ body }) => body.code === code);
    if (failure === undefined) throw new Error(`no failure has the code ${code}`);
    return { label, language: "http", code: formatResponse(failure) };
  });
  return {
    markdown: kinds.map(({ label, code }) => `\`\`\`http ${label}\n${code}\n\`\`\``).join("\n\n"),
    code: renderTabs("kinds", "An error of each kind", kinds),
  };
}

/** A row of the table, with the anchor that links to the code lead to. */
function formatFailure({ status, body: { code }, happened, action }: FailureResponse): string[] {
  return [`\`${status}\``, `<a id="${code}"></a>\`${code}\``, happened, action];
}
