// A clone that an operator has filled in: what worked before still works, plain `wrangler dev` serves the operator's database and
// issuer, whose part the local stack plays here, and a later version can be merged as docs/operations.md says.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { EXAMPLE_ROWS } from "../../dev/seeded-runs.ts";
import { type Upstreams, startUpstreams } from "../../dev/local-stack.ts";
import { copyProject, editFile } from "../support/node/project-copy.ts";

const execute = promisify(execFile);
const env = { PATH: process.env["PATH"], CI: "true", NO_COLOR: "1", WRANGLER_WRITE_LOGS: "false" };
const CONFIG_TEST = "npx vitest run --project node test/node/wrangler-config.test.ts";
const START_TIMEOUT_MS = 50_000;
/** `npm run check` takes half a minute on a quiet machine. */
const UPGRADE_TIMEOUT_MS = 240_000;

let folder: string;
let stack: Upstreams;

/** As docs/deploy.md says. */
const fillIn = (text: string) =>
  text
    .replace(/^# (?=routes = |workers_dev = |region = )/gm, "")
    .replace(/^# limits = .*$/m, "limits={cpu_ms=1000}")
    .replace(/^mode = .*\n/m, "")
    .replace(/^(JWT_ISSUER|JWKS_URL) = .*/gm, '$1 = "https://issuer.example.com/"')
    .replace(/^(JWT_AUDIENCE|RIGHTS_CLAIMS|ADMIN_SCOPE|REQUIRED_SCOPE) = .*/gm, '$1 = "other"');

beforeAll(async () => {
  folder = await copyProject();
  stack = await startUpstreams({ seed: true });
  await editFile(join(folder, "wrangler.toml"), fillIn);
  await cp(join(folder, "wrangler.toml"), join(folder, "wrangler.production.toml"));
  // All settings of the Worker: an empty one has its default, and not what is filled in.
  const lines = Object.entries(stack.variables).map(([name, value]) => `${name}='${value}'\n`);
  await writeFile(join(folder, ".dev.vars"), lines.join(""));
  return async () => {
    await stack.close();
    await rm(folder, { recursive: true });
  };
});

test("the local stack keeps to its own settings and address", async () => {
  const { stdout } = await execute("npm", ["run", "--silent", "smoke", "--", "--local"], { cwd: folder, env });
  expect(stdout).toMatch(/\n\d+ checks passed\n$/);
});

test("plain wrangler dev takes every setting from .dev.vars", async () => {
  const flags = ["--config=wrangler.production.toml", "--port=0", "--inspector-port=0"];
  const args = ["wrangler", "dev", ...flags, "--show-interactive-dev-session=false"];
  const child = spawn("npx", args, { cwd: folder, env, detached: true });
  const ended = once(child, "close");
  onTestFinished(async () => {
    process.kill(-(child.pid ?? 0), "SIGTERM");
    await ended;
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  await expect.poll(() => output, { timeout: START_TIMEOUT_MS }).toMatch(/Ready on http:/);
  const [, url] = /Ready on (http:\S+)/.exec(output) ?? [];
  const token = await stack.authorizationServer.fetchToken("admin");
  const headers = { authorization: `Bearer ${token}` };
  const response = await fetch(`${url}/api/crew-runs/${EXAMPLE_ROWS.completed.id}`, { headers });
  expect(await response.json()).toMatchObject({ id: EXAMPLE_ROWS.completed.id, owner_id: "owner" });
});

test("a later version is merged, and the doctor names what it needs", { timeout: UPGRADE_TIMEOUT_MS }, async () => {
  const clone = await copyProject();
  onTestFinished(() => rm(clone, { recursive: true }));
  const run = (script: string) => execute("sh", ["-ec", script], { cwd: clone, env });
  const commit = (message: string) => run(`git add -A && git commit -qm ${message}`);
  const edit = (name: string, change: (text: string) => string) => editFile(join(clone, name), change);
  await run("git init -q -b main && git config user.name o && git config user.email o@x");
  await commit("v0.4.0");
  await run("git checkout -q -b later");
  const setDate = (text: string) => text.replace('"2026-10-01"', '"2027-03-01"');
  for (const name of ["wrangler.toml", "dev/doctor/config.ts"]) await edit(name, setDate);
  await commit("v0.5.0");
  await run("git tag v0.5.0 && git checkout -q main && cp wrangler.toml wrangler.production.toml");
  await edit("wrangler.production.toml", fillIn);
  await commit("settings");

  const page = await readFile(join(clone, "docs/operations.md"), "utf8");
  const [merge = ""] = /^git merge .*$/m.exec(page) ?? [];
  await run(merge);
  const doctor = async () => (await run('npm run --silent doctor || echo "exit code $?"')).stdout;
  const report = await doctor();
  expect(report).toMatch(/\nexit code 1\n$/);
  const [, line = ""] = /^✗ compatibility_date .*\n.*at the top: (.*)$/m.exec(report) ?? [];
  expect(line).toBe('compatibility_date = "2027-03-01"');
  await edit("wrangler.production.toml", (text) => text.replace(/^compatibility_date = .*$/m, line));
  expect(await doctor()).not.toMatch(/compatibility_date/);
  await commit("upgrade");
  expect((await run(`npm run check && ${CONFIG_TEST} && git status --porcelain`)).stdout).not.toMatch(/^ M /m);
});
