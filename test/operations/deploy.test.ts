// Building and deploying as commands: what they print, and when they refuse. Nothing is uploaded.
import { execFile } from "node:child_process";
import { expect, test } from "vitest";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Neither an account nor a log-in: what is asked to upload must fail. */
const env = { PATH: process.env["PATH"], HOME: "/nonexistent", CI: "true" };

function run(args: string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: ROOT, env }, (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), output: stdout + stderr }),
    );
  });
}

test("npm run deploy -- --dry-run reports the bundle, warns of nothing and lists what production has", async () => {
  const { code, output } = await run(["dev/deploy.ts", "--dry-run", "--var", "JWT_AUDIENCE:https://api.example.com"]);
  expect(code, output).toBe(0);
  for (const name of ["@neondatabase/serverless", "zod", "hono", "jose", "src"]) {
    expect(output).toMatch(new RegExp(`^ +[\\d,]+ B +[\\d.]+ %  ${name}$`, "m"));
  }
  expect(output).toMatch(/gzip, of 81,920 B: [\d,]+ B left\n[^]*Total Upload: [^]*--dry-run: exiting now\./);
  expect(output).toMatch(/env\.CF_VERSION_METADATA/);
  expect(output, "arguments reach wrangler").toMatch(/env\.JWT_AUDIENCE/);
  expect(output).not.toMatch(/WARNING/);
});

test("over budget nothing goes to wrangler, and the exit code is 1", async () => {
  const script = `import { deploy } from "./dev/deploy.ts"; process.exitCode = await deploy(["--dry-run"], 1_000);`;
  const { code, output } = await run(["--input-type=module", "--eval", script]);
  expect(code).toBe(1);
  expect(output).toMatch(/B too many\n\nThe bundle is over budget/);
  expect(output).not.toMatch(/Total Upload/);
});
