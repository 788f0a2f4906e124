// The settings that a deployment will have, from where an operator keeps them, and what is wrong with them.
// Order: this process's environment, then `.dev.vars` (`.dev.vars.NAME` for an environment), then wrangler.toml. Nothing
// asks for input, and no value is ever part of a finding.
import { readFile } from "node:fs/promises";
import { parseEnv } from "node:util";
import { type Settings, SettingsSchema, readSettings } from "../../src/settings.ts";
import { type Finding, bad, ok } from "../checklist.ts";

export interface Configuration {
  /** Complete: in place of what is broken stands something harmless, so that the rest can be checked. */
  settings: Settings;
  broken: ReadonlySet<string>;
  /** wrangler.toml's `placement.region`, such as `aws:us-east-1`. */
  placementRegion: string | undefined;
  findings: Finding[];
}

export interface ConfigurationSource {
  /** wrangler.toml; the files with secrets lie beside it. */
  configFile: URL;
  environmentName: string | undefined;
  /** `process.env`. */
  variables: Record<string, string | undefined>;
}

const settingNames = Object.keys(SettingsSchema.shape);
const secretNames = ["DATABASE_URL"];

const harmless = {
  DATABASE_URL: "postgresql://nobody:nothing@localhost/none",
  JWT_ISSUER: "http://localhost",
  JWT_AUDIENCE: "none",
  JWKS_URL: "http://localhost",
};

/** Never throws for what the operator wrote: that becomes a finding. */
export async function readConfiguration(source: ConfigurationSource): Promise<Configuration> {
  const findings: Finding[] = [];
  const given: Record<string, unknown> = {};
  const origins = new Map<string, string>();
  const take = (values: Record<string, unknown>, origin: string) => {
    for (const name of settingNames) {
      const value = values[name];
      if (value === undefined || value === "" || origins.has(name)) continue;
      given[name] = value;
      origins.set(name, origin);
    }
  };

  const { vars, placementRegion, problem } = await readWranglerConfig(source);
  if (problem !== undefined) findings.push(problem);
  const secrets = await readSecretsFile(source);
  take(source.variables, "environment");
  take(secrets.values, secrets.name);
  take(vars, "wrangler.toml");
  findings.push(...findForeignNames(vars, "wrangler.toml"), ...findForeignNames(secrets.values, secrets.name));
  for (const name of secretNames.filter((secret) => vars[secret] !== undefined)) {
    findings.push(
      bad(
        `${name} is written in wrangler.toml, a file that is committed`,
        `Remove the line, change the password, then: npx wrangler secret put ${name}${flag(source)}`,
      ),
    );
  }

  const { settings, problems } = readPartially(given);
  const broken = new Map(problems.map((line) => [line.slice(0, line.indexOf(" ")), line]));
  for (const name of settingNames) {
    const line = broken.get(name);
    const origin = origins.get(name);
    if (line !== undefined) findings.push(bad(line, describeRemedy(name, origin, source)));
    else if (origin !== undefined) findings.push(ok(`${name} (${origin})`));
  }
  const defaults = settingNames.length - origins.size;
  if (broken.size === 0) findings.push(ok(`${defaults} more by default: docs/settings.md`));
  return { settings, broken: new Set(broken.keys()), placementRegion, findings };
}

function readPartially(given: Record<string, unknown>): { settings: Settings; problems: string[] } {
  const read = readSettings(given);
  if (read.ok) return { settings: read.settings, problems: [] };
  const rest: Record<string, unknown> = { ...harmless, ...given };
  for (const problem of read.problems) {
    const name = problem.slice(0, problem.indexOf(" "));
    rest[name] = Reflect.get(harmless, name);
  }
  const repaired = readSettings(rest);
  if (!repaired.ok) throw new Error(`settings that cannot be repaired: ${repaired.problems.join("; ")}`);
  return { settings: repaired.settings, problems: read.problems };
}

function describeRemedy(name: string, origin: string | undefined, source: ConfigurationSource): string {
  const { environmentName } = source;
  const read = `What it is for: docs/settings.md#${name.toLowerCase()}`;
  if (origin !== undefined) return `Correct it where it comes from: ${origin}.\n${read}`;
  if (secretNames.includes(name)) {
    return `For the Worker: npx wrangler secret put ${name}${flag(source)}
For this check: export ${name}, or a line ${name}=… in ${secretsFileName(environmentName)}, which git ignores.\n${read}`;
  }
  const table = environmentName === undefined ? "[vars]" : `[env.${environmentName}.vars]`;
  return `Set it in wrangler.toml under ${table}.\n${read}`;
}

const flag = ({ environmentName }: ConfigurationSource) =>
  environmentName === undefined ? "" : ` --env ${environmentName}`;

/** A misspelt name is a setting that keeps its default in silence. */
function findForeignNames(values: Record<string, unknown>, origin: string): Finding[] {
  return Object.keys(values)
    .filter((name) => !settingNames.includes(name))
    .map((name) =>
      bad(`${name} (${origin}) is no setting of the Worker`, "Misspelt? docs/settings.md lists them all."),
    );
}

const secretsFileName = (environmentName: string | undefined) =>
  environmentName === undefined ? ".dev.vars" : `.dev.vars.${environmentName}`;

async function readSecretsFile({ configFile, environmentName }: ConfigurationSource) {
  const name = secretsFileName(environmentName);
  const content = await readFile(new URL(name, configFile), "utf8").catch(() => "");
  const values: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(parseEnv(content))) {
    // wrangler expands `$` in these files, so a literal one is written with a backslash.
    values[key] = value?.replaceAll(String.raw`\$`, "$");
  }
  return { name, values };
}

async function readWranglerConfig({ configFile, environmentName }: ConfigurationSource): Promise<{
  vars: Record<string, unknown>;
  placementRegion: string | undefined;
  problem: Finding | undefined;
}> {
  const { unstable_readConfig: readConfig } = await import("wrangler");
  const nothing = { vars: {}, placementRegion: undefined };
  try {
    const { definedEnvironments, vars, placement } = readConfig(
      { config: configFile.pathname, env: environmentName },
      { hideWarnings: true },
    );
    if (environmentName !== undefined && !definedEnvironments?.includes(environmentName)) {
      const remedy = `There are: ${definedEnvironments?.join(", ") || "none"}. Add [env.${environmentName}], or choose another with --env.`;
      return { ...nothing, problem: bad(`wrangler.toml has no environment ${environmentName}`, remedy) };
    }
    const region: unknown = placement !== undefined && "region" in placement ? placement.region : undefined;
    return { vars, placementRegion: typeof region === "string" ? region : undefined, problem: undefined };
  } catch (error) {
    // wrangler's first line is a heading; what is wrong stands below it.
    const lines = String(error instanceof Error ? error.message : error)
      .split("\n")
      .slice(0, 3);
    return { ...nothing, problem: bad("wrangler.toml cannot be read", lines.map((line) => line.trim()).join(" ")) };
  }
}
