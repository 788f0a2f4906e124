// wrangler's configuration of a deployment: which file it is in, what it must have, and its mistakes. Needs no network.
import { existsSync, globSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Unstable_RawConfig as RawConfig } from "wrangler";
import { type Finding, bad } from "../checklist.ts";
import { ROOT_DIRECTORY } from "../wrangler.ts";

export interface ConfigFile {
  /** Such as `wrangler.production.toml`. */
  name: string;
  /** Without DATABASE_URL; undefined if the file can't be read. */
  vars: Record<string, unknown> | undefined;
  placement: RawConfig["placement"];
  findings: Finding[];
}

/**
 * What a Worker of this version needs, whatever else an operator configures: section, key, value, reason. A list needs at least
 * these members.
 */
const REQUIREMENTS: [section: string, key: string, value: string | boolean | string[], reason: string][] = [
  ["", "compatibility_date", "2026-10-01", "The tests ran with it, and it decides how the runtime behaves."],
  [
    "",
    "compatibility_flags",
    ["enable_request_signal", "global_fetch_strictly_public"],
    "A wait ends when its client leaves, and an issuer on the same zone can be reached.",
  ],
  ["", "preview_urls", false, "A preview would serve production's data at another address."],
  [
    "assets",
    "run_worker_first",
    ["/api/*", "/health", "/ready", "/.well-known/*"],
    "Otherwise a file could replace a path of the API.",
  ],
  ["version_metadata", "binding", "CF_VERSION_METADATA", "Each log line names its version."],
  ["observability", "enabled", true, "Otherwise there are no log lines."],
  ["observability", "redact_query_string", true, "A client may put its token into the address."],
  ["observability.logs", "invocation_logs", false, "The platform's own lines contain whole addresses."],
  ["secrets", "required", ["DATABASE_URL"], "Otherwise a deployment can lack the password."],
];

const TEMPLATE = "wrangler.toml";
/** The operator's copy of it. */
const OWN_FILE = "wrangler.production.toml";

/** The operator's copy of wrangler.toml, or wrangler.toml itself as long as there is no copy. */
export function findConfigFile(): string {
  const own = join(ROOT_DIRECTORY, OWN_FILE);
  return existsSync(own) ? own : join(ROOT_DIRECTORY, TEMPLATE);
}

/** Never throws for a mistake of the operator: that becomes a finding. */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  const { experimental_readRawConfig: readRawConfig, unstable_readConfig: readConfig } = await import("wrangler");
  const name = basename(path);
  let raw: RawConfig;
  try {
    raw = readRawConfig({ config: path }).rawConfig;
  } catch (error) {
    return { name, vars: undefined, placement: undefined, findings: [bad(`${name} can't be read`, explain(error))] };
  }
  const { DATABASE_URL, ...vars } = raw.vars ?? {};
  const findings: Finding[] = [];
  try {
    readConfig({ config: path }, { hideWarnings: true });
  } catch (error) {
    // Among other things, wrangler rejects a variable with the name of a secret, for which there is better advice.
    if (DATABASE_URL === undefined) findings.push(bad(`wrangler can't use ${name}`, explain(error)));
  }
  if (DATABASE_URL !== undefined) {
    const remedy = "Remove the line and change the password: docs/operations.md#change-the-password";
    findings.push(bad(`DATABASE_URL is in ${name}, a file that is committed`, remedy));
  }
  findings.push(...checkRequirements(raw, name));
  const files = globSync("wrangler*.toml", { cwd: dirname(path) });
  // The template isn't deployed.
  const isDeployed = (file: string, { vars: variables }: RawConfig) =>
    Boolean(variables?.["JWT_ISSUER"]) && !(file === TEMPLATE && files.includes(OWN_FILE));
  for (const other of isDeployed(name, raw) ? files.filter((file) => file !== name) : []) {
    try {
      const { rawConfig } = readRawConfig({ config: join(dirname(path), other) });
      if (isDeployed(other, rawConfig)) findings.push(...compareFiles(raw, name, rawConfig, other));
    } catch {
      // To be found when that file is checked.
    }
  }
  return { name, vars, placement: raw.placement, findings };
}

/** wrangler's first line is a heading; the reason follows. A mistake of TOML has a line. */
function explain(error: unknown): string {
  const { message, location } = error as Error & { location?: { line: number } };
  const lines = message.split("\n", 3).map((line) => line.trim());
  return `${location === undefined ? "" : `Line ${location.line}: `}${lines.join(" ").trim()}`;
}

function checkRequirements(config: RawConfig, name: string): Finding[] {
  return REQUIREMENTS.flatMap(([section, key, value, reason]) => {
    const path = section === "" ? [] : section.split(".");
    const table = path.reduce<unknown>((parent, child) => Object(parent)[child], config);
    const found: unknown = Object(table)[key];
    // The path "/*" is every path.
    const has = (list: unknown[], member: string) =>
      list.includes(member) || (member.startsWith("/") && list.includes("/*"));
    const fits = Array.isArray(value)
      ? Array.isArray(found) && value.every((member) => has(found, member))
      : found === value;
    if (fits) return [];
    const where = section === "" ? "at the top" : `under [${section}]`;
    const text = `${key} in ${name} is ${found === undefined ? "missing" : JSON.stringify(found)}`;
    return [bad(text, `Write this ${where}: ${key} = ${JSON.stringify(value).replaceAll(",", ", ")}\n${reason}`)];
  });
}

/** Finds what two deployments must not share. */
function compareFiles(own: RawConfig, ownName: string, other: RawConfig, otherName: string): Finding[] {
  const findings: Finding[] = [];
  if (own.name === other.name) {
    const text = `${ownName} and ${otherName} have one name, ${own.name}: each would replace the other's Worker`;
    findings.push(bad(text, "Give each its own name."));
  }
  const listDomains = ({ route, routes = [] }: RawConfig) =>
    [route ?? [], routes].flat().map((each) => (typeof each === "object" ? each.pattern : each));
  const shared = listDomains(own).filter((domain) => listDomains(other).includes(domain));
  if (shared.length > 0) {
    const text = `${ownName} and ${otherName} both have ${shared.join(", ")}: each would take it from the other`;
    findings.push(bad(text, "Give each its own domain."));
  }
  return findings;
}
