// The bundle of the product as a deployment uploads it, for workerd.ts.
import { fileURLToPath } from "node:url";
import { unstable_readConfig as readConfig } from "wrangler";
import { buildBundle } from "../../../dev/build.ts";

const CONFIG_PATH = fileURLToPath(new URL("../../../wrangler.toml", import.meta.url));

export interface Bundle {
  directory: string;
  /** File names in `directory`, the entry first. */
  modules: string[];
  compatibilityDate: string;
  compatibilityFlags: string[];
}

export function describeBundle(directory: string, modules: string[]): Bundle {
  const { compatibility_date: date = "", compatibility_flags: flags } = readConfig({ config: CONFIG_PATH, env: "" });
  return { directory, modules, compatibilityDate: date, compatibilityFlags: flags };
}

/** Bundles the product into a folder, which is emptied first. `gzipBytes` is the size of the upload. */
export async function bundleProduct(directory: string): Promise<Bundle & { gzipBytes: number }> {
  const { gzipBytes } = await buildBundle(directory);
  return { ...describeBundle(directory, ["index.js"]), gzipBytes };
}
