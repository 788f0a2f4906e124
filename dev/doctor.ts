// `npm run doctor`: checks of a deployment from outside, before it and after: settings, issuer, key set, database, table, role.
// Guarantees that nothing is changed, no secret printed, and that the exit code is 1 if anything is wrong.
// Leaves the deployed Worker itself to `npm run smoke`.
import { parseArgs } from "node:util";
import { type Finding, formatFinding, isHealthy, skipped, summarize } from "./checklist.ts";
import { checkDatabase } from "./doctor/database.ts";
import { checkIssuer, checkKeySet } from "./doctor/issuer.ts";
import { type SettingsSource, gatherSettings } from "./doctor/settings.ts";

export interface DoctorOptions extends SettingsSource {
  /** For an issuer that publishes no metadata. */
  withoutMetadata: boolean;
}

const HELP = `Usage: npm run doctor -- [--env NAME] [--without-metadata]

Checks settings, issuer, key set, database, table and role of a deployment; changes nothing.

  --env NAME           an environment of wrangler.toml other than production
  --without-metadata   for an issuer that publishes none
  --help               this text

Settings come from this shell's environment, then .env.production (.env.NAME with --env), then wrangler.toml. Secrets that
were given to the platform cannot be read back: put DATABASE_URL into one of the first two.
`;

/** Gives the findings in order. Throws only for a fault of the doctor itself. */
export async function diagnose(options: DoctorOptions): Promise<Finding[]> {
  const { findings, settings, broken, placementRegion } = await gatherSettings(options);
  const check = async (needed: string[], run: () => Promise<Finding[]>): Promise<Finding[]> => {
    const missing = needed.filter((name) => broken.has(name));
    return missing.length === 0 ? run() : [skipped(`not checked: ${missing.join(", ")} must be set first`)];
  };
  return [
    ...findings,
    ...(options.withoutMetadata ? [] : await check(["JWT_ISSUER", "JWKS_URL"], () => checkIssuer(settings))),
    ...(await check(["JWKS_URL", "JWT_ALGORITHMS"], () => checkKeySet(settings))),
    ...(await check(["DATABASE_URL", "NEON_FETCH_ENDPOINT"], () => checkDatabase(settings, placementRegion))),
  ];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      env: { type: "string" },
      "without-metadata": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(HELP);
    return;
  }
  const findings = await diagnose({
    configFile: new URL("../wrangler.toml", import.meta.url),
    environmentName: values.env,
    variables: process.env,
    withoutMetadata: values["without-metadata"],
  });
  for (const finding of findings) console.log(formatFinding(finding));
  console.log(`\n${summarize(findings)}`);
  if (!isHealthy(findings)) process.exitCode = 1;
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
