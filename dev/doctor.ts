// `npm run doctor`: what can be checked of a deployment from outside, before it and after, one line each.
// Guarantees that nothing is changed, no secret printed, and that the exit code is 1 if anything is wrong.
// Leaves the deployed Worker itself to smoke.ts.
import { parseArgs } from "node:util";
import { type Finding, formatFinding, isHealthy, skipped, summarize } from "./checklist.ts";
import { type ClockReading, checkClocks } from "./doctor/clock.ts";
import { type ConfigurationSource, readConfiguration } from "./doctor/configuration.ts";
import { checkDatabase } from "./doctor/database.ts";
import { checkIssuer, checkKeySet } from "./doctor/issuer.ts";

export interface Section {
  title: string;
  findings: Finding[];
}

export interface DoctorOptions extends ConfigurationSource {
  /** For an issuer that publishes no metadata. */
  withoutMetadata: boolean;
}

const help = `Usage: npm run doctor -- [--env NAME] [--without-metadata]

Checks settings, issuer, key set, database, role and clocks of a deployment; changes nothing.

  --env NAME           the environment of wrangler.toml, such as production
  --without-metadata   for an issuer that publishes none
  --help               this text

Settings come from this shell's environment, then .dev.vars (.dev.vars.NAME with --env), then wrangler.toml. Secrets that
were given to the platform cannot be read back: put DATABASE_URL into one of the first two.
`;

/** Yields each section as soon as it is known. Problems are findings; what is thrown is a fault of the doctor itself. */
export async function* examine(options: DoctorOptions): AsyncGenerator<Section> {
  const configuration = await readConfiguration(options);
  const { settings, broken } = configuration;
  yield { title: "Settings", findings: configuration.findings };

  const clocks: ClockReading[] = [];
  const needs = async (names: string[], check: () => Promise<Finding[]>): Promise<Finding[]> => {
    const missing = names.filter((name) => broken.has(name));
    return missing.length === 0 ? check() : [skipped(`not checked: ${missing.join(", ")} must be set first`)];
  };
  const metadata = options.withoutMetadata
    ? []
    : await needs(["JWT_ISSUER", "JWKS_URL"], () => checkIssuer(settings, clocks));
  const keySet = await needs(["JWKS_URL", "JWT_ALGORITHMS"], () => checkKeySet(settings, clocks));
  yield { title: "Issuer", findings: [...metadata, ...keySet] };

  const database = await needs(["DATABASE_URL", "NEON_FETCH_ENDPOINT"], () =>
    checkDatabase(settings, configuration.placementRegion, clocks),
  );
  yield { title: "Database", findings: database };
  yield { title: "Clocks", findings: checkClocks(clocks, settings.JWT_LEEWAY_SECONDS) };
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
    process.stdout.write(help);
    return;
  }
  const sections = examine({
    configFile: new URL("../wrangler.toml", import.meta.url),
    environmentName: values.env,
    variables: process.env,
    withoutMetadata: values["without-metadata"],
  });
  const findings: Finding[] = [];
  for await (const section of sections) {
    if (section.findings.length === 0) continue;
    console.log(`\n${section.title}`);
    for (const finding of section.findings) console.log(formatFinding(finding));
    findings.push(...section.findings);
  }
  console.log(`\n${summarize(findings)}`);
  if (!isHealthy(findings)) process.exitCode = 1;
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
