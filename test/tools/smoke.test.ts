// What smoke says where something is wrong. That a right local stack passes, `npm run smoke -- --local` shows.
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { expect, onTestFinished, test } from "vitest";
import { formatFinding } from "../../dev/checklist.ts";
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

test("a server that returns 200 for everything fails every check", async () => {
  const { url, close } = await listenOnLoopback(createServer((_request, response) => void response.end("{}")));
  const findings = smoke({ origin: url, token: "a.b.c", runIds: [RUN_ID], strangerToken: "d.e.f" });
  const marks = [];
  for await (const { mark } of findings) marks.push(mark);
  await close();
  expect(marks.length).toBeGreaterThan(20);
  expect(new Set(marks)).toEqual(new Set(["bad"]));
});

/** Smoke's findings for a server that responds like this by path, and like a Worker that is well otherwise. */
async function examine(responses: Record<string, { status?: number; headers?: Record<string, string>; body: string }>) {
  const { url, close } = await listenOnLoopback(
    createServer((request, response) => {
      const isUrllib = request.headers["user-agent"]?.startsWith("Python-urllib") === true;
      const { status = 200, headers, body = "{}" } = responses[isUrllib ? "urllib" : String(request.url)] ?? {};
      const echo = { "x-request-id": request.headers["x-request-id"] ?? "none" };
      response
        .writeHead(status, { "content-type": "application/json", ...echo, ...headers })
        .end(body.replaceAll("ORIGIN", `http://${request.headers.host}`));
    }),
  );
  onTestFinished(close);
  const findings = [];
  for await (const finding of smoke({ origin: url })) findings.push(formatFinding(finding));
  return findings;
}

test("without its settings, a Worker is misconfigured, and nothing else is checked", async () => {
  const body = `{"status":"not_ready","settings":"misconfigured"}`;
  const findings = await examine({ "/ready": { status: 503, body } });
  expect(findings.slice(1)).toEqual([
    `✗ /ready reaches the key set, and the database if it checks that: misconfigured: ${body}`,
    expect.stringMatching(/^– not checked: everything else\. npm run doctor names/),
  ]);
});

test("what is out of reach is told with /ready's body, and what /ready left out", async () => {
  const body = `{"status":"not_ready","database":"not_checked","key_set":"unavailable"}`;
  expect(await examine({ "/ready": { status: 503, body } })).toContain(
    `✗ /ready reaches the key set, and the database if it checks that: ${body}`,
  );
  const ready = { body: `{"status":"ready","database":"not_checked","key_set":"ok"}` };
  expect(await examine({ "/ready": ready })).toContain(
    "✓ /ready reaches the key set, and the database if it checks that: database not_checked",
  );
});

test("where the Worker was placed is part of the first line", async () => {
  const health = { headers: { "cf-placement": "remote-LHR" }, body: `{"status":"ok"}` };
  const [first] = await examine({ "/health": health });
  expect(first).toMatch(/^✓ \/health .*: cf-placement is remote-LHR$/);
});

test("an audience with a slash at its end names this deployment, too, and another host doesn't", async () => {
  const path = "/.well-known/oauth-protected-resource";
  const title = `${path} names this deployment and the issuer of its tokens`;
  const describe = (resource: string) => ({
    [path]: { body: JSON.stringify({ resource, authorization_servers: ["https://issuer.example.com"] }) },
  });
  expect(await examine(describe("ORIGIN/"))).toContain(`✓ ${title}`);
  expect(await examine(describe("ORIGIN"))).toContain(`✓ ${title}`);
  expect(await examine(describe("https://other.example.com"))).toContainEqual(expect.stringContaining(`✗ ${title}: `));
});

test("Cloudflare's Browser Integrity Check is explained, and fails nothing", async () => {
  const findings = await examine({ urllib: { status: 403, body: "error code: 1010" } });
  expect(findings).toContainEqual(
    expect.stringMatching(
      /^· Cloudflare's Browser Integrity Check refuses Python's urllib .*\n.*User-Agent of their own/,
    ),
  );
  expect(findings.at(-1)).toMatch(/^· no record was read\n/);
});

test("as a command: each reason, how many checks passed, an exit code of 1, and no token", async () => {
  const { code, output } = await run("http://127.0.0.1:1", "--run", RUN_ID);
  expect(code).toBe(1);
  expect(output).toMatch(/^✗ \/health shows that the Worker runs, under the client's request id: bad port\n/);
  expect(output).toMatch(/\n0 of \d\d checks passed\n$/);
  expect(output).not.toMatch(/claims|signature/);
});

test("without an address, or with one that is none, it prints its usage", async () => {
  for (const args of [[], ["runs.example.com"]]) {
    const { code, output } = await run(...args);
    expect(code).toBe(1);
    expect(output).toMatch(/^Usage: npm run smoke -- ORIGIN/);
  }
});
