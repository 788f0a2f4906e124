// The generated blocks that come from the schemas, examples and failures of the Worker: as Markdown tables, and as HTML.
import { readFile } from "node:fs/promises";
import type * as z from "zod";
import { TOKEN_PROBLEMS } from "../src/failure.ts";
import { EXAMPLE_ETAG, describeExampleRuns } from "./example-runs.ts";
import { type FailureResponse, collectFailureResponses } from "./failure-responses.ts";
import { type Block, formatTable } from "./generated.ts";
import { FAILURE_HEADERS, HEADERS, PARAMETERS } from "./headers.ts";
import { type Sample, createRenderer, escapeHtml, renderPanel, renderTabs } from "./markdown.ts";
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
    states: { markdown: formatTable(...STATES), html: renderStates() },
    runs: await showRuns(),
    parameters: list("parameter", "parameter", parameters),
    record: list("field", "record", describeFields("CrewRun", schemas)),
    headers: list("header", "header", headers),
    head: {
      markdown: `\`\`\`http\n${head}\n\`\`\``,
      code: renderPanel({ label: "A cached run", language: "http", code: head }, "Headers"),
    },
    try: { markdown: TRY_IT, html: await readPart("try"), code: await readPart("response") },
    failures: { markdown: formatFailures(failures, "errors.md") },
    errors: { markdown: formatFailures(failures, "") },
    "error-codes": { markdown: failures.map(formatFailure).join("\n\n") },
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

const STATES: [head: string[], rows: string[][]] = [
  ["status", "next", "Retry-After", "Cache-Control"],
  [
    ["`pending`", "`running`, or `failed`", "present: poll again", "`private, no-cache`"],
    ["`running`", "`completed` or `failed`", "present: poll again", "`private, no-cache`"],
    ["`completed`", "none: final", "absent", "`private, max-age=3600`"],
    ["`failed`", "none: final", "absent", "`private, max-age=3600`"],
  ],
];

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
    markdown: runs.map(formatRun).join("\n\n"),
    code: renderTabs("runs", "Response by the state of the run", runs),
  };
}

/** The first run in view, the others folded up, which GitHub can. */
function formatRun({ label, code }: Sample, index: number): string {
  const fence = `\`\`\`json\n${code}\n\`\`\``;
  return index === 0 ? fence : `<details>\n<summary>A ${label} run</summary>\n\n${fence}\n\n</details>`;
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

/** A line for each code, which leads to its section. */
function formatFailures(failures: readonly FailureResponse[], file: string): string {
  const rows = failures.map(({ status, body: { code }, summary }) => [
    `\`${status}\``,
    `[\`${code}\`](${file}#${code})`,
    summary,
  ]);
  return formatTable(["status", "code", "meaning"], rows);
}

/** The section of one code. */
function formatFailure(failure: FailureResponse): string {
  const { status, body, happened, action } = failure;
  return `### \`${body.code}\`

\`${status}\` ${happened}

**What to do:** ${action}

\`\`\`http
${formatResponse(failure)}
\`\`\``;
}
