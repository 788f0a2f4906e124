// What smoke says if something is wrong. That a healthy local stack passes, `npm run smoke -- --local` shows.
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { expect, onTestFinished, test } from "vitest";
import { formatFinding } from "../../dev/checklist.ts";
import { listenOnLoopback } from "../../dev/loopback.ts";
import { smoke } from "../../dev/smoke.ts";

const RUN_ID = "11111111-1111-4111-8111-111111111111";
const METADATA = "/.well-known/oauth-protected-resource";
const RUN = `/api/crew-runs/${RUN_ID}`;
const AGENT = "Python-urllib/3.13";

/** Smoke's findings for a server that responds like this to a path or User-Agent, and with `200 {}` to everything else. */
async function examine(target: string, body: string, status = 200, headers: Record<string, string> = {}) {
  const { url, close } = await listenOnLoopback(
    createServer((request, response) => {
      const isTarget = [request.url, request.headers["user-agent"]].includes(target);
      response.writeHead(isTarget ? status : 200, { "content-type": "application/json", ...(isTarget && headers) });
      response.end(isTarget ? body.replaceAll("ORIGIN", `http://${request.headers.host}`) : "{}");
    }),
  );
  onTestFinished(close);
  const findings = [];
  const options = { origin: url, token: "a.b.c", runIds: [RUN_ID], strangerToken: "d.e.f" };
  for await (const finding of smoke(options)) findings.push(formatFinding(finding));
  return findings;
}

const cached = (layer: string) => ({ "cache-status": `crew-runs; ${layer}`, "cache-control": "private", etag: `"1"` });
const named = (resource: string) => `{"resource":"${resource}","authorization_servers":["https://x"]}`;

test.for<[finding: RegExp, ...Parameters<typeof examine>]>([
  [/^✗ .*"status" is undefined/m, "/ready", "{}"],
  [/^✗ \/ready .*: misconfigured: .*\n– not checked: everything else/m, "/ready", `{"settings":"misconfigured"}`, 503],
  [/^✗ \/ready .*: \{"key_set":"unavailable"\}$/m, "/ready", `{"key_set":"unavailable"}`, 503],
  [/^✓ \/ready .*: database not_checked$/m, "/ready", `{"status":"ready","database":"not_checked"}`],
  [/^✗ .*names this deployment.*: resource is/m, METADATA, named("https://other.example.com")],
  // The audience is spelled so.
  [/^✓ .*names this deployment/m, METADATA, named("ORIGIN/")],
  [/^✓ 20 reads.*, 20 from the data-center/m, RUN, `{"status":"failed"}`, 200, cached("hit; detail=data-center")],
  [/^✓ 20 reads.* shows nothing/m, RUN, `{"status":"failed"}`, 200, cached("hit; detail=isolate")],
  [/^· 20 reads.* don't share their copies\n/m, RUN, `{"status":"failed"}`, 200, cached("fwd=uri-miss; stored")],
  [/^· Cloudflare's Browser Integrity Check .*\n.*User-Agent of their own/m, AGENT, "error code: 1010", 403],
])("%s", async ([finding, ...response]) => {
  expect((await examine(...response)).join("\n")).toMatch(finding);
});

test("a server that returns 200 for everything fails every check", async () => {
  expect((await examine("", "")).filter((finding) => !finding.startsWith("✗"))).toEqual([]);
});

test("as a command: each reason, how many checks passed, an exit code of 1, and no token; or the usage", async () => {
  const run = (...args: string[]) =>
    new Promise<string>((resolve) => {
      const command = [`${import.meta.dirname}/../../dev/smoke.ts`, ...args];
      const env = { SMOKE_TOKEN: "header.claims.signature" };
      execFile(process.execPath, command, { env }, (error, ...output) => resolve(`${output.join("")}${error?.code}`));
    });
  const output = await run("http://127.0.0.1:1", "--run", RUN_ID);
  expect(output).toMatch(/^✗ \/health .*: bad port\n[^]*\n0 of \d\d checks passed\n1$/);
  expect(output).not.toMatch(/claims|signature/);
  expect(await run("api.example.com")).toMatch(/^Usage: npm run smoke -- ORIGIN[^]*1$/);
});
