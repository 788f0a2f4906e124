// Clients as others write them, against the real Worker and the local authorization server: a strict OAuth library that is
// told nothing but the API's address, and the programs of docs/webhooks.md as they stand there.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import * as oauth from "oauth4webapi";
import { type Deployment, startDeployment } from "./deployment.ts";

const COMPLETED = "11111111-1111-4111-8111-111111111111";
const FOREIGN = "66666666-6666-4666-8666-666666666666";

const execute = promisify(execFile);
let deployment: Deployment;
let folder: string;

before(async () => {
  deployment = await startDeployment();
  folder = await mkdtemp(join(tmpdir(), "crew-run-reader-"));
});

after(async () => {
  await deployment?.close();
  await rm(folder, { recursive: true, force: true });
});

test("oauth4webapi finds the issuer, signs a user in with PKCE and reads a run", async () => {
  // The loopback has no TLS.
  const insecure = { [oauth.allowInsecureRequests]: true };
  const resourceUrl = new URL(deployment.url);
  const resource = await oauth.processResourceDiscoveryResponse(
    resourceUrl,
    await oauth.resourceDiscoveryRequest(resourceUrl, insecure),
  );
  const issuer = new URL(resource.authorization_servers?.[0] ?? "");
  const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure));

  const client = { client_id: "browser" };
  const redirectUri = "http://127.0.0.1:54321/callback";
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const request = new URL(server.authorization_endpoint ?? "");
  request.search = new URLSearchParams({
    response_type: "code",
    client_id: client.client_id,
    redirect_uri: redirectUri,
    resource: resource.resource,
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  }).toString();
  const redirected = await signIn(request, "owner");
  assert.ok(redirected.href.startsWith(`${redirectUri}?`));
  const parameters = oauth.validateAuthResponse(server, client, redirected, state);
  const granted = await oauth.authorizationCodeGrantRequest(
    server,
    client,
    oauth.None(),
    parameters,
    redirectUri,
    verifier,
    { ...insecure, additionalParameters: { resource: resource.resource } },
  );
  const { access_token: token } = await oauth.processAuthorizationCodeResponse(server, client, granted);

  const runUrl = new URL(`/api/crew-runs/${COMPLETED}`, resourceUrl);
  const ask = (each: string) => oauth.protectedResourceRequest(each, "GET", runUrl, undefined, null, insecure);
  const answer = await ask(token);
  assert.equal(answer.status, 200);
  assert.equal(((await answer.json()) as { id: string }).id, COMPLETED);
  await assert.rejects(ask("worthless"), (error) => {
    assert.ok(error instanceof oauth.WWWAuthenticateChallengeError);
    const [challenge] = error.cause;
    assert.equal(challenge?.parameters.error, "invalid_token");
    const metadataUrl = challenge?.parameters["resource_metadata"];
    assert.equal(metadataUrl, `${deployment.url}/.well-known/oauth-protected-resource`);
    return true;
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

for (const [language, command, file, main] of PROGRAMS) {
  const isThere = await execute(command, ["--version"]).then(
    () => true,
    () => false,
  );
  const skip = isThere ? false : `${command} is not on this machine`;

  test(`the receiver of docs/webhooks.md in ${language} reads what a hook names`, { skip }, async () => {
    const page = await readFile(`${import.meta.dirname}/../../docs/webhooks.md`, "utf8");
    const [, code] = new RegExp(`^\`\`\`\\w+ ${language}\n(.*?)^\`\`\``, "ms").exec(page) ?? [];
    await writeFile(join(folder, file), `${code}\n${main}\n`);
    const { authorizationServer, database } = deployment.stack;
    const receive = async (client: "owner" | "admin", runId: string) => {
      const { id, secret } = authorizationServer.clients[client];
      const env = {
        PATH: process.env["PATH"],
        API: deployment.url,
        TOKEN_ENDPOINT: authorizationServer.tokenEndpoint,
        CLIENT_ID: id,
        CLIENT_SECRET: secret,
      };
      const { stdout } = await execute(command, [join(folder, file), runId], { env, timeout: 30_000 });
      return JSON.parse(stdout) as { id: string; status: string };
    };

    assert.equal((await receive("owner", COMPLETED)).id, COMPLETED);
    assert.equal((await receive("admin", FOREIGN)).id, FOREIGN);
    await assert.rejects(receive("owner", FOREIGN), /404.*run_not_found/);
    await assert.rejects(receive("owner", "not/a/uuid"), /422.*invalid_run_id/);

    // A hook that came early, and in an outage.
    const { rows } = await database.query<{ id: string }>(
      "insert into crew_runs (id, correlation_id, owner_id, status) values (gen_random_uuid(), '', 'owner', 'running') returning id",
    );
    const id = String(rows[0]?.id);
    await deployment.breakDatabase({ kind: "drop", times: 3 });
    const linesBefore = deployment.lines.length;
    const [run] = await Promise.all([
      receive("owner", id),
      sleep(7_000).then(() =>
        database.query("update crew_runs set status = 'completed', completed_at = now() where id = $1", [id]),
      ),
    ]);
    assert.equal(run.status, "completed");
    const lines = deployment.lines.slice(linesBefore).join("\n");
    assert.match(lines, /"status":503/);
    assert.match(lines, /"waited_ms":\d/);
  });
}
