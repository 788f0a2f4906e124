// When a deployment refuses, and what it says then. Nothing is uploaded. That a dry run passes, deploy-guide.test.ts shows.
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test, vi } from "vitest";
import { checkSize } from "../../dev/build.ts";
import { deploy } from "../../dev/deploy.ts";
import { copyProject } from "../support/node/project-copy.ts";

/** Returns what is printed meanwhile. */
function capture(): () => string {
  const spies = [vi.spyOn(console, "log"), vi.spyOn(console, "error")].map((spy) => spy.mockReturnValue());
  onTestFinished(() => spies.forEach((spy) => spy.mockRestore()));
  return () => spies.flatMap(({ mock }) => mock.calls.flat()).join("\n");
}

test("a bundle that is nearly too large is a warning, below a list of its packages; a larger one isn't deployed", async () => {
  const output = capture();
  expect(await checkSize({ warnBytes: 1_000, failBytes: 1_000_000 })).toBe(true);
  expect(output()).toMatch(/%  zod\n[^]*B {2}gzip\n[^]*! The bundle has more than 1,000 B/);
  const settings = ["JWT_ISSUER:https://x.example/", "JWT_AUDIENCE:https://y", "JWKS_URL:https://x.example/jwks"];
  const args = ["--dry-run", "--config=wrangler.toml", "--var", ...settings];
  expect(await deploy(args, { warnBytes: 500, failBytes: 1_500 })).toBe(1);
  expect(output()).toContain("✗ The bundle has more than 1,500 B compressed.");
});

test("each mistake is named, and nothing is built or uploaded; the Worker may have its secret already", async () => {
  const directory = await mkdtemp(join(tmpdir(), "deploy-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  const [config, secrets] = [join(directory, "wrangler.toml"), join(directory, "x.env")];
  await writeFile(config, `name = "x"`);
  await writeFile(secrets, "DATABASE_URL='postgresql://u:p$4@h/d'\nA=5\n");
  const output = capture();
  expect(await deploy(["--dry-run", "-c", config, "--var", "JWT_ISSUER:https://x"])).toBe(1);
  expect(output()).toMatch(/✗ JWT_AUDIENCE is required\n[^]*✗ JWKS_URL is required\n[^]*\nNothing was uploaded\./);
  expect(output()).not.toMatch(/JWT_ISSUER is|DATABASE_URL is|Bundling/);
  expect(await deploy(["--dry-run", "-c", config, "-e", "staging", "--secrets-file", secrets])).toBe(1);
  expect(output()).toMatch(
    /✗ \[env\.staging\] isn't checked[^]*✗ x\.env also has A\n[^]*✗ DATABASE_URL in x\.env contains a \$/,
  );
});

test("a plain wrangler can't deploy the template in a Git-connected build; elsewhere, a dry run passes", async () => {
  const folder = await copyProject();
  onTestFinished(() => rm(folder, { recursive: true }));
  const guard = (env: Record<string, string>) =>
    promisify(execFile)(process.execPath, [join(folder, "dev/deploy-guard.ts")], { env });
  await guard({ WRANGLER_COMMAND: "deploy" });
  const stderr = expect.stringMatching(/✗ JWT_ISSUER is required[^]*Nothing was uploaded/);
  for (const WRANGLER_COMMAND of ["deploy", "versions upload"])
    await expect(guard({ WORKERS_CI: "1", WRANGLER_COMMAND })).rejects.toMatchObject({ code: 1, stderr });
});
