// What `npm ci` installs on any machine: the lockfile.
import { expect, test } from "vitest";
import { packages } from "../../package-lock.json";
import { optionalDependencies } from "../../package.json";

test("every package is pinned by its integrity, and each platform's Node has this one's version", () => {
  const installed = Object.entries(packages).filter(([path]) => path.includes("node_modules/"));
  const unpinned = installed.filter(([, entry]) => !("link" in entry || "integrity" in entry));
  expect(unpinned).toEqual([]);
  for (const name of Object.keys(optionalDependencies)) {
    const node = { version: process.version.slice(1), optional: true };
    expect(packages).toMatchObject({ [`node_modules/${name}`]: node });
  }
});
