// Building and deploying as commands: what they print, and when they refuse. Nothing is uploaded.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { budgetBytes } from "../../dev/build.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
/** Neither an account nor a log-in: what is asked to upload must fail. */
const env = { PATH: process.env["PATH"], HOME: "/nonexistent", CI: "true" };

function run(args: string[]): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: root, env }, (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), output: stdout + stderr }),
    );
  });
}

test("npm run build says what the bytes are, and that they are within the budget", async () => {
  const { code, output } = await run(["dev/build.ts"]);
  assert.equal(code, 0, output);
  for (const name of ["@neondatabase/serverless", "zod", "hono", "jose", "src"]) {
    assert.match(output, new RegExp(`^ +[\\d,]+ B +[\\d.]+ %  ${name}$`, "m"));
  }
  assert.match(output, new RegExp(` B  gzip, of ${budgetBytes.toLocaleString("en")} B: [\\d,]+ B left\n$`));
});

test("npm run deploy -- --dry-run builds and goes through all but the upload, for production", async () => {
  const { code, output } = await run(["dev/deploy.ts", "--dry-run"]);
  assert.equal(code, 0, output);
  assert.match(output, /gzip, of [^]*Total Upload: [^]*--dry-run: exiting now\./);
  assert.doesNotMatch(output, /JWT_AUDIENCE \("https:\/\/api\.example\.com"\)/, "these are not the local variables");
});

test("an environment that is named is taken in place of production", async () => {
  const { code, output } = await run(["dev/deploy.ts", "--dry-run", "--env="]);
  assert.equal(code, 0, output);
  assert.match(output, /JWT_AUDIENCE \("https:\/\/api\.example\.com"\)/);
});

test("over budget nothing goes to wrangler, and the exit code is 1", async () => {
  const script = `import { deploy } from "./dev/deploy.ts"; process.exitCode = await deploy(["--dry-run"], 1_000);`;
  const { code, output } = await run(["--input-type=module", "--eval", script]);
  assert.equal(code, 1);
  assert.match(output, /B too many\n\nThe bundle is over budget/);
  assert.doesNotMatch(output, /Total Upload/);
});
