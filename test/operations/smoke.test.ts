// What smoke says where something is wrong. That a right local stack passes, `npm run smoke -- --local` shows.
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { expect, test } from "vitest";
import { listenOnLoopback } from "../../dev/loopback.ts";
import { smoke } from "../../dev/smoke.ts";

const SCRIPT = `${import.meta.dirname}/../../dev/smoke.ts`;
const RUN_ID = "11111111-1111-4111-8111-111111111111";

/** Runs it as a command, with a token in its environment. */
function run(...args: string[]): Promise<{ code: number; output: string }> {
  const env = { PATH: process.env["PATH"], SMOKE_TOKEN: "header.claims.signature" };
  return new Promise((resolve) => {
    execFile(process.execPath, [SCRIPT, ...args], { env }, (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), output: stdout + stderr }),
    );
  });
}

test("a server that answers 200 to everything fails every check", async () => {
  const { url, close } = await listenOnLoopback(createServer((_request, response) => void response.end("{}")));
  const findings = smoke({ origin: url, token: "a.b.c", runIds: [RUN_ID], strangerToken: "d.e.f" });
  const marks = [];
  for await (const { mark } of findings) marks.push(mark);
  await close();
  expect(marks.length).toBeGreaterThan(20);
  expect(new Set(marks)).toEqual(new Set(["bad"]));
});

test("as a command: each reason, how many checks held, an exit code of 1, and no token", async () => {
  const { code, output } = await run("http://127.0.0.1:1", "--run", RUN_ID);
  expect(code).toBe(1);
  expect(output).toMatch(/^✗ \/health says that the Worker runs, under the request id that was sent: bad port\n/);
  expect(output).toMatch(/\n0 of \d\d checks held\n$/);
  expect(output).not.toMatch(/claims|signature/);
});

test("without an address, or with one that is none, it prints its usage", async () => {
  for (const args of [[], ["runs.example.com"]]) {
    const { code, output } = await run(...args);
    expect(code).toBe(1);
    expect(output).toMatch(/^Usage: npm run smoke -- ORIGIN/);
  }
});
