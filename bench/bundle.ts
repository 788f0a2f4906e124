// Makes the bundles that are run: the product as a deployment uploads it, and the Workers of this folder that it is
// compared with, all by wrangler and minified, so that they differ in their source only.
import { copyFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { unstable_readConfig as readConfig } from "wrangler";
import { buildBundle } from "../dev/build.ts";
import { runWrangler } from "../dev/wrangler.ts";

const CONFIG_PATH = fileURLToPath(new URL("../wrangler.toml", import.meta.url));
const WORKERS_DIRECTORY = fileURLToPath(new URL("workers", import.meta.url));

export interface Bundle {
  directory: string;
  /** File names in `directory`, the entry first. */
  modules: string[];
  compatibilityDate: string;
  compatibilityFlags: string[];
}

function describeBundle(directory: string, modules: string[]): Bundle {
  const { compatibility_date: compatibilityDate = "", compatibility_flags: compatibilityFlags } = readConfig({
    config: CONFIG_PATH,
    env: "",
  });
  return { directory, modules, compatibilityDate, compatibilityFlags };
}

/** Bundles the product into a folder, which is emptied first. `gzipBytes` is the size of the upload. */
export async function bundleProduct(directory: string): Promise<Bundle & { gzipBytes: number }> {
  const { gzipBytes } = await buildBundle(directory);
  return { ...describeBundle(directory, ["index.js"]), gzipBytes };
}

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
