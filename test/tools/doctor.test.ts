// The doctor against the local stack: the right ✗ for each mistake that it promises to find, and no other. As a command, with all ✓,
// it is run by deploy-guide.test.ts.
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { type IncomingHttpHeaders, createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
/** By path. Other paths hang or redirect. */
const texts = new Map<string, string>();
let lastHeaders: IncomingHttpHeaders = {};
const loopback = await listenOnLoopback(
  createServer((request, response) => {
    lastHeaders = request.headers;
    const text = texts.get(request.url ?? "");
    if (request.url !== "/hangs") response.writeHead(text === undefined ? 302 : 200, { location: "/" }).end(text);
  }),
);

afterAll(() => Promise.all([stack.close(), loopback.close()]));

interface Change extends Partial<DoctorOptions> {
  /** In the configuration, beside the local stack's settings or in their place. */
  settings?: Record<string, string>;
  /** A part of the configuration, and what is there instead. */
  edit?: [from: string, to: string];
  /** Beside it. */
  files?: Record<string, string>;
}

/** Writes what the operator would write. Returns the doctor's options. */
async function prepare({ settings = {}, edit: [from, to] = ["", ""], files = {}, ...options }: Change) {
  const { DATABASE_URL: url, ...others } = { ...stack.variables, ...settings };
  const lines = Object.entries(others).map(([name, value]) => `${name} = "${value}"`);
  const directory = await mkdtemp(join(tmpdir(), "doctor-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  // What was once filled in, before there was a copy, isn't deployed.
  const template = `name = "x"\n[vars]\nJWT_ISSUER = "https://x"`;
  const own = `${CONFIG.replace(from, to)}${lines.join("\n")}\n`;
  const written = { "wrangler.toml": template, "wrangler.production.toml": own, ...files };
  for (const [name, text] of Object.entries(written)) await writeFile(join(directory, name), text);
  const configFile = join(directory, "wrangler.production.toml");
  return { configFile, variables: { DATABASE_URL: url } as Record<string, string>, token, ...options };
}

/** Returns the text's address. */
function serve(text: string): string {
  texts.set(`/${texts.size}`, text);
  return `${loopback.url}/${texts.size - 1}`;
}

const set = (settings: Record<string, string>): Change => ({ settings });
const edit = (from: string, to: string): Change => ({ edit: [from, to] });
const at = (part: "username" | "password" | "pathname" | "hostname", value: string): Record<string, string> => ({
  DATABASE_URL: Object.assign(new URL(DATABASE_URL), { [part]: value }).href,
});
const keysAt = (url: string): Change => ({ settings: { JWKS_URL: url }, withoutMetadata: true });

const keySetText = await (await fetch(JWKS_URL)).text();
const beside = (name: string, text: string): Change => ({ files: { [name]: text } });
const staging = (name: string): Change =>
  beside("wrangler.staging.toml", `name = "${name}"\nroute = "a.example"\n[vars]\nJWT_ISSUER = "https://x"`);
const NO_KEYS = /^✗ no usable keys .*the response is a 302/;
const WRONG_ISSUER = /^✗ the Worker rejects the token: wrong_issuer/;
const unpublished = set({ JWT_ISSUER: `${loopback.url}/unpublished` });
const rfc8414 = { issuer: `${loopback.url}/x`, jwks_uri: JWKS_URL };
texts.set("/.well-known/oauth-authorization-server/x", JSON.stringify(rfc8414));

/** Findings, and no other problem; and the change that causes them. */
test.for<[findings: RegExp | RegExp[], change: Change]>([
  // The configuration.
  [/^✗ wrangler\.production\.toml can't be read\n +Line 2: /, edit("compatibility_date =", "compatibility_date")],
  [/^✗ DATABASE_URL is in wrangler\.production/, edit("[vars]", `[vars]\nDATABASE_URL = "postgresql://u:hunter4@h/d"`)],
  [/^✗ wrangler can't use .*\n.*placement/, edit("[vars]", `[placement]\nmode = "smart"\nregion = "aws:x"\n[vars]`)],
  [/^✗ compatibility_date .* is "2026-09-01"\n.* compatibility_date = "2026-10-01"\n/, edit("-10-", "-09-")],
  [/^✗ compatibility_flags in .*\n/, edit(`"enable_request_signal", `, "")],
  [/^✗ preview_urls in .* is true\n/, edit("preview_urls = false", "preview_urls = true")],
  [/^✗ run_worker_first in .*\n.* under \[assets\]: run_worker_first = \["\/api/, edit(`"/ready", `, "")],
  [/^✗ required in .* is missing\n.* under \[secrets\]/, edit(`secrets = { required = ["DATABASE_URL"] }`, "")],
  [/^✗ .* have one name, x:/, staging("x")],
  [/^✗ .* both have a\.example:/, { ...staging("y"), ...edit("name", `routes = ["a.example"]\nname`) }],
  // The settings.
  [/^✗ JWT_LEEWAY_SECONDS must be .*\n.*: wrangler\.production\.toml\.$/m, set({ JWT_LEEWAY_SECONDS: "99" })],
  [/^✗ DATABASE_URL must be .*\n.*: environment\.$/m, set({ DATABASE_URL: "postgresql://u:hunter2@h" })],
  [/^✗ the Worker has no setting JWKS_URI/, set({ JWKS_URI: "x" })],
  [/^✗ REQUIRED_SCOPE is set only in this shell/, { variables: { DATABASE_URL, REQUIRED_SCOPE: "crew-runs:read" } }],
  [/^✗ \.env\.production also has API_TOKEN\n/, beside(".env.production", "API_TOKEN=y")],
  [/^✗ JWT_AUDIENCE is required\n.*wrangler\.production\.toml under \[vars\]/, set({ JWT_AUDIENCE: "" })],
  // The rest is checked all the same.
  [
    [/^✗ DATABASE_URL is required\n.* \.env\.production, [^]*--secrets-file \.env\.production/, NO_KEYS],
    { ...keysAt(`${loopback.url}/`), variables: {} },
  ],
  // The issuer.
  [[/^✗ JWT_ISSUER is .*\/, but .*[^/]\n/, WRONG_ISSUER], set({ JWT_ISSUER: `${JWT_ISSUER}/` })],
  [[/^✗ .*metadata can't be read: .*openid-configuration: .* 302; .*oauth-auth/, WRONG_ISSUER], unpublished],
  [WRONG_ISSUER, { ...unpublished, withoutMetadata: true }],
  [WRONG_ISSUER, set({ JWT_ISSUER: rfc8414.issuer })],
  [/^✗ JWKS_URL is .*, but .* http.*\/jwks\n/, set({ JWKS_URL: serve(keySetText) })],
  [/^✗ no usable keys .*longer than 262144 bytes/, keysAt(serve(`{"keys":[]}${" ".repeat(262_144)}`))],
  [/^✗ no usable keys .*no usable signature key/, keysAt(serve(`{"keys":[{"kty":"oct","k":"AA"}]}`))],
  [/^✗ no usable keys .*no response in time/, keysAt(`${loopback.url}/hangs`)],
  // The token.
  [/^· no token was checked/, { token: undefined }],
  [/^✗ .* rejects the token: wrong_audience: aud\n[^]*; JWT_AUDIENCE is other/, set({ JWT_AUDIENCE: "other" })],
  [/^✗ the Worker rejects the token: malformed/, { token: "opaque" }],
  [/^✗ the token's signature .*: bad_signature/, { token: token.replace(/\.[^.]{4}(?=[^.]*$)/, ".AAAA") }],
  [/^✗ the token lacks runs:read, .*\n.*: crew-runs:read$/, set({ REQUIRED_SCOPE: "runs:read" })],
  // The database.
  // A lone % can't be percent-decoded.
  [/^✗ the database rejects the role.*: password auth/, set(at("password", "wrong-50%"))],
  [/^✗ the database rejects[^]*\n +alter role reader_2 login password '…'$/, set(at("username", "reader_2"))],
  [/^✗ the database rejects[^]*\n +alter role "runs reader" login password '…'$/, set(at("username", "runs%20reader"))],
  [/^✗ the database returns an error.*"elsewhere" does not exist/, set(at("pathname", "/elsewhere"))],
  [/^✗ the database returns an error.*isn't JSON/, set({ NEON_FETCH_ENDPOINT: serve("<html>") })],
  [/^✗ the database doesn't respond.*: .*ECONNREFUSED/, set({ NEON_FETCH_ENDPOINT: "http://127.0.0.1:2" })],
  [/^· the database is in aws:us-east-2\n.*: region = "aws:us/, set(at("hostname", "ep-x.us-east-2.aws.neon.tech"))],
  [/^✗ the role is too powerful[^]*crew_runs_reader/, set({ DATABASE_URL: stack.ownerDatabaseUrl })],
])("%s", async ([problems, change]) => void (await expectProblems(problems, change)));

/** All findings as they are shown, which must have these problems and no other, no password and no token's signature. */
async function expectProblems(problems: RegExp | RegExp[], change: Change = {}): Promise<string> {
  const findings: string[] = [];
  for await (const finding of diagnose(await prepare(change))) findings.push(formatFinding(finding));
  const shown = findings.join("\n");
  const expected = [problems].flat().map((problem) => expect.stringMatching(problem));
  expect(findings.filter((each) => /^[✗·]/.test(each))).toEqual(expected);
  const urls = JSON.stringify([change, DATABASE_URL, stack.ownerDatabaseUrl]);
  const passwords = [...urls.matchAll(/:([^:@/]+)@/g)].map(([, password]) => password);
  for (const secret of [...passwords, token.split(".")[2]]) expect(shown).not.toContain(secret);
  return shown;
}

const schema = await readFile(`${import.meta.dirname}/../../schema.sql`, "utf8");
const MENDING = `drop schema if exists app cascade; drop schema public cascade; drop owned by ${READER}; drop role ${READER};
  drop role if exists neon_superuser; create schema public authorization pg_database_owner;
  grant usage on schema public to public; set session authorization ${OWNER_ROLE}; ${schema}; set session authorization postgres`;
const GRANT = `grant select (id, correlation_id, owner_id, status, created_at, crew_type, crew_config, task_input, error,
  started_at, completed_at) on crew_runs to ${READER}`;
const WRITE = "grant create on schema public to public; grant delete on other to public";
const TIMEOUT = `alter role ${READER} set statement_timeout`;

/** A finding, and no other problem; and the statements that cause it. */
test.for<[finding: RegExp, sql: string]>([
  [/^✗ the role finds no crew_runs/, "create schema app; alter table crew_runs set schema app"],
  [/^✗ the column error is missing/, "alter table crew_runs rename error to failure"],
  [/^✗ the column id is text, not uuid/, "alter table crew_runs alter column id type text"],
  [/^✗ .* is timestamp without time zone, not timestamptz/, "alter table crew_runs alter started_at type timestamp"],
  [/^✗ the role can't read the column result/, `revoke select on crew_runs from ${READER}; ${GRANT}`],
  [/^✗ the role is too powerful: superuser/, `alter role ${READER} superuser`],
  // As Neon's console makes roles.
  [/^✗ .* powerful: member of neon_superuser/, `create role neon_superuser; grant neon_superuser to ${READER}`],
  [/^✗ the role can write public\.crew_runs/, `grant update (result) on crew_runs to ${READER}`],
  [/^✗ the role can write public\.other, schema public/, `create table other (n int); ${WRITE}`],
  [/^✗ statements end after 5000 ms; .* 4000 ms [^]*set statement_timeout = '3s'$/, `${TIMEOUT} = '5s'`],
  [/^✗ statements never end/, `${TIMEOUT} = 0`],
  [/^· row-level security is on/, "alter table crew_runs enable row level security"],
])("%s", async ([finding, sql]) => {
  await stack.database.exec(sql);
  onTestFinished(async () => void (await stack.database.exec(MENDING)));
  await expectProblems(finding);
});

test("the key set is requested as the Worker requests it, and keys that the Worker would skip aren't counted", async () => {
  const { keys } = JSON.parse(keySetText) as { keys: object[] };
  const url = serve(JSON.stringify({ keys: [...keys, { kty: "RSA", use: "enc", alg: "RSA-OAEP" }] }));
  expect(await expectProblems([], keysAt(url))).toMatch(/✓ 2 of 3 keys at .* can be used: RS256 \S+, ES256 \S+$/m);
  expect(lastHeaders).toMatchObject(KEY_SET_REQUEST.headers);
});

test("each finding comes at once, though the database hangs", async () => {
  const options = await prepare(set({ NEON_FETCH_ENDPOINT: `${loopback.url}/hangs` }));
  for await (const { text } of diagnose(options)) if (text.startsWith("the token can read")) return;
  expect.fail("the token's finding came after the database's");
});
