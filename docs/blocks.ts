// Every generated block. To add one: name it here, put its two markers into a Markdown file, run `npm run fix`.
import { readFile } from "node:fs/promises";
import { describeExampleRuns } from "./example-runs.ts";
import { tabulateAlerts } from "./alerts.ts";
import { tabulateFaults } from "./faults.ts";
import { type Block, formatTable } from "./generated.ts";
import fields from "./data/log-fields.json" with { type: "json" };
import { createReferenceBlocks } from "./reference.ts";
import { tabulateSettings } from "./settings.ts";
import { stripTypes } from "./strip-types.ts";

const LOOP = `${import.meta.dirname}/../examples/typescript/wait-for-run.ts`;

export async function createBlocks(): Promise<Map<string, Block>> {
  const blocks: Record<string, Block> = {
    ...(await createReferenceBlocks()),
    "example-run": { markdown: await showExampleRun() },
    transitions: { markdown: await showTransitions() },
    "wait-for-run": { markdown: `\`\`\`js JavaScript\n${stripTypes(await readFile(LOOP, "utf8"))}\n\`\`\`` },
  };
  const tables = {
    ...tabulateFaults(),
    "log-fields": tabulateLogFields(),
    alerts: tabulateAlerts(),
    settings: tabulateSettings(),
  };
  for (const [name, markdown] of Object.entries(tables)) blocks[name] = { markdown };
  return new Map(Object.entries(blocks));
}

function tabulateLogFields(): string {
  const rows = Object.entries(fields).map(([name, { when, meaning }]) => [`\`${name}\``, when, meaning]);
  return formatTable(["field", "when", "meaning"], rows);
}

/** The completed example, one line per key. Of its crew, only what shows which crew it is. */
async function showExampleRun(): Promise<string> {
  const { completed } = await describeExampleRuns();
  const run = completed?.value as { crew_config: { agents: { role: string }[]; tasks: { description: string }[] } };
  const rest = { "…": "…" };
  const crew_config = {
    agents: run.crew_config.agents.map(({ role }) => ({ role, ...rest })),
    tasks: run.crew_config.tasks.map(({ description }) => ({ description, ...rest })),
    ...rest,
  };
  const lines = Object.entries({ ...run, crew_config }).map(([key, value]) => `  "${key}": ${JSON.stringify(value)}`);
  return `\`\`\`json\n{\n${lines.join(",\n")}\n}\n\`\`\``;
}

/** The statements of the Python module, with numbers for its names of values. */
async function showTransitions(): Promise<string> {
  const module = await readFile(`${import.meta.dirname}/../examples/python/crew_runs.py`, "utf8");
  const statements = [...module.matchAll(/^([A-Z_]+) = """\n(.*?)\n"""$/gms)].map(([, constant = "", sql = ""]) => {
    const values: string[] = [];
    const numbered = sql.replaceAll(/%\((\w+)\)s/g, (_, value: string) => {
      if (!values.includes(value)) values.push(value);
      return `$${values.indexOf(value) + 1}`;
    });
    const name = constant.toLowerCase().replaceAll("_", " ");
    return `-- ${name}: ${values.map((value, index) => `$${index + 1} ${value}`).join(", ")}\n${numbered};`;
  });
  return `\`\`\`sql\n${statements.join("\n\n")}\n\`\`\``;
}
