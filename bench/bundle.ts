// Bundles the Workers that the product is compared with as the product is bundled, by wrangler and minified: only their source differs.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { unstable_readConfig as readConfig } from "wrangler";
import { ROOT_DIRECTORY, runWrangler } from "../dev/wrangler.ts";
import type { Bundle } from "../test/support/node/bundle.ts";

const WORKERS_DIRECTORY = fileURLToPath(new URL("workers", import.meta.url));

/** Bundles one of `bench/workers`. */
export async function bundleComparison(name: string, directory: string): Promise<Bundle> {
  return bundle(join(WORKERS_DIRECTORY, `${name}.ts`), `${name}.js`, ROOT_DIRECTORY, directory);
}

/**
 * Bundles the Worker of another source tree: a checkout with its packages installed, or a commit that needs the packages
 * installed here.
 */
export async function bundleOther(source: string, directory: string): Promise<Bundle> {
  const isCheckout = existsSync(join(source, "src/index.ts"));
  const tree = isCheckout ? resolve(source) : await extractCommit(source, `${directory}-source`);
  return bundle(join(tree, "src/index.ts"), "index.js", tree, directory);
}

/** The same bundle behind workers/clock.js, which moves its clock. */
export async function addClock(bundle: Bundle): Promise<Bundle> {
  const [entry = ""] = bundle.modules;
  const source = await readFile(join(WORKERS_DIRECTORY, "clock.js"), "utf8");
  await writeFile(join(bundle.directory, "clock.js"), source.replaceAll("ENTRY", entry));
  return { ...bundle, modules: ["clock.js", ...bundle.modules] };
}

/** With the compatibility date and flags of the tree's wrangler.toml. */
async function bundle(main: string, output: string, tree: string, directory: string): Promise<Bundle> {
  const { compatibility_date: compatibilityDate = "", compatibility_flags: compatibilityFlags } = readConfig({
    config: join(tree, "wrangler.toml"),
    env: "",
  });
  const configPath = `${directory}.json`;
  await writeFile(
    configPath,
    JSON.stringify({
      name: "compared",
      main,
      compatibility_date: compatibilityDate,
      compatibility_flags: compatibilityFlags,
      keep_names: false,
      minify: true,
    }),
  );
  const args = ["deploy", `--config=${configPath}`, "--dry-run", `--outdir=${directory}`];
  const result = await runWrangler(args, { capture: true });
  await rm(configPath);
  if (result.exitCode !== 0) throw new Error(`wrangler could not bundle ${main}:\n${result.output}`);
  return { directory, modules: [output], compatibilityDate, compatibilityFlags };
}

async function extractCommit(commit: string, directory: string): Promise<string> {
  await mkdir(directory);
  const archive = join(directory, "source.tar");
  const paths = ["src", "package.json", "package-lock.json", "tsconfig.json", "tsconfig.base.json", "wrangler.toml"];
  try {
    const args = ["archive", `--output=${archive}`, commit, "--", ...paths];
    execFileSync("git", args, { cwd: ROOT_DIRECTORY, stdio: "ignore" });
  } catch (error) {
    throw new Error(`${commit} is neither a folder with src/index.ts nor a commit of this repository`, {
      cause: error,
    });
  }
  execFileSync("tar", ["-xf", archive, "-C", directory]);
  const [theirs, ours] = await Promise.all([readPackages(directory), readPackages(ROOT_DIRECTORY)]);
  if (theirs !== ours) {
    throw new Error(
      `${commit} needs ${theirs}, and ${ours} are installed here. Make a worktree of it, run npm ci there, and pass its folder.`,
    );
  }
  await symlink(join(ROOT_DIRECTORY, "node_modules"), join(directory, "node_modules"));
  return directory;
}

/** The versions of what is deployed, and of other packages, as "hono 4.13.19, …". */
export async function readPackages(tree: string, others: readonly string[] = []): Promise<string> {
  const readJson = async (name: string) => JSON.parse(await readFile(join(tree, name), "utf8")) as unknown;
  const { dependencies } = (await readJson("package.json")) as { dependencies: Record<string, string> };
  const { packages } = (await readJson("package-lock.json")) as { packages: Record<string, { version: string }> };
  return [...others, ...Object.keys(dependencies)]
    .map((name) => `${name} ${packages[`node_modules/${name}`]?.version}`)
    .join(", ");
}
