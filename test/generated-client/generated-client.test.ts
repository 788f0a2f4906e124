// Types generated from the Worker's own /openapi.json, a client compiled against them, strictly, and run against that Worker.
// The generator needs TypeScript 5, hence this workspace.
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import openapiTS, { astToString } from "openapi-typescript";
import { afterAll, beforeAll, expect, test } from "vitest";
import { SEEDED_RUNS } from "../../dev/seeded-runs.ts";
import { type LocalStack, startLocalStack } from "../support/node/local-stack.ts";

const execute = promisify(execFile);
const DIRECTORY = import.meta.dirname;
const idOf = (owner: string) => SEEDED_RUNS.find(({ ownerId }) => ownerId === owner)?.id ?? "";

let localStack: LocalStack;

beforeAll(async () => {
  localStack = await startLocalStack();
});

afterAll(() => localStack?.close());

test("a client generated from the OpenAPI document compiles, and reads what the Worker sends", async () => {
  const types = await openapiTS(new URL("/openapi.json", localStack.url));
  await mkdir(join(DIRECTORY, "dist"), { recursive: true });
  await writeFile(join(DIRECTORY, "dist/openapi.ts"), astToString(types));
  // As the workspace's tsconfig.json says, with its TypeScript.
  const compiled = execute(process.execPath, [join(DIRECTORY, "node_modules/typescript/bin/tsc"), "-p", DIRECTORY]);
  expect((await compiled.catch((error: { stdout: string }) => error)).stdout).toBe("");

  const token = await localStack.authorizationServer.fetchToken("owner");
  const words = [join(DIRECTORY, "client.ts"), localStack.url, token, idOf("owner"), idOf("stranger")];
  const { stdout } = await execute(process.execPath, words);
  expect(JSON.parse(stdout)).toEqual({
    description: expect.stringMatching(new RegExp(`^${idOf("owner")} has a result of \\d\\d characters$`)),
    inputKeys: expect.arrayContaining(["city", "ticket"]),
    roles: ["Researcher"],
    requestId: "generated-client",
    code: "run_not_found",
    health: "ok",
    ready: "ok",
  });
});
