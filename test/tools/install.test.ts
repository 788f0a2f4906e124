// What `npm ci` installs on any machine: package.json and its lockfile.
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";

interface Package {
  version: string;
  integrity?: string;
  os?: string | string[];
  cpu?: string | string[];
  hasInstallScript?: true;
  optional?: true;
  link?: true;
}

const ROOT = new URL("../../", import.meta.url);
const readJson = async (name: string): Promise<unknown> => JSON.parse(await readFile(new URL(name, ROOT), "utf8"));
const manifest = (await readJson("package.json")) as { optionalDependencies: Record<string, string> };
const { packages } = (await readJson("package-lock.json")) as { packages: Record<string, Package> };

test("Node comes for five platforms, at one version, pinned by its integrity", () => {
  const found = Object.keys(manifest.optionalDependencies).map((name) => packages[`node_modules/${name}`]);
  expect(found.map((each) => [each?.os, each?.cpu].flat().join("-")).toSorted()).toEqual([
    "darwin-arm64",
    "darwin-x64",
    "linux-arm64",
    "linux-x64",
    "win32-x64",
  ]);
  for (const each of found) expect(each).toMatchObject({ version: found[0]?.version, optional: true });
  expect(process.version, "the tests run on it").toBe(`v${found[0]?.version}`);
});

test("every package is pinned by its integrity, and only esbuild and workerd have an install script", () => {
  const installed = Object.entries(packages).filter(([path, { link }]) => path.includes("node_modules/") && !link);
  expect(installed.filter(([, { integrity }]) => integrity === undefined)).toEqual([]);
  const scripts = installed
    .filter(([, { hasInstallScript }]) => hasInstallScript)
    .map(([path]) => path.split("/").at(-1));
  expect(scripts).toEqual(["esbuild", "workerd"]);
});

test("the least Node that may run npm is Node 20", async () => {
  const { engines } = manifest as unknown as { engines: { node: string } };
  expect(engines).toEqual({ node: ">=20" });
  const [major] = execFileSync("node", ["--version"], { encoding: "utf8" }).slice(1).split(".");
  expect((await readFile(new URL(".nvmrc", ROOT), "utf8")).trim()).toBe(major);
});
