// The settings that a deployment will have, from where an operator keeps them, and what is wrong with them.
// Reads this process's environment, then `.env.production` (`.env.NAME` for another environment), then wrangler.toml.
// No value is ever part of a finding.
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
  broken: ReadonlySet<string>;
  /** wrangler.toml's `placement.region`, such as `aws:us-east-1`. */
  placementRegion: string | undefined;
}

const SECRET_NAME = "DATABASE_URL";
const HARMLESS = {
  DATABASE_URL: "postgresql://nobody:nothing@localhost/none",
  JWT_ISSUER: "http://localhost",
  JWT_AUDIENCE: "none",
  JWKS_URL: "http://localhost",
};

/** Never throws for what the operator wrote: that becomes a finding. */
export async function gatherSettings(source: SettingsSource): Promise<GatheredSettings> {
  const { configFile, environmentName } = source;
  const flag = environmentName === undefined ? "" : ` --env ${environmentName}`;
  const secretsFile = `.env.${environmentName ?? "production"}`;
  const secrets = parseEnv(await readFile(new URL(secretsFile, configFile), "utf8").catch(() => ""));
  const { vars, placementRegion, findings } = await readWranglerConfig(source);

  const names = Object.keys(SettingsSchema.shape);
  const given: Record<string, unknown> = {};
  const origins = new Map<string, string>();
  for (const [origin, values] of Object.entries({
    "wrangler.toml": vars,
    [secretsFile]: secrets,
    environment: source.variables,
  })) {
    for (const [name, value] of Object.entries(values)) {
      if (!names.includes(name)) {
        if (origin === "environment") continue;
        findings.push(bad(`${name} (${origin}) is no setting of the Worker`, "Misspelt? docs/settings.md lists them."));
      } else if (value !== undefined && value !== "") {
        given[name] = value;
        origins.set(name, origin);
      }
    }
  }
  const putSecret = `npx wrangler secret put ${SECRET_NAME}${flag}`;
  if (vars[SECRET_NAME] !== undefined) {
    const remedy = `Remove the line, change the password, then: ${putSecret}`;
    findings.push(bad(`${SECRET_NAME} is written in wrangler.toml, a file that is committed`, remedy));
  }

  const read = readSettings(given);
  const broken = new Map((read.ok ? [] : read.problems).map((problem) => [problem.split(" ", 1)[0] ?? "", problem]));
  for (const [name, problem] of broken) {
    const origin = origins.get(name);
    const where =
      origin !== undefined
        ? `Correct it where it comes from: ${origin}.`
        : name === SECRET_NAME
          ? `For the Worker: ${putSecret}\nFor this check: export ${name}, or a line ${name}=… in ${secretsFile}, which git ignores.`
          : `Set it in wrangler.toml under ${environmentName === undefined ? "[vars]" : `[env.${environmentName}.vars]`}.`;
    findings.push(bad(problem, `${where}\nWhat it is for: docs/settings.md#${name.toLowerCase()}`));
  }
  const good = [...origins].filter(([name]) => !broken.has(name)).map(([name, origin]) => `${name} (${origin})`);
  if (good.length > 0) findings.push(ok(`settings: ${good.join(", ")}; the others are left out or at their defaults`));

  const repaired = readSettings({
    ...HARMLESS,
    ...Object.fromEntries(Object.entries(given).filter(([name]) => !broken.has(name))),
  });
  if (!repaired.ok) throw new Error(`settings that cannot be repaired: ${repaired.problems.join("; ")}`);
  return { findings, settings: repaired.settings, broken: new Set(broken.keys()), placementRegion };
}

async function readWranglerConfig({ configFile, environmentName }: SettingsSource): Promise<{
  vars: Record<string, unknown>;
  placementRegion: string | undefined;
  findings: Finding[];
}> {
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
      return fail(`wrangler.toml has no environment ${environmentName}`, "Without --env, production is checked.");
    }
    const region: unknown = placement !== undefined && "region" in placement ? placement.region : undefined;
    return { vars, placementRegion: typeof region === "string" ? region : undefined, findings: [] };
  } catch (error) {
    // wrangler's first line is a heading; what is wrong stands below it.
    const lines = String(error instanceof Error ? error.message : error).split("\n", 3);
    return fail("wrangler.toml cannot be read", lines.map((line) => line.trim()).join(" "));
  }
}
