// A clone in which an operator has filled in wrangler.toml and .dev.vars: what worked before still works, and plain
// `wrangler dev` serves the operator's database and issuer, whose part the local stack plays here.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { EXAMPLE_ROWS } from "../../dev/seeded-runs.ts";
import { type Upstreams, startUpstreams } from "../../dev/local-stack.ts";
import { copyProject, editFile } from "../support/node/project-copy.ts";

const execute = promisify(execFile);
const env = { PATH: process.env["PATH"], CI: "true", NO_COLOR: "1", WRANGLER_WRITE_LOGS: "false" };

let folder: string;
let stack: Upstreams;

beforeAll(async () => {
  folder = await copyProject();
  stack = await startUpstreams({ seed: true });
  await editFile(join(folder, "wrangler.toml"), (text) =>
    text
      .replace(/^# (?=routes = |workers_dev = |region = )/gm, "")
      .replace(/^mode = .*\n/m, "")
      .replace('JWT_ISSUER = ""', 'JWT_ISSUER = "https://issuer.example.com/"')
      .replace('JWT_AUDIENCE = ""', 'JWT_AUDIENCE = "https://runs.example.com"')
      .replace('JWKS_URL = ""', 'JWKS_URL = "https://issuer.example.com/jwks"')
      .replace(/^(RIGHTS_CLAIMS|ADMIN_SCOPE|REQUIRED_SCOPE) = .*/gm, '$1 = "other"'),
  );
  const settings: Record<string, string> = {
    ...stack.variables,
    ADMIN_SCOPE: "crew-runs:admin",
    RIGHTS_CLAIMS: "scope",
  };
  settings["REQUIRED_SCOPE"] = "crew-runs:read";
  const lines = Object.entries(settings).filter(([, value]) => value !== "");
  await writeFile(join(folder, ".dev.vars"), lines.map(([name, value]) => `${name}='${value}'\n`).join(""));
});

afterAll(async () => {
  await stack?.close();
  if (folder !== undefined) await rm(folder, { recursive: true });
});

test("the generated types are still up to date", async () => {
  const { stdout } = await execute("npm", ["run", "--silent", "types", "--", "--check"], { cwd: folder, env });
  expect(stdout).toMatch(/Types at worker-configuration\.d\.ts are up to date/);
});

test("the local stack keeps to its own settings and address", async () => {
  const { stdout } = await execute("npm", ["run", "--silent", "smoke", "--", "--local"], { cwd: folder, env });
  expect(stdout).toMatch(/\n\d+ checks passed\n$/);
});

test("plain wrangler dev takes every setting from .dev.vars", async () => {
  const flags = ["--port=0", "--inspector-port=0", "--show-interactive-dev-session=false"];
  const child = spawn("npx", ["wrangler", "dev", ...flags], { cwd: folder, env, detached: true });
  const ended = once(child, "close");
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (chunk) => (output += chunk));
  onTestFinished(async () => {
    process.kill(-(child.pid ?? 0), "SIGTERM");
    await ended;
  });
  const findUrl = () => /Ready on (http:\S+)/.exec(output)?.[1];
  while (findUrl() === undefined) {
    if (child.exitCode !== null) throw new Error(output);
    await sleep(50);
  }
  expect(output).toMatch(/Using secrets defined in \.dev\.vars/);
  const token = await stack.authorizationServer.fetchToken("admin");
  const response = await fetch(`${findUrl()}/api/crew-runs/${EXAMPLE_ROWS.completed.id}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  expect(await response.json()).toMatchObject({ id: EXAMPLE_ROWS.completed.id, owner_id: "owner" });
});
