// The settings that a deployment will have, and their mistakes: wrangler.toml, and DATABASE_URL from this shell or from the file
// with the secret. Needs no network. No value is ever part of a finding.
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual, parseEnv } from "node:util";
import type { Unstable_Config } from "wrangler";
import { type Settings, SettingsSchema, readSettings } from "../../src/settings.ts";
import { type Finding, bad, hint, ok } from "../checklist.ts";

export interface SettingsSource {
  /** wrangler.toml. */
  configFile: URL;
  /** The name of an [env.NAME] in it; production if undefined. */
  environmentName: string | undefined;
  /** The file with DATABASE_URL; by default `.env.production` or `.env.NAME` beside wrangler.toml. */
  secretsFile?: URL | undefined;
  /** `process.env`. */
  variables: Record<string, string | undefined>;
  /** Settings that take the place of wrangler.toml's, as `wrangler deploy --var NAME:VALUE` does. */
  overrides?: Record<string, string>;
}

interface GatheredSettings {
  findings: Finding[];
  /** Complete: harmless values replace broken ones, so that the rest can be checked. */
  settings: Settings;
  /** The names of settings that are missing or malformed. */
  broken: ReadonlySet<string>;
  /** wrangler.toml's `placement`, such as `{ region: "aws:us-east-1" }`. */
  placement: Placement;
}

export type Placement = { mode?: string; region?: string } | undefined;

const HARMLESS = {
  DATABASE_URL: "postgresql://none:none@localhost/none",
  JWT_ISSUER: "http://localhost",
  JWT_AUDIENCE: "none",
  JWKS_URL: "http://localhost",
};
const NAMES = Object.keys(SettingsSchema.shape);

/** Never throws for a mistake of the operator: that becomes a finding. */
export async function gatherSettings(source: SettingsSource): Promise<GatheredSettings> {
  const { configFile, environmentName, variables } = source;
  const table = environmentName === undefined ? "[vars]" : `[env.${environmentName}.vars]`;
  const secretsFile = source.secretsFile ?? new URL(`.env.${environmentName ?? "production"}`, configFile);
  const secretsName = basename(fileURLToPath(secretsFile));
  const secrets = parseEnv(await readFile(secretsFile, "utf8").catch(() => ""));
  const { vars, placement, findings } = await readWranglerConfig(source);
  const defaults = readSettings(HARMLESS);
  if (!defaults.ok) throw new Error(defaults.problems.join("; "));
  if (vars === undefined) {
    return { findings, settings: defaults.settings, broken: new Set(Object.keys(HARMLESS)), placement };
  }
  const given: Record<string, unknown> = { ...vars, ...source.overrides };
  const findOrigin = (name: string) => {
    if (name !== "DATABASE_URL") return "wrangler.toml";
    return variables[name] ? "environment" : secretsName;
  };

  for (const name of Object.keys(vars).filter((each) => !NAMES.includes(each))) {
    findings.push(bad(`the Worker has no setting ${name} (wrangler.toml)`, "Misspelt? docs/settings.md lists them."));
  }
  if (given["DATABASE_URL"]) {
    const remedy = "Remove the line and change the password: docs/deploy.md#10-change-the-password";
    findings.push(bad("DATABASE_URL is in wrangler.toml, a file that is committed", remedy));
  }
  findings.push(...checkSecrets(secrets, secretsName));
  const isHereOnly = (name: string) => name !== "DATABASE_URL" && Boolean(variables[name]) && !given[name];
  for (const name of NAMES.filter(isHereOnly)) {
    findings.push(
      bad(`${name} is set only in this shell: the Worker won't have it`, `Set it in wrangler.toml under ${table}.`),
    );
  }
  given["DATABASE_URL"] = variables["DATABASE_URL"] || secrets["DATABASE_URL"];

  const explainMissing = (name: string) =>
    name === "DATABASE_URL"
      ? `Write DATABASE_URL='…' into ${secretsName}, which git ignores. This gives it to the Worker:
npm run deploy --${environmentName === undefined ? "" : ` --env ${environmentName}`} --secrets-file ${secretsName}`
      : `Set it in wrangler.toml under ${table}.`;
  const read = readSettings(given);
  const broken = new Set<string>();
  for (const problem of read.ok ? [] : read.problems) {
    const [name = ""] = problem.split(" ", 1);
    const remedy = given[name] ? `Correct it in its source: ${findOrigin(name)}.` : explainMissing(name);
    if (!isHereOnly(name))
      findings.push(bad(problem, `${remedy}\nExplained in docs/settings.md#${name.toLowerCase()}`));
    broken.add(name);
  }
  for (const name of broken) delete given[name];

  const repaired = readSettings({ ...HARMLESS, ...given });
  if (!repaired.ok) throw new Error(repaired.problems.join("; "));
  const isOwn = (name: string) =>
    !isDeepStrictEqual(Reflect.get(repaired.settings, name), Reflect.get(defaults.settings, name));
  const names = Object.keys(given).filter((name) => given[name] && NAMES.includes(name) && isOwn(name));
  const list = names.map((name) => `${name} (${findOrigin(name)})`).join(", ");
  if (names.length > 0) findings.push(ok(`settings: ${list}; the others have their defaults`));
  return { findings, settings: repaired.settings, broken, placement };
}

/** Findings about a file for `wrangler deploy --secrets-file`. */
function checkSecrets(secrets: NodeJS.Dict<string>, fileName: string): Finding[] {
  const findings: Finding[] = [];
  const others = Object.keys(secrets).filter((name) => name !== "DATABASE_URL");
  if (others.length > 0) {
    const remedy = `Remove all lines but DATABASE_URL: --secrets-file makes each line a secret. Settings go into wrangler.toml,
where a variable of the same name would stop the next deployment.`;
    findings.push(bad(`${fileName} also has ${others.join(", ")}`, remedy));
  }
  if (secrets["DATABASE_URL"]?.includes("$") === true) {
    const remedy = "wrangler would expand it. Write %24, or use a password of letters and digits.";
    findings.push(bad(`DATABASE_URL in ${fileName} contains a $`, remedy));
  }
  return findings;
}

async function readWranglerConfig({ configFile, environmentName }: SettingsSource) {
  const { unstable_readConfig: readConfig } = await import("wrangler");
  const fail = (text: string, remedy: string) => ({
    vars: undefined,
    placement: undefined,
    findings: [bad(text, remedy)],
  });
  try {
    const read = (env?: string) => readConfig({ config: fileURLToPath(configFile), env }, { hideWarnings: true });
    const config = read(environmentName);
    if (environmentName !== undefined && config.definedEnvironments?.includes(environmentName) !== true) {
      return fail(`wrangler.toml has no environment ${environmentName}`, "Leave out --env to check production.");
    }
    const { vars, placement } = config as { vars: Record<string, unknown>; placement: Placement };
    const findings = environmentName === undefined ? [] : compareEnvironment(environmentName, config, read(""));
    return { vars, placement, findings };
  } catch (error) {
    // wrangler's first line is a heading; the reason follows.
    const lines = String(error instanceof Error ? error.message : error).split("\n", 3);
    return fail("wrangler.toml can't be read", lines.map((line) => line.trim()).join(" "));
  }
}

/** Finds values that an environment must not share with production, and sections that it doesn't inherit. */
function compareEnvironment(name: string, own: Unstable_Config, production: Unstable_Config): Finding[] {
  const findings: Finding[] = [];
  const listDomains = ({ route, routes = [] }: Unstable_Config) =>
    [route, ...routes].flatMap((each) => (typeof each === "object" ? each.pattern : (each ?? [])));
  const shared = listDomains(own).filter((domain) => listDomains(production).includes(domain));
  if (shared.length > 0) {
    const remedy = `It would take the domain over. Give [env.${name}] its own routes, or routes = [] and workers_dev = true.`;
    findings.push(bad(`[env.${name}] has production's ${shared.join(", ")}, by inheritance or as a copy`, remedy));
  }
  if (own.name === production.name) {
    findings.push(bad(`[env.${name}] has production's name, and would replace it`, "Give it another name."));
  }
  const missing = [
    own.secrets?.required?.includes("DATABASE_URL") === true ? [] : `[env.${name}.secrets]`,
    own.version_metadata === undefined ? `[env.${name}.version_metadata]` : [],
  ].flat();
  if (missing.length > 0) {
    const remedy = "It isn't inherited: copy the section without env from the top of wrangler.toml.";
    findings.push(hint(`wrangler.toml lacks ${missing.join(" and ")}`, remedy));
  }
  return findings;
}
