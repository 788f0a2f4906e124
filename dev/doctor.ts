// `npm run doctor`: checks settings, issuer, key set and database of a deployment, before it is made or later.
// Guarantees that nothing is changed, no secret printed, and that the exit code is 1 if anything is wrong.
// Leaves the deployed Worker itself to `npm run smoke`.
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { type Finding, formatFinding, skipped } from "./checklist.ts";
import { checkDatabase } from "./doctor/database.ts";
import { checkIssuer, checkKeySet } from "./doctor/issuer.ts";
import { type SettingsSource, gatherSettings } from "./doctor/settings.ts";

export interface DoctorOptions extends SettingsSource {
  /** For an issuer that publishes no metadata. */
  withoutMetadata: boolean;
}

const HELP = `Usage: npm run doctor -- [--env NAME] [--without-metadata]

Checks the settings, the issuer, its keys and the database of a deployment. Changes nothing.

  --env NAME           an environment of wrangler.toml in place of production
  --config FILE        another wrangler.toml
  --without-metadata   for an issuer that publishes no metadata
  --help               this text

Settings are read from wrangler.toml, DATABASE_URL from this shell or from .env.production (.env.NAME with --env). Cloudflare
doesn't show a secret again, so the doctor needs a copy.
`;

/** Returns the findings in order. Throws only for a bug of the doctor. */
export async function diagnose(options: DoctorOptions): Promise<Finding[]> {
  const { findings, settings, broken, placement } = await gatherSettings(options);
  const check = async (needed: string[], run: () => Promise<Finding[]>): Promise<Finding[]> => {
    const missing = needed.filter((name) => broken.has(name));
    return missing.length === 0 ? run() : [skipped(`not checked: ${missing.join(", ")} must be set first`)];
  };
  return [
    ...findings,
    ...(options.withoutMetadata ? [] : await check(["JWT_ISSUER", "JWKS_URL"], () => checkIssuer(settings))),
    ...(await check(["JWKS_URL", "JWT_ALGORITHMS"], () => checkKeySet(settings))),
    ...(await check(["DATABASE_URL", "NEON_FETCH_ENDPOINT"], () => checkDatabase(settings, placement))),
  ];
}

async function main(): Promise<void> {
  const flag = { type: "boolean", default: false } as const;
  const text = { type: "string" } as const;
  const config = { ...text, default: fileURLToPath(new URL("../wrangler.toml", import.meta.url)) };
  const options = { env: text, config, "without-metadata": flag, help: flag } as const;
  const { values } = parseArgs({ options });
  if (values.help) return console.log(HELP);
  const findings = await diagnose({
    configFile: pathToFileURL(resolve(values.config)),
    environmentName: values.env || process.env["CLOUDFLARE_ENV"] || undefined,
    variables: process.env,
    withoutMetadata: values["without-metadata"],
  });
  const count = (mark: Finding["mark"]) => findings.filter((finding) => finding.mark === mark).length;
  for (const finding of findings) console.log(formatFinding(finding));
  console.log(
    `\n${count("ok")} ✓, ${count("bad")} ✗${count("skipped") === 0 ? "" : `, ${count("skipped")} not checked`}`,
  );
  if (count("bad") + count("skipped") > 0) process.exitCode = 1;
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
