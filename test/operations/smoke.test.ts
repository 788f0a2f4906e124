// The smoke checks against the real Worker on the local stack, and against what is no such Worker.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Finding, formatFinding } from "../../dev/checklist.ts";
import { seededRuns } from "../../dev/seed.ts";
import { type SmokeTarget, smoke } from "../../dev/smoke.ts";
import { type Deployment, startDeployment } from "./deployment.ts";

let deployment: Deployment;
before(async () => {
  deployment = await startDeployment();
});
after(() => deployment?.close());

async function collect(target: SmokeTarget): Promise<Finding[]> {
  const findings: Finding[] = [];
  for await (const finding of smoke(target)) findings.push(finding);
  return findings;
}

const printBad = (findings: Finding[]) => findings.filter(({ mark }) => mark !== "ok").map(formatFinding);

for (const { id, status } of seededRuns.filter(({ ownerId }) => ownerId === "owner")) {
  test(`a right deployment is all ✓ (a ${status} run, ${id.slice(0, 4)})`, async () => {
    const { stack, url: origin } = deployment;
    const findings = await collect({
      origin,
      token: await stack.authorizationServer.fetchToken("owner"),
      runId: id,
      strangerToken: await stack.authorizationServer.fetchToken("stranger"),
    });
    assert.deepEqual(printBad(findings), []);
    assert.ok(findings.length > 18);
  });
}

test("without a token, what needs none is checked", async () => {
  const findings = await collect({ origin: deployment.url });
  assert.deepEqual(printBad(findings), ["· no run was read\n    Give it one: --token … --run …"]);
});

test("a token that may not read the run, and one that is worth nothing, are told as such", async () => {
  const [run] = seededRuns;
  const stranger = await deployment.stack.authorizationServer.fetchToken("stranger");
  const foreign = await collect({ origin: deployment.url, token: stranger, runId: run?.id });
  assert.match(printBad(foreign).join("\n"), /✗ the run is a record of twelve keys: 404 .*run_not_found/);
  const worthless = await collect({
    origin: deployment.url,
    token: `${stranger.slice(0, -9)}AAAAAAAAA`,
    runId: run?.id,
  });
  assert.match(printBad(worthless).join("\n"), /✗ the run is a record of twelve keys: 401 .*invalid_token/);
});

test("a server that answers 200 to everything fails every check", async () => {
  const server = createServer((_request, response) => void response.end("{}")).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const findings = await collect({ origin: `http://127.0.0.1:${port}`, token: "a.b.c", runId: seededRuns[0]?.id });
  server.close();
  assert.deepEqual(
    findings.filter(({ mark }) => mark === "ok"),
    [],
  );
});

test("as a command: ✓ and exit code 0, or the reason and 1; and no token in its output", async () => {
  const { stack, url: origin } = deployment;
  const token = await stack.authorizationServer.fetchToken("admin");
  const run = (args: string[]) =>
    new Promise<{ code: number; output: string }>((resolve) => {
      const script = fileURLToPath(new URL("../../dev/smoke.ts", import.meta.url));
      const env = { PATH: process.env["PATH"], SMOKE_TOKEN: token };
      execFile(process.execPath, [script, ...args], { env }, (error, stdout, stderr) =>
        resolve({ code: Number(error?.code ?? 0), output: stdout + stderr }),
      );
    });
  const healthy = await run([origin, "--run", String(seededRuns.at(-1)?.id)]);
  assert.equal(healthy.code, 0, healthy.output);
  assert.match(healthy.output, /\n\d+ ✓, 0 ✗\n$/);
  const away = await run(["http://127.0.0.1:65530", "--run", String(seededRuns[0]?.id)]);
  assert.equal(away.code, 1);
  assert.match(away.output, /^✗ \/health says that the Worker runs: ECONNREFUSED/);
  for (const { output } of [healthy, away]) assert.ok(!output.includes(token.split(".")[2] ?? ""));
  assert.deepEqual(await run(["runs.example.com"]), {
    code: 1,
    output: `"runs.example.com" is no http or https URL\n`,
  });
});
