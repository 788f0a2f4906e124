// What smoke says if something is wrong. That a healthy local stack passes, `npm run smoke -- --local` shows.
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { formatFinding } from "../../dev/checklist.ts";
import { listenOnLoopback } from "../../dev/loopback.ts";
import { smoke } from "../../dev/smoke.ts";

const RUN_ID = "11111111-1111-4111-8111-111111111111";
const RUN = `/api/crew-runs/${RUN_ID}`;
const METADATA = "/.well-known/oauth-protected-resource";

/** Smoke's findings for a server that responds like this to a path or User-Agent, and with `200 {}` to everything else. */
async function examine(target: string, body: string, status = 200, layer = "hit; detail=isolate"): Promise<string> {
  const cached = { "cache-status": `crew-runs; ${layer}`, "cache-control": "private", etag: `"1"` };
  const server = createServer(({ url, headers }, response) => {
    const isTarget = url === target || headers["user-agent"] === target;
    response.writeHead(isTarget ? status : 200, { "content-type": "application/json", ...cached });
    response.end(isTarget ? body.replaceAll("ORIGIN", `http://${headers.host}`) : "{}");
  });
  const { url: origin, close } = await listenOnLoopback(server);
  onTestFinished(close);
  let findings = "";
  for await (const finding of smoke({ origin, token: "a.b.c", runIds: [RUN_ID], strangerToken: "d.e.f" })) {
    findings += `${formatFinding(finding)}\n`;
  }
  return findings;
}

const FINISHED = `{"status":"failed"}`;
const REJECTED = `{"code":"invalid_token","request_id":"r-1"}`;

test.for<[finding: RegExp, ...Parameters<typeof examine>]>([
  [/^✗ \/ready .*: misconfigured: .*\n– not checked: everything else/m, "/ready", `{"settings":"misconfigured"}`, 503],
  [/^✗ \/ready .*: \{"key_set":"unavailable"\}$/m, "/ready", `{"key_set":"unavailable"}`, 503],
  [/^✗ run .*: the status of .* is 401, not 200 \(invalid_token, request_id r-1\)$/m, RUN, REJECTED, 401],
  [/^✓ \/ready .*: database not_checked$/m, "/ready", `{"status":"ready","database":"not_checked"}`],
  [/^✗ .*names this deployment.*: resource is/m, METADATA, `{"resource":"https://other.example.com"}`],
  // The audience is spelled so.
  [/^✓ .*names this deployment/m, METADATA, `{"resource":"ORIGIN/","authorization_servers":["https://x"]}`],
  [/^✓ 20 reads.*, 20 from the data-center/m, RUN, FINISHED, 200, "hit; detail=data-center"],
  [/^· 20 reads.* don't share their copies\n/m, RUN, FINISHED, 200, "fwd=uri-miss; stored"],
  [/^· Cloudflare's Browser Integrity Check .*\n.*User-Agent/m, "Python-urllib/3.13", "error code: 1010", 403],
])("%s", async ([finding, ...response]) => expect(await examine(...response)).toMatch(finding));

test("a server that returns 200 for everything fails every check", async () => {
  expect(await examine("", "")).not.toMatch(/^[^✗]/m);
});

test("as a command: exit code 1 if a check fails, and no token is shown", async () => {
  const args = [`${import.meta.dirname}/../../dev/smoke.ts`, "http://127.0.0.1:1", "--token=header.claims.signature"];
  const stdout = expect.stringMatching(/^✗ \/health .*: bad port\n(?![^]*claims)[^]*\n0 of \d+ checks passed\n$/);
  await expect(promisify(execFile)(process.execPath, args)).rejects.toMatchObject({ code: 1, stdout, stderr: "" });
});
