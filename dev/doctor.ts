// `npm run doctor`: checks settings, issuer, key set and database of a deployment, before it is made or later.
// Guarantees that nothing is changed, no secret printed, and that the exit code is 1 if anything is wrong.
// Leaves the deployed Worker itself to `npm run smoke`.
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import type { JWK } from "jose";
import { type Finding, formatFinding, skipped } from "./checklist.ts";
import { findConfigFile } from "./doctor/config.ts";
import { checkDatabase } from "./doctor/database.ts";
import { checkIssuer, checkKeySet } from "./doctor/issuer.ts";
import { type SettingsSource, gatherSettings } from "./doctor/settings.ts";
import { NO_TOKEN, checkToken } from "./doctor/token.ts";
import { showProgress } from "./progress.ts";

export interface DoctorOptions extends SettingsSource {
  /** For an issuer that publishes no metadata. */
  withoutMetadata?: boolean;
  /** An access token to be checked. */
  token?: string | undefined;
  /** Gets the name of each step that may take seconds. */
  onStep?: (step: string) => void;
}

const HELP = `Usage: npm run doctor -- [--config FILE] [--token TOKEN] [--without-metadata]

Checks the settings, the issuer, its keys, a token and the database of a deployment. Changes nothing.

  --config FILE        wrangler's configuration; by default wrangler.production.toml or, if there is none, wrangler.toml
  --token TOKEN        an access token, which isn't sent anywhere (or the variable SMOKE_TOKEN)
  --without-metadata   for an issuer that publishes no metadata
  --help               this text

DATABASE_URL is read from this shell or from .env.production (.env.NAME for wrangler.NAME.toml). Cloudflare doesn't show a secret
again, so the doctor needs a copy. Every user of the machine can read arguments in the list of processes, but not variables.
`;

/** Yields each finding as soon as it is known. Throws only for a bug of the doctor. */
export async function* diagnose(options: DoctorOptions): AsyncGenerator<Finding> {
  const { findings, settings, broken, config } = await gatherSettings(options);
  yield* findings;
  async function* check(step: string, names: string[], run: () => AsyncIterable<Finding>): AsyncGenerator<Finding> {
    const missing = names.filter((name) => broken.has(name));
    if (missing.length > 0) yield skipped(`${step} isn't checked: ${missing.join(", ")} must be set first`);
    else {
      options.onStep?.(step);
      yield* run();
    }
  }
  if (options.withoutMetadata !== true) {
    yield* check("the issuer's metadata", ["JWT_ISSUER", "JWKS_URL"], () => checkIssuer(settings));
  }
  const keys: JWK[] = [];
  yield* check("the key set", ["JWKS_URL", "JWT_ALGORITHMS"], () => checkKeySet(settings, keys));
  const { token } = options;
  if (token === undefined) yield NO_TOKEN;
  else if (keys.length === 0) yield skipped("the token isn't checked: that needs the keys");
  else yield* check("the token", [...broken], () => checkToken(token, settings, keys));
  yield* check("the database", ["DATABASE_URL", "NEON_FETCH_ENDPOINT"], () => checkDatabase(settings, config));
}

async function main(): Promise<void> {
  const flag = { type: "boolean", default: false } as const;
  const text = { type: "string" } as const;
  const { values } = parseArgs({ options: { config: text, token: text, "without-metadata": flag, help: flag } });
  if (values.help) return console.log(HELP);
  const count = { ok: 0, bad: 0, hint: 0, skipped: 0 };
  let hideStep = () => {};
  const findings = diagnose({
    configFile: resolve(values.config ?? findConfigFile()),
    variables: process.env,
    withoutMetadata: values["without-metadata"],
    token: values.token ?? process.env["SMOKE_TOKEN"],
    onStep: (step) => {
      hideStep();
      hideStep = showProgress(step);
    },
  });
  for await (const finding of findings) {
    hideStep();
    console.log(formatFinding(finding));
    count[finding.mark] += 1;
  }
  console.log(`\n${count.ok} ✓, ${count.bad} ✗${count.skipped === 0 ? "" : `, ${count.skipped} not checked`}`);
  if (count.bad + count.skipped > 0) process.exitCode = 1;
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
