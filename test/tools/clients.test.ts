// Clients as others write them, against the real Worker and the local authorization server: a strict OAuth library that
// gets nothing but the API's address, and the programs of docs/webhooks.md.
import { execFile, spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import * as oauth from "oauth4webapi";
import { type Loopback, listenOnLoopback } from "../../dev/loopback.ts";
import { type LocalStack, startLocalStack } from "../support/node/local-stack.ts";
import { FINISH, insertRunBy, updateRunBy } from "../support/runs.ts";

const COMPLETED = "11111111-1111-4111-8111-111111111111";
const FOREIGN = "66666666-6666-4666-8666-666666666666";

const execute = promisify(execFile);
let localStack: LocalStack;

beforeAll(async () => {
  localStack = await startLocalStack();
});

afterAll(() => localStack?.close());

describe("oauth4webapi", () => {
  // The loopback has no TLS.
  const insecure = { [oauth.allowInsecureRequests]: true };
  const client = { client_id: "browser" };
  const redirectUri = "http://127.0.0.1:54321/callback";

  const readRun = (token: string, id: string) => {
    const url = new URL(`/api/crew-runs/${id}`, localStack.url);
    return oauth.protectedResourceRequest(token, "GET", url, undefined, null, insecure);
  };

  /** Finds the issuer from the API's address, and gets a token by code and PKCE. */
  async function logIn(account: string, scope: Record<string, string>): Promise<oauth.TokenEndpointResponse> {
    const resourceUrl = new URL(localStack.url);
    const found = await oauth.resourceDiscoveryRequest(resourceUrl, insecure);
    const { resource, authorization_servers } = await oauth.processResourceDiscoveryResponse(resourceUrl, found);
    const issuer = new URL(authorization_servers?.[0] ?? "");
    const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure));
    const verifier = oauth.generateRandomCodeVerifier();
    const state = oauth.generateRandomState();
    const request = new URL(server.authorization_endpoint ?? "");
    request.search = new URLSearchParams({
      response_type: "code",
      ...client,
      ...scope,
      redirect_uri: redirectUri,
      resource,
      state,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
    }).toString();
    const redirected = await signIn(request, account);
    expect(`${redirected.origin}${redirected.pathname}`).toBe(redirectUri);
    const code = oauth.validateAuthResponse(server, client, redirected, state);
    const options = { ...insecure, additionalParameters: { resource } };
    const grant = [server, client, oauth.None(), code, redirectUri, verifier, options] as const;
    const granted = await oauth.authorizationCodeGrantRequest(...grant);
    return oauth.processAuthorizationCodeResponse(server, client, granted);
  }

  for (const [account, asked, granted, status] of [
    ["owner", {}, "crew-runs:read", 404],
    ["owner", { scope: "crew-runs:admin" }, "crew-runs:read", 404],
    ["admin", { scope: "crew-runs:admin" }, "crew-runs:read crew-runs:admin", 200],
  ] as const) {
    test(`logs ${account} in with the parameters ${JSON.stringify(asked)}; the stranger's run is a ${status}`, async () => {
      const { access_token: token, scope } = await logIn(account, asked);
      expect(scope).toBe(granted);
      const answer = await readRun(token, COMPLETED);
      expect(answer.status).toBe(200);
      expect(((await answer.json()) as { id: string }).id).toBe(COMPLETED);
      expect((await readRun(token, FOREIGN)).status).toBe(status);
    });
  }

  test("reads the challenge of a worthless token, which leads back to the metadata", async () => {
    const error = await readRun("worthless", COMPLETED).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(oauth.WWWAuthenticateChallengeError);
    expect((error as oauth.WWWAuthenticateChallengeError).cause[0]?.parameters).toMatchObject({
      error: "invalid_token",
      resource_metadata: `${localStack.url}/.well-known/oauth-protected-resource`,
    });
  });
});

/** What a browser does with the request, and a user with the page; gives the address that the browser ends at. */
async function signIn(request: URL, account: string): Promise<URL> {
  const cookies = new Map<string, string>();
  let next = { url: request, init: {} as RequestInit };
  for (;;) {
    const headers = { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") };
    const response = await fetch(next.url, { ...next.init, redirect: "manual", headers });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      cookies.set(name, value);
    }
    const location = response.headers.get("location");
    // The page's form is sent to the page's own address.
    if (location === null) next = { url: next.url, init: { method: "POST", body: new URLSearchParams({ account }) } };
    else next = { url: new URL(location, next.url), init: {} };
    if (next.url.origin !== request.origin) return next.url;
  }
}

const PROGRAMS = [
  ["JavaScript", process.execPath, "receiver.mjs", "console.log(JSON.stringify(await readRun(process.argv[2])));"],
  ["Python", "python3", "receiver.py", "import sys\nprint(json.dumps(read_run(sys.argv[1])))"],
] as const;
const PROGRAM_TIMEOUT_MS = 30_000;
const RETRY_AFTER_SECONDS = 1;

for (const [language, command, file, main] of PROGRAMS) {
  const skip = spawnSync(command, ["--version"]).status !== 0;

  describe(`the receiver of docs/webhooks.md in ${language}`, { skip }, () => {
    let folder: string;
    /** In front of the Worker. Refuses one request with each of these responses before it passes one on. */
    let front: Loopback;
    const refusals: [status: number, code: string][] = [];
    const askedMs: number[] = [];

    beforeAll(async () => {
      folder = await mkdtemp(join(tmpdir(), "crew-run-reader-"));
      const page = await readFile(`${import.meta.dirname}/../../docs/webhooks.md`, "utf8");
      const [, code] = new RegExp(`^\`\`\`\\w+ ${language}\n(.*?)^\`\`\``, "ms").exec(page) ?? [];
      await writeFile(join(folder, file), `${code}\n${main}\n`);
      const server = createServer(async ({ url, headers: { authorization = "", prefer = "" } }, response) => {
        askedMs.push(Date.now());
        const [status, code] = refusals.shift() ?? [];
        if (status !== undefined) {
          response.writeHead(status, { "retry-after": `${RETRY_AFTER_SECONDS}` });
          response.end(JSON.stringify({ detail: code, code }));
          return;
        }
        const passed = { authorization, prefer: String(prefer), "accept-encoding": "identity" };
        const answer = await fetch(`${localStack.url}${url}`, { headers: passed });
        response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text());
      });
      front = await listenOnLoopback(server);
    });

    afterAll(async () => {
      await front?.close();
      await rm(folder, { recursive: true, force: true });
    });

    async function receive(client: "owner" | "admin", runId: string): Promise<{ id: string; status: string }> {
      const { clients, tokenEndpoint } = localStack.authorizationServer;
      const { id, secret } = clients[client];
      askedMs.length = 0;
      const settings = { API: front.url, TOKEN_ENDPOINT: tokenEndpoint, CLIENT_ID: id, CLIENT_SECRET: secret };
      const env = { PATH: process.env["PATH"], ...settings };
      const { stdout } = await execute(command, [join(folder, file), runId], { env, timeout: PROGRAM_TIMEOUT_MS });
      return JSON.parse(stdout) as { id: string; status: string };
    }

    test("reads its own run; with the admin right, every run", async () => {
      expect((await receive("owner", COMPLETED)).id).toBe(COMPLETED);
      expect((await receive("admin", FOREIGN)).id).toBe(FOREIGN);
    });

    test("stops at a 404 and at a 422", async () => {
      await expect(receive("owner", FOREIGN)).rejects.toThrow(/404.*run_not_found/);
      expect(askedMs.length).toBe(1);
      await expect(receive("owner", "not/a/uuid")).rejects.toThrow(/422.*invalid_run_id/);
      expect(askedMs.length).toBe(1);
    });

    for (const refusal of [
      [429, "rate_limited"],
      [503, "database_unavailable"],
    ] as const) {
      test(`waits for Retry-After after a ${refusal[0]} and tries again`, async () => {
        refusals.push([...refusal]);
        expect((await receive("owner", COMPLETED)).id).toBe(COMPLETED);
        const [first = 0, second = 0] = askedMs;
        expect(askedMs.length).toBe(2);
        expect(second - first >= RETRY_AFTER_SECONDS * 1000).toBe(true);
      });
    }

    test("waits for a run whose hook came early, through an outage too", async () => {
      const { database } = localStack;
      const id = await insertRunBy(database, { status: "running" });
      await localStack.databaseProxy.fail({ kind: "drop", times: 3 });
      const linesBefore = localStack.lines.length;
      const [run] = await Promise.all([
        receive("owner", id),
        sleep(7_000).then(() => updateRunBy(database, id, FINISH)),
      ]);
      expect(run.status).toBe("completed");
      const lines = localStack.lines.slice(linesBefore).join("\n");
      expect(lines).toMatch(/"status":503/);
      expect(lines).toMatch(/"waited_ms":\d/);
    });
  });
}
