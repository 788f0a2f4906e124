// The doctor against the local stack: all ✓ while it is healthy, and the right ✗ for each mistake that it promises to find.
import { execFile, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { type IncomingHttpHeaders, createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { formatFinding } from "../../dev/checklist.ts";
import { OWNER_ROLE, READER_ROLE as READER } from "../../dev/database.ts";
import { type DoctorOptions, diagnose } from "../../dev/doctor.ts";
import { startUpstreams } from "../../dev/local-stack.ts";
import { listenOnLoopback } from "../../dev/loopback.ts";
import { KEY_SET_REQUEST } from "../../src/auth/key-set-request.ts";

/** What every configuration needs. */
const CONFIG = `name = "x"
compatibility_date = "2026-10-01"
compatibility_flags = ["enable_request_signal", "global_fetch_strictly_public"]
preview_urls = false
assets = { directory = ".", run_worker_first = ["/api/*", "/health", "/ready", "/.well-known/*"] }
version_metadata = { binding = "CF_VERSION_METADATA" }
observability = { enabled = true, redact_query_string = true, logs = { invocation_logs = false } }
secrets = { required = ["DATABASE_URL"] }
[vars]
`;

const stack = await startUpstreams();
const { DATABASE_URL, JWT_ISSUER, JWKS_URL } = stack.variables;
const token = await stack.authorizationServer.fetchToken("owner");
const directory = await mkdtemp(join(tmpdir(), "doctor-"));
// What was once filled in, before there was a copy, isn't deployed.
await writeFile(join(directory, "wrangler.toml"), `name = "x"\n[vars]\nJWT_ISSUER = "https://x"`);
/** Responses by path; a path without one hangs. */
const responses = new Map<string, { status: number; text: string }>();
/** By path, those of the last request. */
const requestHeaders = new Map<string, IncomingHttpHeaders>();
const loopback = await listenOnLoopback(
  createServer((request, response) => {
    requestHeaders.set(request.url ?? "", request.headers);
    const found = responses.get(request.url ?? "");
    if (found !== undefined) response.writeHead(found.status, { location: "/" }).end(found.text);
  }),
);

afterAll(() => Promise.all([stack.close(), loopback.close(), rm(directory, { recursive: true })]));

interface Change extends Partial<DoctorOptions> {
  /** In the configuration, beside the local stack's settings or in their place. */
  settings?: Record<string, string>;
  /** A part of the configuration, and what is there instead. */
  edit?: [from: string, to: string];
  /** A second file beside it. */
  staging?: string;
  /** The file with the secret; without it, DATABASE_URL is in the shell. */
  secrets?: string;
  /** Breaks the database. */
  sql?: string;
}

/** Writes what the operator would write. Returns the doctor's options. */
async function prepare({ settings = {}, edit: [from, to] = ["", ""], staging = "", secrets, ...options }: Change) {
  const { DATABASE_URL: url = "", ...others } = { ...stack.variables, ...settings };
  const lines = Object.entries(others).map(([name, value]) => `${name} = "${value}"`);
  const configFile = join(directory, "wrangler.production.toml");
  await writeFile(configFile, `${CONFIG.replace(from, to)}${lines.join("\n")}\n`);
  await writeFile(join(directory, ".env.production"), secrets ?? "");
  await writeFile(join(directory, "wrangler.staging.toml"), staging);
  const variables: Record<string, string> = secrets === undefined ? { DATABASE_URL: url } : {};
  return { configFile, variables, token, ...options };
}

/** All findings as they are shown. None may contain a password or a token's signature, and each ✗ must have a remedy. */
async function examine(change: Change = {}): Promise<string[]> {
  const findings = [];
  for await (const finding of diagnose(await prepare(change))) findings.push(finding);
  const shown = findings.map(formatFinding);
  const urls = [change.settings?.["DATABASE_URL"], change.secrets, DATABASE_URL, stack.ownerDatabaseUrl];
  const passwords = urls.flatMap((url) => /:([^:@]+)@/.exec(url ?? "")?.[1] ?? []);
  for (const secret of [...passwords, token.split(".")[2]]) expect(shown.join("\n")).not.toContain(secret);
  for (const { mark, text, remedy } of findings) expect(mark !== "bad" || remedy !== undefined, text).toBe(true);
  return shown;
}

function serve(text: string, status = 200, path = `/${crypto.randomUUID()}`): string {
  responses.set(path, { text, status });
  return loopback.url + path;
}

const set = (settings: Record<string, string>): Change => ({ settings });
const edit = (from: string, to: string): Change => ({ edit: [from, to] });
const sql = (text: string): Change => ({ sql: text });
const at = (part: "password" | "pathname" | "hostname", value: string): Record<string, string> => ({
  DATABASE_URL: Object.assign(new URL(DATABASE_URL), { [part]: value }).href,
});
const keysAt = (url: string): Change => ({ settings: { JWKS_URL: url }, withoutMetadata: true });

const schema = await readFile(`${import.meta.dirname}/../../schema.sql`, "utf8");
const MENDING = `drop schema if exists app cascade; drop schema public cascade; drop owned by ${READER}; drop role ${READER};
  drop role if exists neon_superuser; create schema public authorization pg_database_owner;
  grant usage on schema public to public; set session authorization ${OWNER_ROLE}; ${schema}; set session authorization postgres`;
const COLUMNS =
  "id, correlation_id, owner_id, status, created_at, crew_type, crew_config, task_input, error, completed_at";
const GRANT = `grant select (${COLUMNS}, started_at) on crew_runs to ${READER}`;
const VIEW = `alter table crew_runs rename to stored; grant select on stored to public; create view crew_runs as
  select ${COLUMNS}, result, started_at::timestamp from stored; grant select on crew_runs to ${READER}`;
const WRITE = "grant create on schema public to public; grant delete on other to public";
const STAGING = `name = "y"\nroute = "a.example"\n[vars]\nJWT_ISSUER = "https://x"`;
const TIMEOUT = `alter role ${READER} set statement_timeout`;
const SMART = `[placement]\nmode = "smart"\n[vars]`;
const keySetText = await (await fetch(JWKS_URL)).text();
const onNeon = at("hostname", "ep-cool-darkness-123456.us-east-2.aws.neon.tech");
const withoutMetadata = serve("", 404);
serve("", 404, `${new URL(withoutMetadata).pathname}/.well-known/openid-configuration`);
serve("", 404, `/.well-known/oauth-authorization-server${new URL(withoutMetadata).pathname}`);

test("a healthy stack is all ✓", async () => {
  for (const finding of await examine()) expect(finding).toMatch(/^✓/);
});

/** One finding, and no other problem; and the change that causes it. */
test.for<[finding: RegExp, change: Change]>([
  // The configuration.
  [/^✗ wrangler\.production\.toml can't be read\n +Line 2: /, edit("compatibility_date =", "compatibility_date")],
  [
    /^✗ DATABASE_URL is in wrangler\.production\.toml/,
    edit("[vars]", `[vars]\nDATABASE_URL = "postgresql://u:p4@h/d"`),
  ],
  [/^✗ wrangler can't use .*\n.*placement/, edit("[vars]", `[placement]\nmode = "smart"\nregion = "aws:x"\n[vars]`)],
  [/^✗ compatibility_date .* is "2026-09-01"\n.* compatibility_date = "2026-10-01"\n/, edit("-10-", "-09-")],
  [/^✗ compatibility_flags in .*\n/, edit(`"enable_request_signal", `, "")],
  [/^✗ preview_urls in .* is true\n/, edit("preview_urls = false", "preview_urls = true")],
  [/^✗ run_worker_first in .*\n.* under \[assets\]: run_worker_first = \["\/api/, edit(`"/ready", `, "")],
  [/^✗ required in .* is missing\n.* under \[secrets\]/, edit(`secrets = { required = ["DATABASE_URL"] }`, "")],
  [/^✗ .* have one name, x:/, { staging: STAGING.replace('"y"', '"x"') }],
  [/^✗ .* both have a\.example:/, { ...edit("name", `routes = ["a.example"]\nname`), staging: STAGING }],
  // The settings.
  [/^✗ JWT_LEEWAY_SECONDS must be .*\n.*: wrangler\.production\.toml\.$/m, set({ JWT_LEEWAY_SECONDS: "99" })],
  [/^✗ DATABASE_URL must be .*\n.*: environment\.$/m, set({ DATABASE_URL: "postgresql://u:hunter2@h" })],
  [/^✗ the Worker has no setting JWKS_URI/, set({ JWKS_URI: "x" })],
  [/^✗ REQUIRED_SCOPE is set only in this shell/, { variables: { DATABASE_URL, REQUIRED_SCOPE: "crew-runs:read" } }],
  [/^✗ \.env\.production also has API_TOKEN\n/, { secrets: `DATABASE_URL='${DATABASE_URL}'\nAPI_TOKEN=y` }],
  // The issuer.
  [/^✗ JWKS_URL is .*, but .* http.*\/jwks\n/, set({ JWKS_URL: serve(keySetText) })],
  [/^✗ no usable keys .*the response is a 500/, keysAt(serve("{}", 500))],
  [/^✗ no usable keys .*the response is a 302/, keysAt(serve("", 302))],
  [/^✗ no usable keys .*the response isn't JSON/, keysAt(serve("<html>"))],
  [/^✗ no usable keys .*longer than 262144 bytes/, keysAt(serve(`{"keys":[]}${" ".repeat(262_144)}`))],
  [/^✗ no usable keys .*no usable signature key/, keysAt(serve(`{"keys":[{"kty":"oct","k":"AA"}]}`))],
  [/^✗ no usable keys .*no response in time/, keysAt(`${loopback.url}/hangs`)],
  // The token.
  [/^· no token was checked/, { token: undefined }],
  [
    /^✗ the Worker rejects the token: wrong_audience: aud\n(.*\n)*.*; JWT_AUDIENCE is other/,
    set({ JWT_AUDIENCE: "other" }),
  ],
  [/^✗ the Worker rejects the token: malformed/, { token: "opaque" }],
  [/^✗ the token's signature .*: bad_signature/, { token: token.replace(/\.[^.]{4}(?=[^.]*$)/, ".AAAA") }],
  [/^✗ the token lacks runs:read, .*\n.*: crew-runs:read$/, set({ REQUIRED_SCOPE: "runs:read" })],
  // The database.
  [/^✗ the database rejects the role.*: password auth/, set(at("password", "wrong-one"))],
  // A lone % can't be percent-decoded.
  [/^✗ the database rejects the role.*: password auth/, set(at("password", "wrong-50%"))],
  [/^✗ the database returns an error.*"elsewhere" does not exist/, set(at("pathname", "/elsewhere"))],
  [
    /^✗ the database returns an error.*status 500.*suspended/,
    set({ NEON_FETCH_ENDPOINT: serve("it is suspended", 500) }),
  ],
  [/^✗ the database returns an error.*isn't JSON/, set({ NEON_FETCH_ENDPOINT: serve("<html>") })],
  [/^✗ the database doesn't respond.*: .*ECONNREFUSED/, set({ NEON_FETCH_ENDPOINT: "http://127.0.0.1:2" })],
  [/^· the database is in aws:us-east-2\n.*under \[placement\]: region = "aws:us-east-2"$/, set(onNeon)],
  [/^· the database is in aws:.*\n.*, in place of mode: region/, { ...set(onNeon), ...edit("[vars]", SMART) }],
  [/^✗ the role is too powerful[^]*crew_runs_reader/, set({ DATABASE_URL: stack.ownerDatabaseUrl })],
  [/^✗ the role finds no crew_runs/, sql("create schema app; alter table crew_runs set schema app")],
  [/^✗ the column error is missing/, sql("alter table crew_runs rename error to failure")],
  [/^✗ the column id is text, not uuid/, sql("alter table crew_runs alter column id type text")],
  [/^✗ the column started_at is timestamp without time zone, not timestamptz/, sql(VIEW)],
  [/^✗ the role can't read the column result/, sql(`revoke select on crew_runs from ${READER}; ${GRANT}`)],
  [/^✗ the role is too powerful: superuser/, sql(`alter role ${READER} superuser`)],
  // As Neon's console makes roles.
  [/^✗ .* powerful: member of neon_superuser/, sql(`create role neon_superuser; grant neon_superuser to ${READER}`)],
  [/^✗ the role can write public\.crew_runs/, sql(`grant update (result) on crew_runs to ${READER}`)],
  [/^✗ the role can write public\.other, schema public/, sql(`create table other (n int); ${WRITE}`)],
  [/^✗ statements end after 5000 ms; .* 4000 ms [^]*set statement_timeout = '3s'$/, sql(`${TIMEOUT} = '5s'`)],
  [/^✗ statements never end/, sql(`${TIMEOUT} = 0`)],
  [/^· row-level security is on/, sql("alter table crew_runs enable row level security")],
])("%s", async ([finding, change]) => {
  if (change.sql !== undefined) {
    await stack.database.exec(change.sql);
    onTestFinished(async () => void (await stack.database.exec(MENDING)));
  }
  const problems = (await examine(change)).filter((each) => /^[✗·]/.test(each));
  expect(problems, problems.join("\n")).toEqual([expect.stringMatching(finding)]);
});

test("an issuer that differs by a slash is shown beside the metadata's; one without metadata can be passed over", async () => {
  const withSlash = `${JWT_ISSUER}/`;
  const rejected = expect.stringMatching("^✗ the Worker rejects the token: wrong_issuer");
  const wrong = (change: Change) => examine(change).then((shown) => shown.filter((each) => each.startsWith("✗")));
  const differs = expect.stringMatching(`^✗ JWT_ISSUER is ${withSlash}, but .* ${JWT_ISSUER}\n`);
  expect(await wrong(set({ JWT_ISSUER: withSlash }))).toEqual([differs, rejected]);
  const none = expect.stringMatching(/^✗ .*metadata can't be read: .*openid-configuration: .* 404; .*oauth-auth/);
  expect(await wrong(set({ JWT_ISSUER: withoutMetadata }))).toEqual([none, rejected]);
  expect(await wrong({ ...set({ JWT_ISSUER: withoutMetadata }), withoutMetadata: true })).toEqual([rejected]);
});

test("what is missing is named, and the rest is checked all the same", async () => {
  const shown = (await examine({ ...set({ JWT_AUDIENCE: "" }), variables: {} })).join("\n");
  expect(shown).toMatch(/^✗ DATABASE_URL is required\n.* \.env\.production, [^]*--secrets-file \.env\.production/m);
  expect(shown).toMatch(/^✗ JWT_AUDIENCE is required\n.*wrangler\.production\.toml under \[vars\]/m);
  expect(shown).toMatch(/^✓ 2 of 2 keys at/m);
  expect(shown).toMatch(/^– the database isn't checked: DATABASE_URL must be set first/m);
});

test("the key set is requested as the Worker requests it, and keys that the Worker would skip aren't counted", async () => {
  const { keys } = JSON.parse(keySetText) as { keys: object[] };
  const url = serve(JSON.stringify({ keys: [...keys, { kty: "RSA", use: "enc", alg: "RSA-OAEP" }] }));
  expect((await examine(keysAt(url))).join("\n")).toMatch(/✓ 2 of 3 keys at .* can be used: RS256 \S+, ES256 \S+$/m);
  expect(requestHeaders.get(new URL(url).pathname)).toMatchObject(KEY_SET_REQUEST.headers);
});

test("as a command: exit code 0 when healthy, 1 when not, and each finding is printed at once", async () => {
  const { configFile, variables } = await prepare({});
  const args = [`${import.meta.dirname}/../../dev/doctor.ts`, "--config", configFile];
  const env = { PATH: process.env["PATH"], ...variables, SMOKE_TOKEN: token };
  const run = () => promisify(execFile)(process.execPath, args, { env });
  expect((await run()).stdout).toMatch(/\n✓ the token can read the runs whose owner_id is owner\n[^]*\n\d+ ✓, 0 ✗\n$/);
  await prepare(set({ JWT_AUDIENCE: "other" }));
  await expect(run()).rejects.toMatchObject({ code: 1, stdout: expect.stringMatching(/\n✗ [^]*, 1 ✗\n$/) });
  await prepare(set({ NEON_FETCH_ENDPOINT: `${loopback.url}/hangs` }));
  const child = spawn(process.execPath, args, { env });
  onTestFinished(() => void child.kill());
  let output = "";
  for await (const chunk of child.stdout) {
    output += String(chunk);
    if (output.includes("✓ the token")) break;
  }
  expect(output).not.toMatch(/database/);
});
