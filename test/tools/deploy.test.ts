// Building and deploying as commands: what they print, and when they refuse. Nothing is uploaded.
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { ROOT_DIRECTORY as cwd } from "../../dev/wrangler.ts";
import { copyProject } from "../support/node/project-copy.ts";

const directory = await mkdtemp(join(tmpdir(), "deploy-"));
afterAll(() => rm(directory, { recursive: true }));

/** Neither an account nor a log-in: every upload must fail. */
const env = { PATH: process.env["PATH"], HOME: "/nonexistent", CI: "true", WRANGLER_WRITE_LOGS: "false" };
const VARS = ["JWT_ISSUER:https://x.example/", "JWT_AUDIENCE:https://y.example", "JWKS_URL:https://x.example/jwks"];
const SETTINGS = VARS.flatMap((each) => ["--var", each]);

function run(args: string[], variables: Record<string, string> = {}): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd, env: { ...env, ...variables } }, (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), output: stdout + stderr }),
    );
  });
}

test.for<[warnBytes: number, failBytes: number, exitCode: number, patterns: RegExp[]]>([
  [1_000, 1_000_000, 0, [/! The bundle has more than 1,000 B/, /%  zod\n[^]*B {2}gzip\n[^]*env\.CF_VERSION_METADATA/]],
  [500, 1_000, 1, [/✗ The bundle has more than 1,000 B compressed\./, /B {2}gzip\n(?![^]*Total Upload)/]],
])("with limits of %i and %i bytes a dry run's exit code is %i", async ([warnBytes, failBytes, exitCode, patterns]) => {
  const args = JSON.stringify(["--dry-run", "--config=wrangler.toml", ...SETTINGS]);
  const limits = JSON.stringify({ warnBytes, failBytes });
  const script = `import { deploy } from "./dev/deploy.ts"; process.exitCode = await deploy(${args}, ${limits});`;
  const { code, output } = await run(["--input-type=module", "--eval", script]);
  expect(code, output).toBe(exitCode);
  for (const pattern of patterns) expect(output).toMatch(pattern);
});

test.for<[missing: string, args: string[], problems: string[]]>([
  ["settings, but not DATABASE_URL, which the Worker may have", VARS.slice(0, 1), ["JWT_AUDIENCE is", "JWKS_URL is"]],
  [
    "a clean secrets file",
    [...VARS, "--secrets-file", join(directory, "x.env")],
    ["x.env also has A", "DATABASE_URL in"],
  ],
  ["a check of another environment", [...VARS, "-e", "staging"], ["[env.staging] isn't checked"]],
])("without %s nothing is uploaded", async ([, [...args], problems]) => {
  await writeFile(join(directory, "x.env"), "DATABASE_URL='postgresql://u:p$4@h/d'\nA=5\n");
  const config = join(directory, "wrangler.toml");
  await writeFile(config, `name = "x"`);
  const { code, output } = await run([
    "dev/deploy.ts",
    "--dry-run",
    "-c",
    config,
    ...args.flatMap((each) => (each.startsWith("JW") ? ["--var", each] : [each])),
  ]);
  expect(code).toBe(1);
  for (const problem of problems) expect(output).toContain(`✗ ${problem}`);
  expect(output).toMatch(/\nNothing was uploaded\./);
  expect(output).not.toMatch(/gzip|Total Upload|DATABASE_URL is required/);
});

test("a Git-connected build can't deploy the template by a plain wrangler", async () => {
  const folder = await copyProject();
  onTestFinished(() => rm(folder, { recursive: true }));
  const args = ["node_modules/wrangler/bin/wrangler.js", "deploy", "--dry-run", "--cwd", folder];
  const { code, output } = await run(args, { WORKERS_CI: "1" });
  expect(output).toMatch(/✗ JWT_ISSUER is required[^]*Nothing was uploaded/);
  expect(code).toBe(1);
  expect((await run(args)).code).toBe(0);
});
