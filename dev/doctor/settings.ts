// The settings that a deployment will have, and their mistakes: from wrangler's configuration, and DATABASE_URL from this shell or
// from the file with the secret. Needs no network. No value is ever part of a finding.
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isDeepStrictEqual, parseEnv } from "node:util";
import { type Settings, SettingsSchema, readSettings } from "../../src/settings.ts";
import { type Finding, bad, ok } from "../checklist.ts";
import { type ConfigFile, readConfigFile } from "./config.ts";

export interface SettingsSource {
  /** The path of wrangler's configuration. */
  configFile: string;
  /** The path of the file with DATABASE_URL; by default `.env.NAME` beside a `wrangler.NAME.toml`, else `.env.production`. */
  secretsFile?: string | undefined;
  /** `process.env`. */
  variables: Record<string, string | undefined>;
  /** Settings that take the place of the file's, as `wrangler deploy --var NAME:VALUE` does. */
  overrides?: Record<string, string>;
}

interface GatheredSettings {
  findings: Finding[];
  /** Complete: harmless values replace broken ones, so that the rest can be checked. */
  settings: Settings;
  /** The names of missing and malformed settings. */
  broken: ReadonlySet<string>;
  config: ConfigFile;
}

const HARMLESS = {
  DATABASE_URL: "postgresql://none:none@localhost/none",
  JWT_ISSUER: "http://localhost",
  JWT_AUDIENCE: "none",
  JWKS_URL: "http://localhost",
};
const NAMES = Object.keys(SettingsSchema.shape);

/** Never throws for a mistake of the operator: that becomes a finding. */
export async function gatherSettings(source: SettingsSource): Promise<GatheredSettings> {
  const { configFile, variables } = source;
  const config = await readConfigFile(configFile);
  const [, environment = "production"] = /^wrangler\.(.+)\.toml$/.exec(config.name) ?? [];
  const secretsFile = source.secretsFile ?? join(dirname(configFile), `.env.${environment}`);
  const secretsName = basename(secretsFile);
  const secrets = parseEnv(await readFile(secretsFile, "utf8").catch(() => ""));
  const findings = [...config.findings, ...checkSecrets(secrets, secretsName)];
  const defaults = readSettings(HARMLESS);
  if (!defaults.ok) throw new Error(defaults.problems.join("; "));
  if (config.vars === undefined) {
    return { findings, settings: defaults.settings, broken: new Set(Object.keys(HARMLESS)), config };
  }

  const given: Record<string, unknown> = { ...config.vars, ...source.overrides };
  for (const name of Object.keys(config.vars).filter((each) => !NAMES.includes(each))) {
    findings.push(bad(`the Worker has no setting ${name} (${config.name})`, "Misspelt? docs/settings.md lists them."));
  }
  const isHereOnly = (name: string) => name !== "DATABASE_URL" && Boolean(variables[name]) && !given[name];
  for (const name of NAMES.filter(isHereOnly)) {
    const remedy = `Set it in ${config.name} under [vars].`;
    findings.push(bad(`${name} is set only in this shell: the Worker won't have it`, remedy));
  }
  given["DATABASE_URL"] = variables["DATABASE_URL"] || secrets["DATABASE_URL"];

  const findOrigin = (name: string) => {
    if (name !== "DATABASE_URL") return config.name;
    return variables[name] ? "environment" : secretsName;
  };
  const explainMissing = (name: string) =>
    name === "DATABASE_URL"
      ? `Write DATABASE_URL='…' into ${secretsName}, which git ignores. A deployment with this option gives it to the Worker:
--secrets-file ${secretsName}`
      : `Set it in ${config.name} under [vars].`;
  const read = readSettings(given);
  const broken = new Set<string>();
  for (const problem of read.ok ? [] : read.problems) {
    const [name = ""] = problem.split(" ", 1);
    const remedy = given[name] ? `Correct it in its source: ${findOrigin(name)}.` : explainMissing(name);
    if (!isHereOnly(name)) findings.push(bad(problem, `${remedy}\ndocs/settings.md explains it.`));
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
  return { findings, settings: repaired.settings, broken, config };
}

/** Findings about a file for `wrangler deploy --secrets-file`. */
function checkSecrets(secrets: NodeJS.Dict<string>, fileName: string): Finding[] {
  const findings: Finding[] = [];
  const others = Object.keys(secrets).filter((name) => name !== "DATABASE_URL");
  if (others.length > 0) {
    const remedy = `Remove all lines but DATABASE_URL: --secrets-file makes each line a secret. Settings go under [vars],
where a variable of the same name would stop the next deployment.`;
    findings.push(bad(`${fileName} also has ${others.join(", ")}`, remedy));
  }
  if (secrets["DATABASE_URL"]?.includes("$") === true) {
    const remedy = "wrangler would expand it. Write %24, or use a password of letters and digits.";
    findings.push(bad(`DATABASE_URL in ${fileName} contains a $`, remedy));
  }
  return findings;
}
