// The settings that a deployment will have, and what is wrong with them. Reads the environment, then `.env.production`
// (`.env.NAME` for another environment), then wrangler.toml. No value is ever part of a finding.
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parseEnv } from "node:util";
import { type Settings, SettingsSchema, readSettings } from "../../src/settings.ts";
import { type Finding, bad, ok } from "../checklist.ts";

export interface SettingsSource {
  /** wrangler.toml; the file with secrets lies beside it. */
  configFile: URL;
  /** The name of an [env.NAME] in it; production if undefined. */
  environmentName: string | undefined;
  /** `process.env`. */
  variables: Record<string, string | undefined>;
}

interface GatheredSettings {
  findings: Finding[];
  /** Complete: something harmless stands in for what is broken, so that the rest can be checked. */
  settings: Settings;
  /** The names of settings that are missing or malformed. */
  broken: ReadonlySet<string>;
  /** wrangler.toml's `placement.region`, such as `aws:us-east-1`. */
  placementRegion: string | undefined;
}

const HARMLESS = {
  DATABASE_URL: "postgresql://nobody:nothing@localhost/none",
  JWT_ISSUER: "http://localhost",
  JWT_AUDIENCE: "none",
  JWKS_URL: "http://localhost",
};

/** Never throws for what the operator wrote: that becomes a finding. */
export async function gatherSettings(source: SettingsSource): Promise<GatheredSettings> {
  const { configFile, environmentName, variables } = source;
  const secretsFile = `.env.${environmentName ?? "production"}`;
  const putSecret = `npx wrangler secret put DATABASE_URL${environmentName === undefined ? "" : ` --env ${environmentName}`}`;
  const secrets = parseEnv(await readFile(new URL(secretsFile, configFile), "utf8").catch(() => ""));
  const { vars, placementRegion, findings } = await readWranglerConfig(source);

  const given: Record<string, unknown> = {};
  const origins: Record<string, string> = {};
  const sources = { "wrangler.toml": vars, [secretsFile]: secrets, environment: variables };
  for (const [origin, values] of Object.entries(sources)) {
    for (const [name, value] of Object.entries(values)) {
      if (name in SettingsSchema.shape) {
        if (value === undefined || value === "") continue;
        given[name] = value;
        origins[name] = origin;
      } else if (origin !== "environment") {
        findings.push(bad(`the Worker has no setting ${name} (${origin})`, "Misspelt? docs/settings.md lists them."));
      }
    }
  }
  if ("DATABASE_URL" in vars) {
    const remedy = `Remove the line, change the password, then: ${putSecret}`;
    findings.push(bad("DATABASE_URL is in wrangler.toml, a file that is committed", remedy));
  }

  const explainMissing = (name: string) =>
    name === "DATABASE_URL"
      ? `For the Worker: ${putSecret}\nFor the doctor: export DATABASE_URL, or write DATABASE_URL=… into ${secretsFile}, which git ignores.`
      : `Set it in wrangler.toml under ${environmentName === undefined ? "[vars]" : `[env.${environmentName}.vars]`}.`;
  const read = readSettings(given);
  const broken = new Set<string>();
  for (const problem of read.ok ? [] : read.problems) {
    const [name = ""] = problem.split(" ", 1);
    const origin = origins[name];
    const remedy = origin === undefined ? explainMissing(name) : `Correct it where it stands: ${origin}.`;
    findings.push(bad(problem, `${remedy}\nIts meaning: docs/settings.md#${name.toLowerCase()}`));
    broken.add(name);
    delete given[name];
  }
  const names = Object.keys(given).map((name) => `${name} (${origins[name]})`);
  if (names.length > 0) findings.push(ok(`settings: ${names.join(", ")}; the others have their defaults`));

  const repaired = readSettings({ ...HARMLESS, ...given });
  if (!repaired.ok) throw new Error(`settings that cannot be repaired: ${repaired.problems.join("; ")}`);
  return { findings, settings: repaired.settings, broken, placementRegion };
}

async function readWranglerConfig({ configFile, environmentName }: SettingsSource) {
  const { unstable_readConfig: readConfig } = await import("wrangler");
  const fail = (text: string, remedy: string) => ({
    vars: {},
    placementRegion: undefined,
    findings: [bad(text, remedy)],
  });
  try {
    const file = { config: fileURLToPath(configFile), env: environmentName };
    const { definedEnvironments = [], vars, placement } = readConfig(file, { hideWarnings: true });
    if (environmentName !== undefined && !definedEnvironments.includes(environmentName)) {
      return fail(`wrangler.toml has no environment ${environmentName}`, "Leave out --env to check production.");
    }
    const region = placement !== undefined && "region" in placement ? String(placement.region) : undefined;
    return { vars, placementRegion: region, findings: [] as Finding[] };
  } catch (error) {
    // wrangler's first line is a heading; the reason stands below it.
    const lines = String(error instanceof Error ? error.message : error).split("\n", 3);
    return fail("wrangler.toml cannot be read", lines.map((line) => line.trim()).join(" "));
  }
}
