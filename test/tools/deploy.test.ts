// Building and deploying as commands: what they print, and when they refuse. Nothing is uploaded.
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Neither an account nor a log-in: every upload must fail. */
const env = { PATH: process.env["PATH"], HOME: "/nonexistent", CI: "true" };

function run(args: string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: ROOT, env }, (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), output: stdout + stderr }),
    );
  });
}

/** As an operator would fill it in. */
const SETTINGS = [
  "JWT_ISSUER:https://issuer.example.com/",
  "JWT_AUDIENCE:https://runs.example.com",
  "JWKS_URL:https://issuer.example.com/jwks",
].flatMap((each) => ["--var", each]);

test("npm run deploy -- --dry-run reports the bundle, warns of nothing and lists what production has", async () => {
  const { code, output } = await run(["dev/deploy.ts", "--dry-run", ...SETTINGS]);
  expect(code, output).toBe(0);
  for (const name of ["@neondatabase/serverless", "zod", "hono", "jose", "src"]) {
    expect(output).toMatch(new RegExp(`^ +[\\d,]+ B +[\\d.]+ %  ${name}$`, "m"));
  }
  expect(output).toMatch(/^ +[\d,]+ B {2}gzip$[^]*Total Upload: [^]*--dry-run: exiting now\./m);
  expect(output).toMatch(/env\.CF_VERSION_METADATA/);
  expect(output, "arguments reach wrangler").toMatch(/env\.JWT_AUDIENCE/);
  expect(output).not.toMatch(/WARNING/);
});

/** Deploys as if the bundle's limits were other ones. */
async function deployWithin(warnBytes: number, failBytes: number): Promise<{ code: number; output: string }> {
  const args = JSON.stringify(["--dry-run", ...SETTINGS]);
  const script = `import { deploy } from "./dev/deploy.ts";
    process.exitCode = await deploy(${args}, { warnBytes: ${warnBytes}, failBytes: ${failBytes} });`;
  return run(["--input-type=module", "--eval", script]);
}

test("a bundle above the first limit is deployed with a warning", async () => {
  const { code, output } = await deployWithin(1_000, 1_000_000);
  expect(code).toBe(0);
  expect(output).toMatch(/! The bundle has more than 1,000 B compressed; above 1,000,000 B it can't be deployed\./);
  expect(output).toMatch(/Total Upload/);
});

test("a bundle above the second limit doesn't reach wrangler, and the exit code is 1", async () => {
  const { code, output } = await deployWithin(500, 1_000);
  expect(code).toBe(1);
  expect(output).toMatch(/✗ The bundle has more than 1,000 B compressed\./);
  expect(output).not.toMatch(/Total Upload/);
});

describe("what would only say misconfigured", () => {
  let directory: string;
  const configFile = () => join(directory, "wrangler.toml");
  const deploy = async (config: string, ...args: string[]) => {
    await writeFile(configFile(), `name = "x"\n${config}`);
    return run(["dev/deploy.ts", "--dry-run", "--config", configFile(), ...args]);
  };

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "deploy-"));
  });
  afterAll(async () => rm(directory, { recursive: true }));

  test("goes nowhere: each setting that is missing is named, but not DATABASE_URL, which the Worker may have", async () => {
    const { code, output } = await deploy(`[vars]\nJWT_AUDIENCE = "https://runs.example.com"\nJWKS_URL = ""`);
    expect(code).toBe(1);
    expect(output.match(/^✗ .*$/gm)).toEqual(["✗ JWT_ISSUER is required", "✗ JWKS_URL is required"]);
    expect(output).toMatch(/\nNothing was uploaded\./);
    expect(output).not.toMatch(/gzip|Total Upload|DATABASE_URL/);
  });

  test("goes nowhere with a second line in the file of --secrets-file, or one that wrangler would expand", async () => {
    const secrets = join(directory, "secrets.env");
    await writeFile(secrets, "DATABASE_URL='postgresql://u:p$4@h/d'\nJWT_LEEWAY_SECONDS=5\n");
    const { code, output } = await deploy("", "--secrets-file", secrets, ...SETTINGS);
    expect(code).toBe(1);
    expect(output.match(/^✗ .*$/gm)).toEqual([
      "✗ secrets.env also has JWT_LEEWAY_SECONDS",
      "✗ DATABASE_URL in secrets.env contains a $",
    ]);
  });

  test("goes nowhere with production's domain for another environment", async () => {
    const config = `routes = ["runs.example.com/*"]\n[env.staging.vars]`;
    const { code, output } = await deploy(config, "-e", "staging", ...SETTINGS);
    expect(code).toBe(1);
    expect(output).toMatch(/^✗ \[env\.staging\] has production's runs\.example\.com\/\*/);
  });
});
