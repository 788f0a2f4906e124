// Bundles the Workers for comparison as the product is bundled, by wrangler and minified, so they differ in their source only.
import { copyFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { runWrangler } from "../dev/wrangler.ts";
import { type Bundle, describeBundle } from "../test/support/node/bundle.ts";

const WORKERS_DIRECTORY = fileURLToPath(new URL("workers", import.meta.url));

/** Bundles one of `bench/workers` with the product's compatibility date and flags. */
export async function bundleComparison(name: string, directory: string): Promise<Bundle> {
  const bundle = describeBundle(directory, [`${name}.js`]);
  const configPath = `${directory}.json`;
  const config = {
    name,
    main: join(WORKERS_DIRECTORY, `${name}.ts`),
    compatibility_date: bundle.compatibilityDate,
    compatibility_flags: bundle.compatibilityFlags,
    keep_names: false,
    minify: true,
  };
  await writeFile(configPath, JSON.stringify(config));
  const { exitCode, output } = await runWrangler(
    ["deploy", `--config=${configPath}`, "--dry-run", `--outdir=${directory}`],
    { capture: true },
  );
  await rm(configPath);
  if (exitCode !== 0) throw new Error(`wrangler could not bundle ${name}:\n${output}`);
  return bundle;
}

/** The same bundle behind workers/clock.js, which moves its clock. */
export async function addClock(bundle: Bundle): Promise<Bundle> {
  await copyFile(join(WORKERS_DIRECTORY, "clock.js"), join(bundle.directory, "clock.js"));
  return { ...bundle, modules: ["clock.js", ...bundle.modules] };
}
