// Building and deploying as commands: what they print, and when they refuse. Nothing is uploaded.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
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
  assert.equal(code, 0, output);
  for (const name of ["@neondatabase/serverless", "zod", "hono", "jose", "src"]) {
    assert.match(output, new RegExp(`^ +[\\d,]+ B +[\\d.]+ %  ${name}$`, "m"));
  }
  assert.match(output, /gzip, of 81,920 B: [\d,]+ B left\n[^]*Total Upload: [^]*--dry-run: exiting now\./);
  assert.match(output, /env\.CF_VERSION_METADATA/);
  assert.match(output, /env\.JWT_AUDIENCE/, "arguments reach wrangler");
  assert.doesNotMatch(output, /WARNING/);
});

test("over budget nothing goes to wrangler, and the exit code is 1", async () => {
  const script = `import { deploy } from "./dev/deploy.ts"; process.exitCode = await deploy(["--dry-run"], 1_000);`;
  const { code, output } = await run(["--input-type=module", "--eval", script]);
  assert.equal(code, 1);
  assert.match(output, /B too many\n\nThe bundle is over budget/);
  assert.doesNotMatch(output, /Total Upload/);
});
