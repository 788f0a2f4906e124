// `npm run deploy`: checks the configuration and the bundle's size, then passes all arguments on to `wrangler deploy`.
// Guarantees that no bundle that is too large is uploaded, and no Worker that could only respond with "misconfigured".
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { type SizeLimits, checkSize } from "./build.ts";
import { formatFinding } from "./checklist.ts";
import { gatherSettings } from "./doctor/settings.ts";
import { ROOT_DIRECTORY, runWrangler } from "./wrangler.ts";

/** Returns the exit code. */
export async function deploy(args: readonly string[], sizeLimits?: SizeLimits): Promise<number> {
  const { findings } = await gatherSettings(readSource(args));
  // The deployed Worker may have the secret already. If it hasn't, wrangler refuses: `[secrets]` in wrangler.toml.
  const obstacles = findings.filter(({ mark, text }) => mark === "bad" && text !== "DATABASE_URL is required");
  for (const finding of obstacles) console.error(formatFinding(finding));
  if (obstacles.length > 0) {
    console.error("\nNothing was uploaded. `npm run doctor` checks the rest, too.");
    return 1;
  }
  if (!(await checkSize(sizeLimits))) return 1;
  console.log();
  return (await runWrangler(["deploy", ...args], { capture: false })).exitCode;
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
      config: { ...text, short: "c", default: "wrangler.toml" },
      "secrets-file": text,
      var: { ...text, multiple: true },
    },
  });
  const toUrl = (path: unknown) => pathToFileURL(resolve(ROOT_DIRECTORY, String(path)));
  const { config, env = process.env["CLOUDFLARE_ENV"], "secrets-file": secrets } = values;
  // wrangler also takes several values after one `--var`.
  const assignments = [values.var ?? [], positionals].flat().map((each) => /^(\w+):(.*)$/s.exec(String(each)));
  return {
    configFile: toUrl(config),
    environmentName: env ? String(env) : undefined,
    secretsFile: secrets === undefined ? undefined : toUrl(secrets),
    variables: {},
    overrides: Object.fromEntries(assignments.flatMap((each) => (each === null ? [] : [[each[1], each[2]]]))),
  };
}

if (import.meta.main) process.exitCode = await deploy(process.argv.slice(2));
