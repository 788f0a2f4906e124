// The doctor against the local stack: all ✓ while it is healthy, and the right ✗ for each mistake that it promises to find.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { type Finding, formatFinding } from "../../dev/checklist.ts";
import { type DoctorOptions, diagnose } from "../../dev/doctor.ts";
import { type Stack, startStack } from "../../dev/stack.ts";

type Variables = Record<string, string | undefined>;

let stack: Stack;
let directory: string;
/** Answers by path. */
let server: Server;
let serverUrl: string;
const answers = new Map<string, { status?: number; text: string }>();

before(async () => {
  stack = await startStack();
  directory = await mkdtemp(join(tmpdir(), "doctor-"));
  server = createServer((request, response) => {
    const answer = answers.get(request.url ?? "");
    if (answer !== undefined) response.writeHead(answer.status ?? 200, { location: "/" }).end(answer.text);
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  serverUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

after(async () => {
  server.close();
  server.closeAllConnections();
  await Promise.all([stack.close(), rm(directory, { recursive: true })]);
});

/** All findings, none of which may hold a password; each ✗ must say what to do. */
async function examine(variables: Variables = {}, options: Partial<DoctorOptions> & { config?: string } = {}) {
  await writeFile(join(directory, "wrangler.toml"), options.config ?? `name = "x"`);
  const all: Variables = { ...stack.variables, ...variables };
  const configFile = pathToFileURL(join(directory, "wrangler.toml"));
  const defaults = { configFile, environmentName: undefined, withoutMetadata: false };
  const findings = await diagnose({ ...defaults, variables: all, ...options });
  for (const finding of findings) {
    for (const url of [all["DATABASE_URL"], stack.ownerDatabaseUrl]) {
      const password = URL.parse(url ?? "")?.password ?? "";
      assert.ok(password === "" || !formatFinding(finding).includes(password), "a finding holds a password");
    }
    assert.ok(finding.mark !== "bad" || finding.remedy !== undefined, finding.text);
  }
  return findings;
}

/** Expects one ✗, which this matches. */
async function expectBad(pattern: RegExp, ...args: Parameters<typeof examine>): Promise<Finding> {
  const found = (await examine(...args)).filter(({ mark }) => mark === "bad");
  assert.equal(found.length, 1, found.map(formatFinding).join("\n"));
  const [finding] = found;
  assert.ok(finding !== undefined);
  assert.match(finding.text, pattern);
  return finding;
}

/** Expects one hint, which this matches, and no ✗. */
async function expectHint(pattern: RegExp, ...args: Parameters<typeof examine>): Promise<Finding> {
  const found = (await examine(...args)).filter(({ mark }) => mark !== "ok");
  assert.equal(found.length, 1, found.map(formatFinding).join("\n"));
  const [finding] = found;
  assert.ok(finding?.mark === "hint");
  assert.match(finding.text, pattern);
  return finding;
}

function serve(text: string, status = 200): string {
  const path = `/${crypto.randomUUID()}`;
  answers.set(path, { text, status });
  return serverUrl + path;
}

test("a healthy stack is all ✓", async () => {
  const findings = await examine();
  assert.deepEqual(findings.filter(({ mark }) => mark !== "ok").map(formatFinding), []);
  assert.equal(findings.length, 7);
});

describe("settings", () => {
  test("what is missing is named, and the rest is checked all the same", async () => {
    const findings = await examine({ DATABASE_URL: undefined, JWT_AUDIENCE: "" });
    const texts = findings.map(formatFinding).join("\n");
    assert.match(texts, /✗ DATABASE_URL is required\n.*npx wrangler secret put DATABASE_URL\n/);
    assert.match(texts, /✗ JWT_AUDIENCE is required\n.*wrangler\.toml under \[vars\]/);
    assert.match(texts, /✓ 2 of 2 keys at/);
    assert.match(texts, /– not checked: DATABASE_URL must be set first/);
  });

  test("a malformed one is told by its rule and its origin, without its value", async () => {
    const DATABASE_URL = "postgresql://u:hunter2@h";
    const finding = await expectBad(/^DATABASE_URL must be postgresql:/, { DATABASE_URL });
    assert.match(finding.remedy ?? "", /environment/);
    assert.doesNotMatch(formatFinding(finding), /hunter2/);
  });

  test("production is the top level; another environment has its own variables and secrets, and inherits none", async () => {
    const { DATABASE_URL, JWT_AUDIENCE, ...others } = stack.variables;
    await writeFile(join(directory, ".env.production"), `DATABASE_URL='${DATABASE_URL}'\n`);
    await writeFile(join(directory, ".env.staging"), `DATABASE_URL='${DATABASE_URL}'\n`);
    const lines = Object.entries(others).map(([name, value]) => `${name} = "${value}"`);
    const config = [`name = "x"`, "[vars]", `JWT_AUDIENCE = "x"`, ...lines, "[env.staging.vars]", ...lines].join("\n");
    const [first] = await examine({}, { config, variables: {} });
    assert.match(first?.text ?? "", /JWT_AUDIENCE \(wrangler\.toml\).*DATABASE_URL \(\.env\.production\)/);
    const staging = { config, environmentName: "staging", variables: {} };
    const finding = await expectBad(/^JWT_AUDIENCE is required/, {}, staging);
    assert.match(finding.remedy ?? "", /\[env\.staging\.vars\]/);
    const [fromShell] = await examine({}, { ...staging, variables: { JWT_AUDIENCE, DATABASE_URL } });
    assert.match(fromShell?.text ?? "", /DATABASE_URL \(environment\).*JWT_AUDIENCE \(environment\)/);
  });

  test("a misspelt name, a committed secret, an unknown environment and a broken file are found", async () => {
    await expectBad(/^JWKS_URI \(wrangler\.toml\) is no setting/, {}, { config: `name = "x"\n[vars]\nJWKS_URI = "x"` });
    const committed = { config: `name = "x"\n[vars]\nDATABASE_URL = "postgresql://u:p4ss@h/d"` };
    await expectBad(/^DATABASE_URL is written in wrangler\.toml/, {}, committed);
    await expectBad(/^wrangler\.toml has no environment prod/, {}, { environmentName: "prod" });
    await expectBad(/^wrangler\.toml cannot be read/, {}, { config: `name = [` });
  });
});

describe("issuer", () => {
  test("a JWT_ISSUER that differs by a slash, or a JWKS_URL of somebody else, is told what the issuer says", async () => {
    const { JWT_ISSUER } = stack.variables;
    await expectBad(new RegExp(`^JWT_ISSUER is ${JWT_ISSUER}/, but the issuer's issuer is ${JWT_ISSUER}$`), {
      JWT_ISSUER: `${JWT_ISSUER}/`,
    });
    const JWKS_URL = serve(await (await fetch(stack.variables.JWKS_URL)).text());
    await expectBad(/^JWKS_URL is .*, but the issuer's jwks_uri is/, { JWKS_URL });
  });

  test("an issuer without metadata is ✗, and passed over where that is known", async () => {
    const JWT_ISSUER = serve("", 404);
    answers.set(`${new URL(JWT_ISSUER).pathname}/.well-known/openid-configuration`, { status: 404, text: "" });
    const inserted = `/.well-known/oauth-authorization-server${new URL(JWT_ISSUER).pathname}`;
    answers.set(inserted, { status: 404, text: "" });
    await expectBad(/^no issuer metadata: .*openid-configuration: it answered 404; .*oauth-auth/, { JWT_ISSUER });
    assert.ok((await examine({ JWT_ISSUER }, { withoutMetadata: true })).every(({ mark }) => mark === "ok"));
  });

  for (const [title, text, status, pattern] of [
    ["answers with an error", "{}", 500, /it answered 500/],
    ["redirects", "", 302, /it answered 302/],
    ["answers with a page", "<html>", 200, /it is no JSON/],
    ["is the metadata", `{"issuer":"x"}`, 200, /no JSON Web Key Set/],
    ["is too large", `{"keys":[]}${" ".repeat(262_144)}`, 200, /longer than 262144 bytes/],
    ["holds a shared secret only", `{"keys":[{"kty":"oct","k":"AA"}]}`, 200, /no usable signature key/],
  ] as const) {
    test(`a key endpoint that ${title} is ✗`, async () => {
      await expectBad(pattern, { JWKS_URL: serve(text, status) }, { withoutMetadata: true });
    });
  }

  test("a key endpoint that hangs is ✗ after three seconds", async () => {
    await expectBad(/no answer in time/, { JWKS_URL: `${serverUrl}/hangs` }, { withoutMetadata: true });
  });

  test("keys that the Worker would pass over are not counted as usable", async () => {
    const { keys } = (await (await fetch(stack.variables.JWKS_URL)).json()) as { keys: object[] };
    const strange = { kty: "RSA", use: "enc", alg: "RSA-OAEP", kid: "for encryption" };
    const JWKS_URL = serve(JSON.stringify({ keys: [...keys, strange] }));
    const texts = (await examine({ JWKS_URL }, { withoutMetadata: true })).map(formatFinding).join("\n");
    assert.match(texts, /✓ 2 of 3 keys at .* can be used: RS256 \S+, ES256 \S+$/m);
    await expectBad(/no usable signature key/, { JWT_ALGORITHMS: "EdDSA" });
  });
});

describe("database", () => {
  const change = (edit: (url: URL) => void): string => {
    const url = new URL(stack.variables.DATABASE_URL);
    edit(url);
    return url.href;
  };

  test("a wrong password, a wrong database and an endpoint that fails or is not there are told apart", async () => {
    const wrongPassword = change((url) => (url.password = "wrong-one"));
    await expectBad(/^the database does not answer.*password authentication failed/, { DATABASE_URL: wrongPassword });
    const wrongDatabase = change((url) => (url.pathname = "/elsewhere"));
    await expectBad(/database "elsewhere" does not exist/, { DATABASE_URL: wrongDatabase });
    const failing = serve("compute is suspended", 500);
    await expectBad(/HTTP status 500.*compute is suspended/, { NEON_FETCH_ENDPOINT: failing });
    await expectBad(/it is no JSON/, { NEON_FETCH_ENDPOINT: serve("<html>") });
    await expectBad(/at NEON_FETCH_ENDPOINT: .*ECONNREFUSED/, { NEON_FETCH_ENDPOINT: "http://127.0.0.1:2" });
  });

  test("a database on Neon gives the line that places the Worker near it", async () => {
    const DATABASE_URL = change((url) => (url.hostname = "ep-cool-darkness-123456.us-east-2.aws.neon.tech"));
    const finding = await expectHint(/^the database is in aws:us-east-2$/, { DATABASE_URL });
    assert.match(finding.remedy ?? "", /region = "aws:us-east-2"$/);
    const config = `name = "x"\nplacement = { region = "aws:us-east-2" }`;
    const placed = await examine({ DATABASE_URL }, { config });
    assert.ok(placed.every(({ mark }) => mark === "ok"));
  });

  const reader = "crew_runs_reader";
  const cases: [title: string, breakIt: string, mendIt: string, pattern: RegExp][] = [
    [
      "a table that is not there, or not in the search path",
      "create schema app; alter table crew_runs set schema app",
      "alter table app.crew_runs set schema public; drop schema app",
      /^the role finds no crew_runs$/,
    ],
    [
      "a column that is missing",
      "alter table crew_runs rename column error to failure",
      "alter table crew_runs rename column failure to error",
      /^the column error is missing$/,
    ],
    [
      "a time without a time zone",
      `alter table crew_runs rename to stored; create view crew_runs as
         select id, correlation_id, owner_id, status, created_at, crew_type, crew_config, task_input, result, error,
                started_at::timestamp, completed_at from stored;
       revoke select on stored from ${reader}; grant select on crew_runs to ${reader}`,
      `drop view crew_runs; alter table stored rename to crew_runs; grant select on crew_runs to ${reader}`,
      /^the column started_at is timestamp without time zone, not timestamptz$/,
    ],
    [
      "an id that is text",
      "alter table crew_runs alter column id type text",
      "alter table crew_runs alter column id type uuid using id::uuid",
      /^the column id is text, not uuid$/,
    ],
    [
      "a column that the role may not read",
      `revoke select on crew_runs from ${reader};
       grant select (id, correlation_id, owner_id, status, created_at, crew_type, crew_config, task_input, error,
                     started_at, completed_at) on crew_runs to ${reader}`,
      `revoke all on crew_runs from ${reader}; grant select on crew_runs to ${reader}`,
      /^the role cannot read the column result$/,
    ],
    [
      "a superuser",
      `alter role ${reader} superuser`,
      `alter role ${reader} nosuperuser`,
      /^the role is too powerful: superuser$/,
    ],
    [
      "a member of neon_superuser, as Neon's console makes them",
      `create role neon_superuser; grant neon_superuser to ${reader}`,
      "drop role neon_superuser",
      /^the role is too powerful: member of neon_superuser$/,
    ],
    [
      "a role that can write a column",
      `grant update (result) on crew_runs to ${reader}`,
      `revoke update (result) on crew_runs from ${reader}`,
      /^the role can write public\.crew_runs$/,
    ],
    [
      "a role that can write another table, or create one",
      "grant create on schema public to public; create table other (n int); grant delete on other to public",
      "revoke create on schema public from public; drop table other",
      /^the role can write public\.other, schema public$/,
    ],
  ];
  for (const [title, breakIt, mendIt, pattern] of cases) {
    test(`${title} is ✗`, async () => {
      await stack.database.exec(breakIt);
      await expectBad(pattern).finally(() => stack.database.exec(mendIt));
      assert.ok((await examine()).every(({ mark }) => mark === "ok"));
    });
  }

  test("the owner of the table is not fit to be the Worker's role", async () => {
    const DATABASE_URL = stack.ownerDatabaseUrl;
    const finding = await expectBad(/^the role (is too powerful|can write)/, { DATABASE_URL });
    assert.match(finding.remedy ?? "", /crew_runs_reader/);
  });

  test("row-level security and another table that the role can read are hints", async () => {
    await stack.database.exec("alter table crew_runs enable row level security");
    await expectHint(/^row-level security is on$/).finally(() =>
      stack.database.exec("alter table crew_runs disable row level security"),
    );
    await stack.database.exec("create table users (n int); grant select on users to public");
    await expectHint(/^the role can also read public\.users$/).finally(() => stack.database.exec("drop table users"));
  });
});

test("as a command: exit code 0 when healthy, 1 and the remedy below the ✗ when not", async () => {
  const script = fileURLToPath(new URL("../../dev/doctor.ts", import.meta.url));
  const run = (variables: Variables) =>
    promisify(execFile)(process.execPath, [script], {
      env: { PATH: process.env["PATH"], ...stack.variables, ...variables },
    });
  assert.match((await run({})).stdout, /\n\d+ ✓, 0 ✗\n$/);
  const { code, stdout } = await run({ JWT_ISSUER: `${stack.variables.JWT_ISSUER}/` }).then(
    () => assert.fail("the exit code is 0"),
    (error: { code: number; stdout: string }) => error,
  );
  assert.equal(code, 1);
  assert.match(stdout, /\n✗ JWT_ISSUER is .*\n {4}They must be equal/);
});
