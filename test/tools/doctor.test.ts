// The doctor against the local stack: all ✓ while it is healthy, and the right ✗ for each mistake that it promises to find.
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type IncomingHttpHeaders, createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { formatFinding } from "../../dev/checklist.ts";
import { type DoctorOptions, diagnose } from "../../dev/doctor.ts";
import { type Loopback, listenOnLoopback } from "../../dev/loopback.ts";
import { type Upstreams, startUpstreams } from "../../dev/local-stack.ts";
import { KEY_SET_REQUEST } from "../../src/auth/key-set-request.ts";

const DOCTOR = `${import.meta.dirname}/../../dev/doctor.ts`;

type Variables = Record<string, string | undefined>;

let stack: Upstreams;
let directory: string;
/** Answers by path; a path without one hangs. */
let loopback: Loopback;
const answers = new Map<string, { status: number; text: string }>();
/** By path, those of the last request. */
const requestHeaders = new Map<string, IncomingHttpHeaders>();

beforeAll(async () => {
  stack = await startUpstreams();
  directory = await mkdtemp(join(tmpdir(), "doctor-"));
  const server = createServer((request, response) => {
    requestHeaders.set(request.url ?? "", request.headers);
    const answer = answers.get(request.url ?? "");
    if (answer !== undefined) response.writeHead(answer.status, { location: "/" }).end(answer.text);
  });
  loopback = await listenOnLoopback(server);
});

afterAll(async () => {
  await Promise.all([stack.close(), loopback.close(), rm(directory, { recursive: true })]);
});

interface Examined extends Partial<DoctorOptions> {
  /** What wrangler.toml has beside the settings. */
  config?: string;
  /** The file with the secret; without it, DATABASE_URL is in the shell. */
  secrets?: string;
}

/**
 * All findings as they are shown. `settings` are in wrangler.toml, beside the local stack's or in their place. No finding may
 * contain a password, and each ✗ must have a remedy.
 */
async function examine(settings: Variables = {}, { config = `name = "x"`, secrets, ...options }: Examined = {}) {
  const { DATABASE_URL, ...others }: Variables = { ...stack.variables, ...settings };
  const lines = Object.entries(others).map(([name, value = ""]) => `${name} = "${value}"`);
  const vars = config.includes("[vars]") ? [] : ["[vars]"];
  await writeFile(join(directory, "wrangler.toml"), [config, ...vars, ...lines].join("\n"));
  await writeFile(join(directory, ".env.production"), secrets ?? "");
  const configFile = pathToFileURL(join(directory, "wrangler.toml"));
  const defaults = { configFile, environmentName: undefined, withoutMetadata: false };
  const variables: Variables = secrets === undefined ? { DATABASE_URL } : {};
  const findings = await diagnose({ ...defaults, variables, ...options });
  for (const finding of findings) {
    for (const url of [DATABASE_URL, stack.ownerDatabaseUrl]) {
      const password = URL.parse(url ?? "")?.password ?? "";
      expect(password === "" || !formatFinding(finding).includes(password), "a finding holds a password").toBe(true);
    }
    expect(finding.mark !== "bad" || finding.remedy !== undefined, finding.text).toBe(true);
  }
  return findings.map(formatFinding);
}

/** Expects one finding that matches, and no other problem. Returns it. */
async function expectOnly(pattern: RegExp, ...args: Parameters<typeof examine>): Promise<string> {
  const found = (await examine(...args)).filter((finding) => /^[✗·]/.test(finding));
  expect(found.length, found.join("\n")).toBe(1);
  expect(String(found[0])).toMatch(pattern);
  return String(found[0]);
}

async function expectHealthy(...args: Parameters<typeof examine>): Promise<void> {
  for (const finding of await examine(...args)) expect(finding).toMatch(/^✓/);
}

function serve(text: string, status = 200): string {
  const path = `/${crypto.randomUUID()}`;
  answers.set(path, { text, status });
  return loopback.url + path;
}

test("a healthy stack is all ✓", () => expectHealthy());

describe("settings", () => {
  test("one that is missing is named, and the rest is checked all the same", async () => {
    const texts = (await examine({ DATABASE_URL: undefined, JWT_AUDIENCE: "" })).join("\n");
    expect(texts).toMatch(
      /^✗ DATABASE_URL is required\n.* \.env\.production, .*\n.*deploy -- --secrets-file \.env\.prod/m,
    );
    expect(texts).toMatch(/^✗ JWT_AUDIENCE is required\n.*wrangler\.toml under \[vars\]/m);
    expect(texts).toMatch(/^✓ 2 of 2 keys at/m);
    expect(texts).toMatch(/^– not checked: DATABASE_URL must be set first/m);
  });

  test("a malformed one is reported by its rule and its origin, without its value", async () => {
    const DATABASE_URL = "postgresql://u:hunter2@h";
    const finding = await expectOnly(/^✗ DATABASE_URL must be postgresql:.*\n.*: environment\.$/m, { DATABASE_URL });
    expect(finding).not.toMatch(/hunter2/);
  });

  test("one that only this shell has is ✗: the Worker won't have it", async () => {
    const { JWT_ISSUER, DATABASE_URL } = stack.variables;
    const variables = { DATABASE_URL, JWT_ISSUER, REQUIRED_SCOPE: "crew-runs:read" };
    const found = (await examine({ JWT_ISSUER: "" }, { variables })).filter((finding) => finding.startsWith("✗"));
    expect(found).toEqual([
      expect.stringMatching(/^✗ JWT_ISSUER is set only in this shell.*\n.*wrangler\.toml under \[vars\]/),
      expect.stringMatching(/^✗ REQUIRED_SCOPE is set only in this shell/),
    ]);
  });

  test("the ones that differ from their defaults are listed, with their origin", async () => {
    const secrets = `DATABASE_URL='${stack.variables.DATABASE_URL}'\n`;
    const [first] = await examine({ MAX_WAIT_SECONDS: "20", LOG_SUBJECT: "omit" }, { secrets });
    expect(first).toMatch(
      /^✓ settings: .*MAX_WAIT_SECONDS \(wrangler\.toml\).*, DATABASE_URL \(\.env\.production\); the others/,
    );
    expect(first).not.toMatch(/LOG_SUBJECT/);
  });

  test("the file with the secret may contain DATABASE_URL only, and no $, which wrangler would expand", async () => {
    const secrets = `DATABASE_URL='${stack.variables.DATABASE_URL}'\n`;
    await expectOnly(
      /^✗ \.env\.production also has CLOUDFLARE_API_TOKEN, JWT_ISSUER\n/,
      {},
      {
        secrets: `${secrets}JWT_ISSUER=x\nCLOUDFLARE_API_TOKEN=y\n`,
      },
    );
    const found = await examine({}, { secrets: "DATABASE_URL='postgresql://u:p$4@127.0.0.1/d'" });
    expect(found).toContainEqual(expect.stringMatching(/^✗ DATABASE_URL in \.env\.production contains a \$\n/));
  });

  describe("of another environment", () => {
    const top = `name = "x"\nroutes = [{ pattern = "runs.example.com", custom_domain = true }]`;
    const sections = `[env.staging.secrets]\nrequired = ["DATABASE_URL"]\n[env.staging.version_metadata]\nbinding = "V"`;
    const examineStaging = (own: string, settings: Variables = {}) => {
      const { DATABASE_URL, ...others } = { ...stack.variables, ...settings };
      const vars = Object.entries(others).map(([name, value]) => `${name} = "${value}"`);
      const config = [top, own, "[env.staging.vars]", ...vars, "[vars]"].join("\n");
      return [
        { JWT_AUDIENCE: "production" },
        { config, environmentName: "staging", variables: { DATABASE_URL } },
      ] as const;
    };

    test("they are its own: it inherits none of production's", async () => {
      await expectHealthy(...examineStaging(`[env.staging]\nroutes = []\n${sections}`));
      const without = examineStaging(`[env.staging]\nroutes = []\n${sections}`, { JWT_AUDIENCE: "" });
      await expectOnly(/^✗ JWT_AUDIENCE is required\n.*\[env\.staging\.vars\]/, ...without);
    });

    test("a domain that it inherits from production is ✗, as its name would be", async () => {
      await expectOnly(/^✗ \[env\.staging\] has production's runs\.example\.com/, ...examineStaging(sections));
      const ownRoute = `[env.staging]\nroute = "staging.example.com/*"\n${sections}`;
      await expectOnly(/^✗ \[env\.staging\] has production's runs\.example\.com/, ...examineStaging(ownRoute));
      const sameName = `[env.staging]\nname = "x"\nroutes = []\n${sections}`;
      await expectOnly(/^✗ \[env\.staging\] has production's name/, ...examineStaging(sameName));
    });

    test("sections that it doesn't inherit are hinted at", async () => {
      const lacks = /^· wrangler\.toml lacks \[env\.staging\.secrets\] and \[env\.staging\.version_metadata\]/;
      await expectOnly(lacks, ...examineStaging("[env.staging]\nroutes = []"));
    });
  });

  for (const [title, pattern, options] of [
    ["misspelt", /^✗ the Worker has no setting JWKS_URI/, { config: `name = "x"\n[vars]\nJWKS_URI = "x"` }],
    ["a secret", /in wrangler\.toml/, { config: `name = "x"\n[vars]\nDATABASE_URL = "postgresql://u:p4ss@h/d"` }],
    ["of an unknown environment", /^✗ wrangler\.toml has no environment prod/, { environmentName: "prod" }],
    ["in a broken file", /^✗ wrangler\.toml can't be read/, { config: `name = [` }],
  ] as const) {
    test(`one that is ${title} is ✗`, async () => {
      await expectOnly(pattern, {}, options);
    });
  }
});

describe("issuer", () => {
  test("a JWT_ISSUER that differs by a slash, or another JWKS_URL, is shown beside the issuer's", async () => {
    const { JWT_ISSUER, JWKS_URL } = stack.variables;
    const withSlash = { JWT_ISSUER: `${JWT_ISSUER}/` };
    await expectOnly(new RegExp(`^✗ JWT_ISSUER is ${JWT_ISSUER}/, but .* ${JWT_ISSUER}\n`), withSlash);
    const elsewhere = serve(await (await fetch(JWKS_URL)).text());
    await expectOnly(new RegExp(`^✗ JWKS_URL is .*, but .* ${JWKS_URL}\n`), { JWKS_URL: elsewhere });
  });

  test("an issuer without metadata is ✗, and passed over with --without-metadata", async () => {
    const JWT_ISSUER = serve("", 404);
    const { pathname } = new URL(JWT_ISSUER);
    answers.set(`${pathname}/.well-known/openid-configuration`, { status: 404, text: "" });
    answers.set(`/.well-known/oauth-authorization-server${pathname}`, { status: 404, text: "" });
    await expectOnly(/^✗ .*metadata can't be read: .*openid-configuration: .* 404; .*oauth-auth/, { JWT_ISSUER });
    await expectHealthy({ JWT_ISSUER }, { withoutMetadata: true });
  });

  for (const [title, text, status, pattern] of [
    ["answers with an error", "{}", 500, /the response is a 500/],
    ["redirects", "", 302, /the response is a 302/],
    ["answers with a page", "<html>", 200, /the response isn't JSON/],
    ["is the metadata", `{"issuer":"x"}`, 200, /isn't a JSON Web Key Set/],
    ["is too large", `{"keys":[]}${" ".repeat(262_144)}`, 200, /longer than 262144 bytes/],
    ["holds a shared secret only", `{"keys":[{"kty":"oct","k":"AA"}]}`, 200, /no usable signature key/],
  ] as const) {
    test(`a key endpoint that ${title} is ✗`, async () => {
      await expectOnly(pattern, { JWKS_URL: serve(text, status) }, { withoutMetadata: true });
    });
  }

  test("a key endpoint that hangs is ✗ after three seconds", async () => {
    await expectOnly(/no response in time/, { JWKS_URL: `${loopback.url}/hangs` }, { withoutMetadata: true });
  });

  test("the key set is requested as the Worker requests it", async () => {
    const JWKS_URL = serve(await (await fetch(stack.variables.JWKS_URL)).text());
    await expectHealthy({ JWKS_URL }, { withoutMetadata: true });
    expect(requestHeaders.get(new URL(JWKS_URL).pathname)).toMatchObject(KEY_SET_REQUEST.headers);
  });

  test("keys that the Worker would pass over are not counted as usable", async () => {
    const { keys } = (await (await fetch(stack.variables.JWKS_URL)).json()) as { keys: object[] };
    const strange = { kty: "RSA", use: "enc", alg: "RSA-OAEP", kid: "for encryption" };
    const JWKS_URL = serve(JSON.stringify({ keys: [...keys, strange] }));
    const texts = (await examine({ JWKS_URL }, { withoutMetadata: true })).join("\n");
    expect(texts).toMatch(/✓ 2 of 3 keys at .* can be used: RS256 \S+, ES256 \S+$/m);
    await expectOnly(/no usable signature key/, { JWT_ALGORITHMS: "EdDSA" });
  });
});

describe("database", () => {
  const change = (edit: (url: URL) => void): { DATABASE_URL: string } => {
    const url = new URL(stack.variables.DATABASE_URL);
    edit(url);
    return { DATABASE_URL: url.href };
  };

  test("a wrong password, a wrong database, a failing and a missing endpoint are distinguished", async () => {
    const wrongPassword = change((url) => (url.password = "wrong-one"));
    await expectOnly(/^✗ the database doesn't respond.*password authentication failed/, wrongPassword);
    // A lone % can't be percent-decoded.
    const oddPassword = change((url) => (url.password = "wrong-50%"));
    await expectOnly(/^✗ the database doesn't respond.*password authentication failed/, oddPassword);
    const wrongName = change((url) => (url.pathname = "/elsewhere"));
    await expectOnly(/database "elsewhere" does not exist/, wrongName);
    const failing = serve("compute is suspended", 500);
    await expectOnly(/HTTP status 500.*compute is suspended/, { NEON_FETCH_ENDPOINT: failing });
    await expectOnly(/the response isn't JSON/, { NEON_FETCH_ENDPOINT: serve("<html>") });
    await expectOnly(/at NEON_FETCH_ENDPOINT: .*ECONNREFUSED/, { NEON_FETCH_ENDPOINT: "http://127.0.0.1:2" });
  });

  test("a database on Neon gives the line that places the Worker near it", async () => {
    const onNeon = change((url) => (url.hostname = "ep-cool-darkness-123456.us-east-2.aws.neon.tech"));
    await expectOnly(/^· the database is in aws:us-east-2\n.*under \[placement\]: region = "aws:us-east-2"$/, onNeon);
    const smart = { config: `name = "x"\nplacement = { mode = "smart" }` };
    await expectOnly(
      /^· the database is in aws:us-east-2\n.*, in place of mode: region = "aws:us-east-2"$/,
      onNeon,
      smart,
    );
    const both = { config: `name = "x"\nplacement = { mode = "smart", region = "aws:us-east-2" }` };
    await expectOnly(/^✗ wrangler\.toml can't be read\n.*placement/, onNeon, both);
    await expectHealthy(onNeon, { config: `name = "x"\nplacement = { region = "aws:us-east-2" }` });
  });

  const reader = "crew_runs_reader";
  const table = "alter table crew_runs";
  for (const [finding, breakIt, mendIt] of [
    // Not there, or not in the search path.
    [
      "✗ the role finds no crew_runs",
      `create schema app; ${table} set schema app`,
      "alter table app.crew_runs set schema public; drop schema app",
    ],
    ["✗ the column error is missing", `${table} rename error to failure`, `${table} rename failure to error`],
    [
      "✗ the column started_at is timestamp without time zone, not timestamptz",
      `${table} rename to stored; create view crew_runs as
         select id, correlation_id, owner_id, status, created_at, crew_type, crew_config, task_input, result, error,
                started_at::timestamp, completed_at from stored;
       revoke select on stored from ${reader}; grant select on crew_runs to ${reader}`,
      `drop view crew_runs; alter table stored rename to crew_runs; grant select on crew_runs to ${reader}`,
    ],
    [
      "✗ the column id is text, not uuid",
      `${table} alter column id type text`,
      `${table} alter column id type uuid using id::uuid`,
    ],
    [
      "✗ the role can't read the column result",
      `revoke select on crew_runs from ${reader};
       grant select (id, correlation_id, owner_id, status, created_at, crew_type, crew_config, task_input, error,
                     started_at, completed_at) on crew_runs to ${reader}`,
      `revoke all on crew_runs from ${reader}; grant select on crew_runs to ${reader}`,
    ],
    ["✗ the role is too powerful: superuser", `alter role ${reader} superuser`, `alter role ${reader} nosuperuser`],
    // As Neon's console makes roles.
    [
      "✗ the role is too powerful: member of neon_superuser",
      `create role neon_superuser; grant neon_superuser to ${reader}`,
      "drop role neon_superuser",
    ],
    [
      "✗ the role can write public.crew_runs",
      `grant update (result) on crew_runs to ${reader}`,
      `revoke update (result) on crew_runs from ${reader}`,
    ],
    [
      "✗ the role can write public.other, schema public",
      "grant create on schema public to public; create table other (n int); grant delete on other to public",
      "revoke create on schema public from public; drop table other",
    ],
    ["· row-level security is on", `${table} enable row level security`, `${table} disable row level security`],
  ] as const) {
    test(`it says: ${finding}`, async () => {
      await stack.database.exec(breakIt);
      const found = await expectOnly(/\n/).finally(() => stack.database.exec(mendIt));
      expect(found.split("\n")[0]).toBe(finding);
      await expectHealthy();
    });
  }

  test("the owner of the table is not fit to be the Worker's role", async () => {
    await expectOnly(/^✗ the role is too powerful[^]*crew_runs_reader/, { DATABASE_URL: stack.ownerDatabaseUrl });
  });
});

test("as a command: exit code 0 when healthy, 1 and the remedy below the ✗ when not", async () => {
  const run = async (JWT_ISSUER: string) => {
    const { DATABASE_URL, ...settings } = { ...stack.variables, JWT_ISSUER };
    const lines = Object.entries(settings).map(([name, value]) => `${name} = "${value}"`);
    const file = join(directory, "command.toml");
    await writeFile(file, [`name = "x"`, "[vars]", ...lines].join("\n"));
    const env = { PATH: process.env["PATH"], DATABASE_URL };
    return promisify(execFile)(process.execPath, [DOCTOR, "--config", file], { env });
  };
  expect((await run(stack.variables.JWT_ISSUER)).stdout).toMatch(/\n\d+ ✓, 0 ✗\n$/);
  await expect(run(`${stack.variables.JWT_ISSUER}/`)).rejects.toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/\n✗ JWT_ISSUER is .*\n {4}They must be equal/),
  });
});
