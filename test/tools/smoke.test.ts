// What smoke says if something is wrong. That a healthy local stack passes, `npm run smoke -- --local` shows.
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { expect, onTestFinished, test } from "vitest";
import { formatFinding } from "../../dev/checklist.ts";
import { listenOnLoopback } from "../../dev/loopback.ts";
import { smoke } from "../../dev/smoke.ts";

const RUN_ID = "11111111-1111-4111-8111-111111111111";
const AGENT = "Python-urllib/3.13";
const RUN = `/api/crew-runs/${RUN_ID}`;
const METADATA = "/.well-known/oauth-protected-resource";

/** Smoke's findings for a server that responds like this to a path or User-Agent, and with `200 {}` to everything else. */
async function examine(target: string, body: string, status = 200, cacheStatus = ""): Promise<string[]> {
  const cached = { "cache-status": cacheStatus, "cache-control": "private", etag: `"1"` };
  const { url, close } = await listenOnLoopback(
    createServer((request, response) => {
      const isTarget = [request.url, request.headers["user-agent"]].includes(target);
      response.writeHead(isTarget ? status : 200, { "content-type": "application/json", ...(cacheStatus && cached) });
      response.end(isTarget ? body.replaceAll("ORIGIN", `http://${request.headers.host}`) : "{}");
    }),
  );
  onTestFinished(close);
  const findings = [];
  const options = { origin: url, token: "a.b.c", runIds: [RUN_ID], strangerToken: "d.e.f" };
  for await (const finding of smoke(options)) findings.push(formatFinding(finding));
  return findings;
}

const metadata = (resource: string) => `{"resource":"${resource}","authorization_servers":["https://x"]}`;
const FINISHED = `{"status":"failed"}`;

test.for<[finding: RegExp, ...Parameters<typeof examine>]>([
  [/^✗ \/ready .*: misconfigured: .*\n– not checked: everything else/m, "/ready", `{"settings":"misconfigured"}`, 503],
  [/^✗ \/ready .*: \{"key_set":"unavailable"\}$/m, "/ready", `{"key_set":"unavailable"}`, 503],
  [/^✓ \/ready .*: database not_checked$/m, "/ready", `{"status":"ready","database":"not_checked"}`],
  [/^✗ .*names this deployment.*: resource is/m, METADATA, metadata("https://other.example.com")],
  // The audience is spelled so.
  [/^✓ .*names this deployment/m, METADATA, metadata("ORIGIN/")],
  [/^✓ 20 reads.*, 20 from the data-center/m, RUN, FINISHED, 200, "crew-runs; hit; detail=data-center"],
  [/^✓ 20 reads.* shows nothing/m, RUN, FINISHED, 200, "crew-runs; hit; detail=isolate"],
  [/^· 20 reads.* don't share their copies\n/m, RUN, FINISHED, 200, "crew-runs; fwd=uri-miss; stored"],
  [/^· Cloudflare's Browser Integrity Check .*\n.*User-Agent of their own/m, AGENT, "error code: 1010", 403],
])("%s", async ([finding, ...response]) => {
  expect((await examine(...response)).join("\n")).toMatch(finding);
});

test("a server that returns 200 for everything fails every check", async () => {
  expect((await examine("", "")).filter((finding) => !finding.startsWith("✗"))).toEqual([]);
});

test.for<[args: string[], output: RegExp]>([
  [["http://127.0.0.1:1"], /^✗ \/health .*: bad port\n[^]*\n0 of \d+ checks passed\n1$/],
  [["api.example.com"], /^Usage: npm run smoke -- ORIGIN[^]*1$/],
])("the command with %j has an exit code of 1, and shows no token", async ([args, expected]) => {
  const command = [`${import.meta.dirname}/../../dev/smoke.ts`, ...args];
  const env = { SMOKE_TOKEN: "header.claims.signature" };
  const output = await new Promise<string>((resolve) => {
    execFile(process.execPath, command, { env }, (error, ...texts) => resolve(`${texts.join("")}${error?.code}`));
  });
  expect(output).toMatch(expected);
  expect(output).not.toMatch(/claims|signature/);
});
