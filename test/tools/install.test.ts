// What `npm ci` installs on any machine: the lockfile.
import { expect, test } from "vitest";
import { packages } from "../../package-lock.json";
import { optionalDependencies } from "../../package.json";

test("every package is pinned by its integrity, and Node comes at one version for each platform of package.json", () => {
  const installed = Object.entries(packages).filter(
    ([path, entry]) => path.includes("node_modules/") && !("link" in entry),
  );
  expect(installed.filter(([, entry]) => !("integrity" in entry))).toEqual([]);
  const nodes = installed.filter(([path]) => /node_modules\/node-(bin-)?(linux|darwin|win)/.test(path));
  expect(nodes.map(([path]) => path.slice("node_modules/".length)).toSorted()).toEqual(
    Object.keys(optionalDependencies).toSorted(),
  );
  for (const [, entry] of nodes) expect(entry).toMatchObject({ version: process.version.slice(1), optional: true });
});
