// `npm run test:client`: types generated from the Worker's own /openapi.json, a client compiled against them, strictly, and
// run against that Worker. Guarantees that nothing is left running. The generator needs TypeScript 5, hence this workspace.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import openapiTS, { astToString } from "openapi-typescript";
import { SEEDED_RUNS } from "../../dev/seeded-runs.ts";
import { type ServedStack, startServedStack } from "../../dev/served-stack.ts";

const execute = promisify(execFile);
const DIRECTORY = import.meta.dirname;
const START_TIMEOUT_MS = 60_000;

/** Compiles as the workspace's tsconfig.json says, with its TypeScript. */
async function compile(): Promise<void> {
  const tsc = join(DIRECTORY, "node_modules/typescript/bin/tsc");
  await execute(process.execPath, [tsc, "-p", DIRECTORY]).catch((error: { stdout: string }) => {
    throw new Error(`the generated client does not compile:\n${error.stdout}`);
  });
}

async function run({ url, stack }: ServedStack): Promise<void> {
  const types = await openapiTS(new URL("/openapi.json", url));
  await mkdir(join(DIRECTORY, "dist"), { recursive: true });
  await writeFile(join(DIRECTORY, "dist/openapi.ts"), astToString(types));
  await compile();

  const own = SEEDED_RUNS.find(({ ownerId }) => ownerId === "owner");
  const foreign = SEEDED_RUNS.find(({ ownerId }) => ownerId !== "owner");
  if (own === undefined || foreign === undefined) throw new Error("the seed lacks a run");
  const token = await stack.authorizationServer.fetchToken("owner");
  const args = [join(DIRECTORY, "client.ts"), url, token, own.id, foreign.id];
  const { stdout } = await execute(process.execPath, args, { timeout: 20_000 });
  const { description, inputKeys, ...rest } = JSON.parse(stdout);
  assert.match(description, new RegExp(`^${own.id} has a result of \\d\\d characters$`));
  assert.ok(inputKeys.includes("integer_beyond_2_53"));
  assert.deepEqual(rest, {
    roles: ["Researcher", "Writer"],
    requestId: "generated-client",
    code: "run_not_found",
    health: "ok",
    ready: "ok",
  });
}

const startedMs = performance.now();
const served = await startServedStack({ signal: AbortSignal.timeout(START_TIMEOUT_MS) });
try {
  await run(served);
} finally {
  await served.close();
}
console.log(`the generated client works (${((performance.now() - startedMs) / 1000).toFixed(1)} s)`);
process.exit();
