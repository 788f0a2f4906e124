// `npm run deploy`: checks the configuration and the bundle's size, then passes all arguments on to `wrangler deploy`.
// Guarantees that no bundle that is too large is uploaded, and no Worker that could only respond with "misconfigured".
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { type SizeLimits, checkSize } from "./build.ts";
import { type Finding, bad, formatFinding } from "./checklist.ts";
import { findConfigFile } from "./doctor/config.ts";
import { type SettingsSource, gatherSettings } from "./doctor/settings.ts";
import { ROOT_DIRECTORY, runWrangler } from "./wrangler.ts";

/** Returns the exit code. */
export async function deploy(args: readonly string[], sizeLimits?: SizeLimits): Promise<number> {
  const { environment, hasConfig, ...source } = readSource(args);
  const obstacles = await findObstacles(source);
  if (environment) {
    const remedy = "Use a file for each environment: docs/operations.md#a-staging-environment";
    obstacles.unshift(bad(`[env.${environment}] isn't checked, so it isn't deployed`, remedy));
  }
  for (const finding of obstacles) console.error(formatFinding(finding));
  if (obstacles.length > 0) {
    console.error("\nNothing was uploaded. `npm run doctor` checks the rest, too.");
    return 1;
  }
  console.log("Bundling the Worker to check its size");
  if (!(await checkSize(sizeLimits))) return 1;
  console.log();
  const config = hasConfig ? [] : [`--config=${source.configFile}`];
  return (await runWrangler(["deploy", ...config, ...args], { capture: false })).exitCode;
}

/** What would deploy a Worker that can't work. */
export async function findObstacles(source: SettingsSource): Promise<Finding[]> {
  const { findings } = await gatherSettings(source);
  // The deployed Worker may have the secret already. If it hasn't, wrangler refuses: `[secrets]` in its configuration.
  return findings.filter(({ mark, text }) => mark === "bad" && text !== "DATABASE_URL is required");
}

/** Where wrangler will find the settings, by its own options. This shell's variables don't reach the Worker. */
function readSource(args: readonly string[]) {
  const text = { type: "string" } as const;
  const { values, positionals } = parseArgs({
    args: [...args],
    strict: false,
    allowPositionals: true,
    options: {
      env: { ...text, short: "e" },
      config: { ...text, short: "c" },
      "secrets-file": text,
      var: { ...text, multiple: true },
    },
  });
  const { config, env = process.env["CLOUDFLARE_ENV"], "secrets-file": secrets } = values;
  // wrangler also takes several values after one `--var`.
  const assignments = [values.var ?? [], positionals].flat().map((each) => /^(\w+):(.*)$/s.exec(String(each)));
  return {
    configFile: config === undefined ? findConfigFile() : resolve(ROOT_DIRECTORY, String(config)),
    hasConfig: config !== undefined,
    environment: env,
    secretsFile: secrets === undefined ? undefined : resolve(ROOT_DIRECTORY, String(secrets)),
    variables: {},
    overrides: Object.fromEntries(assignments.flatMap((each) => (each === null ? [] : [[each[1], each[2]]]))),
  };
}

if (import.meta.main) process.exitCode = await deploy(process.argv.slice(2));
