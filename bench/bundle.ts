// Makes the bundles that are measured, all with the command that deploys: `wrangler deploy --dry-run`, so that
// the product, the limits and the tutorial Worker differ in their source only. Running them is left to workerd.ts.

import { cp, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { unstable_readConfig as readConfig } from "wrangler";
import { run } from "./processes.ts";

export const projectDirectory = fileURLToPath(new URL("..", import.meta.url));
const workersDirectory = fileURLToPath(new URL("workers", import.meta.url));

export type Bundle = {
  name: string;
  directory: string;
  /** File names in `directory`, the entry first. */
  modules: string[];
  compatibilityDate: string;
  compatibilityFlags: string[];
  variables: Record<string, string>;
  assetsBinding: string | undefined;
  /** Of all modules together, as they are uploaded. */
  gzipBytes: number;
};

export type BundleOptions = { outputDirectory: string; minify: boolean };

type Settings = Pick<Bundle, "compatibilityDate" | "compatibilityFlags" | "variables" | "assetsBinding"> & {
  keepNames: boolean;
};

const quiet = {
  DO_NOT_TRACK: "1",
  WRANGLER_HIDE_BANNER: "true",
  WRANGLER_SEND_ERROR_REPORTS: "false",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_WRITE_LOGS: "false",
};

function readSettings(projectPath: string): Settings {
  const config = readConfig({ config: join(projectPath, "wrangler.toml"), env: "" });
  return {
    compatibilityDate: config.compatibility_date ?? "2026-10-01",
    compatibilityFlags: config.compatibility_flags,
    variables: Object.fromEntries(
      Object.entries(config.vars).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
    ),
    assetsBinding: config.assets?.binding,
    // wrangler's own default.
    keepNames: config.keep_names ?? true,
  };
}

async function runWrangler(args: string[], cwd: string, { outputDirectory, minify }: BundleOptions): Promise<void> {
  const wrangler = join(dirname(createRequire(import.meta.url).resolve("wrangler/package.json")), "bin/wrangler.js");
  await run(
    process.execPath,
    [wrangler, "deploy", ...args, "--env=", "--dry-run", `--outdir=${outputDirectory}`, `--minify=${minify}`],
    { cwd, env: { ...process.env, ...quiet }, timeoutSeconds: 120 },
  );
}

async function measureGzip(directory: string, modules: string[]): Promise<number> {
  const contents = await Promise.all(modules.map((name) => readFile(join(directory, name))));
  return gzipSync(Buffer.concat(contents), { level: 9 }).byteLength;
}

async function listModules(directory: string): Promise<string[]> {
  const names = (await readdir(directory)).filter((name) => /\.(m?js|wasm|txt|html|bin)$/.test(name));
  const entry = names.find((name) => /\.m?js$/.test(name));
  if (entry === undefined) throw new Error(`no module in ${directory}`);
  return [entry, ...names.filter((name) => name !== entry)];
}

async function describeBundle(name: string, directory: string, settings: Settings): Promise<Bundle> {
  const modules = await listModules(directory);
  return { name, directory, modules, ...settings, gzipBytes: await measureGzip(directory, modules) };
}

/** Bundles a project that has a wrangler.toml. */
async function bundleProject(name: string, directory: string, options: BundleOptions): Promise<Bundle> {
  await runWrangler([], directory, options);
  return describeBundle(name, options.outputDirectory, readSettings(directory));
}

/** Bundles one of `bench/workers` as the product is bundled: its date, flags and treatment of names. */
export async function bundleComparison(name: string, options: BundleOptions): Promise<Bundle> {
  const product = readSettings(projectDirectory);
  const config = {
    name,
    main: join(workersDirectory, `${name}.ts`),
    compatibility_date: product.compatibilityDate,
    compatibility_flags: product.compatibilityFlags,
    keep_names: product.keepNames,
  };
  const configPath = `${options.outputDirectory}.json`;
  await writeFile(configPath, JSON.stringify(config));
  await runWrangler([`--config=${configPath}`], projectDirectory, options);
  return describeBundle(name, options.outputDirectory, { ...product, variables: {}, assetsBinding: undefined });
}

/**
 * The Worker under test: the product, or what `path` names: a project with a wrangler.toml, the folder of a finished
 * bundle, or its one file. A finished bundle is copied, and runs with the product's compatibility settings and variables.
 */
export async function bundleWorker(path: string | undefined, options: BundleOptions): Promise<Bundle> {
  const target = path === undefined ? projectDirectory : resolve(path);
  const isDirectory = (await stat(target)).isDirectory();
  if (isDirectory && (await readdir(target)).includes("wrangler.toml")) {
    return bundleProject("worker", target, options);
  }
  await cp(target, isDirectory ? options.outputDirectory : join(options.outputDirectory, basename(target)), {
    recursive: isDirectory,
  });
  return describeBundle("worker", options.outputDirectory, readSettings(projectDirectory));
}
