// The doctor against the local stack: healthy, and broken in each way that it claims to see.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { type Finding, formatFinding } from "../../dev/checklist.ts";
import { examine } from "../../dev/doctor.ts";
import { type Stack, startStack } from "../../dev/stack.ts";
import type { CannedAnswer, LaneAddress } from "../stack/lane-protocol.ts";
import { type UnreliableUpstream, startUnreliableUpstream } from "../stack/unreliable-upstream.ts";

type Overrides = Partial<Record<string, string | undefined>>;

let stack: Stack;
let upstream: UnreliableUpstream;
let directory: string;

before(async () => {
  [stack, upstream, directory] = await Promise.all([
    startStack(),
    startUnreliableUpstream(),
    mkdtemp(join(tmpdir(), "doctor-")),
  ]);
  await configure(`name = "x"`);
});

after(async () => {
  await Promise.all([stack.close(), upstream.close(), rm(directory, { recursive: true })]);
});

async function configure(wranglerToml: string, secrets: Record<string, string> = {}): Promise<void> {
  await writeFile(join(directory, "wrangler.toml"), wranglerToml);
  for (const [name, text] of Object.entries(secrets)) await writeFile(join(directory, name), text);
}

/** All findings; and none may hold the password. */
async function diagnose(
  overrides: Overrides = {},
  options: { environmentName?: string; withoutMetadata?: boolean } = {},
): Promise<Finding[]> {
  const variables = { ...stack.variables, ...overrides };
  const findings: Finding[] = [];
  const sections = examine({
    configFile: pathToFileURL(join(directory, "wrangler.toml")),
    environmentName: options.environmentName,
    withoutMetadata: options.withoutMetadata ?? false,
    variables,
  });
  for await (const section of sections) findings.push(...section.findings);
  const printed = findings.map(formatFinding).join("\n");
  for (const url of [stack.variables.DATABASE_URL, stack.ownerDatabaseUrl, variables.DATABASE_URL ?? ""]) {
    const password = URL.parse(url)?.password ?? "";
    if (password !== "") assert.ok(!printed.includes(password), "a finding holds a password");
  }
  return findings;
}

/** What is wrong, and that each such finding says what to do. */
async function listBad(...args: Parameters<typeof diagnose>): Promise<string[]> {
  const findings = (await diagnose(...args)).filter(({ mark }) => mark === "bad");
  for (const { text, remedy } of findings) assert.ok(remedy !== undefined && remedy !== "", text);
  return findings.map(({ text }) => text);
}

async function expectBad(pattern: RegExp, ...args: Parameters<typeof diagnose>): Promise<void> {
  const texts = await listBad(...args);
  assert.equal(texts.length, 1, texts.join("\n"));
  assert.match(texts[0] ?? "", pattern);
}

/** A lane that gives this answer; its address. */
async function serve(answer: CannedAnswer): Promise<string> {
  const response = await fetch(`${upstream.url}/lanes`, {
    method: "POST",
    body: JSON.stringify({ target: null, body: answer }),
  });
  const { url } = (await response.json()) as LaneAddress;
  return url;
}

/** Where nobody listens. */
async function findClosedAddress(): Promise<string> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  await once(server.close(), "close");
  return `http://127.0.0.1:${address.port}`;
}

async function serveHang(): Promise<string> {
  const url = await serve({ text: "" });
  const id = url.slice(url.lastIndexOf("/") + 1);
  await fetch(`${upstream.url}/lanes/${id}/fault`, { method: "PUT", body: JSON.stringify({ kind: "hang" }) });
  return url;
}

/** Breaks the database as its superuser, runs the check, mends it again. */
async function withDatabase(breakIt: string, mendIt: string, check: () => Promise<void>): Promise<void> {
  await stack.database.exec(breakIt);
  try {
    await check();
  } finally {
    await stack.database.exec(mendIt);
  }
}

test("a healthy stack is all ✓", async () => {
  const findings = await diagnose();
  assert.deepEqual(findings.filter(({ mark }) => mark !== "ok").map(formatFinding), []);
  assert.ok(findings.length > 20);
});

describe("settings", () => {
  test("what is missing is named, and the rest is checked all the same", async () => {
    const findings = await diagnose({ DATABASE_URL: undefined, JWT_AUDIENCE: "" });
    const texts = findings.map(formatFinding).join("\n");
    assert.match(texts, /✗ DATABASE_URL is required\n.*wrangler secret put DATABASE_URL\n/);
    assert.match(texts, /✗ JWT_AUDIENCE is required\n.*wrangler\.toml under \[vars\]/);
    assert.match(texts, /✓ key set at/);
    assert.match(texts, /– not checked: DATABASE_URL must be set first/);
  });

  for (const [name, value, rule] of [
    ["DATABASE_URL", "postgresql://u:hunter2@h", "must be postgresql://user:password@host/database"],
    ["JWKS_URL", "http://issuer.example.com/keys", "must be an https URL"],
    ["JWT_ALGORITHMS", "HS256", "must list some of"],
    ["MAX_WAIT_SECONDS", "61", "must be a whole number from 0 to 60"],
    ["CORS_ORIGINS", "https://app.example.com/", "must list exact origins"],
  ] as const) {
    test(`a malformed ${name} is told by its rule, without its value`, async () => {
      const findings = await diagnose({ [name]: value });
      const [first] = findings.filter(({ mark }) => mark === "bad");
      assert.ok(first?.text.startsWith(`${name} ${rule}`), first?.text);
      assert.match(first?.remedy ?? "", /environment/);
      assert.ok(!findings.some((finding) => formatFinding(finding).includes("hunter2")));
    });
  }

  test("an environment has its own variables and its own secrets, and inherits none", async () => {
    const { DATABASE_URL, JWT_AUDIENCE, ...rest } = stack.variables;
    const lines = Object.entries(rest).map(([name, value]) => `${name} = "${value}"`);
    await configure(
      `name = "x"\n[vars]\nJWT_AUDIENCE = "${JWT_AUDIENCE}"\n[env.production.vars]\n${lines.join("\n")}`,
      {
        ".dev.vars.production": `DATABASE_URL='${DATABASE_URL}'\n`,
      },
    );
    const none = { DATABASE_URL: "", NEON_FETCH_ENDPOINT: "", JWT_ISSUER: "", JWT_AUDIENCE: "", JWKS_URL: "" };
    await expectBad(/^JWT_AUDIENCE is required/, none, { environmentName: "production" });
    const findings = await diagnose({ ...none, JWT_AUDIENCE }, { environmentName: "production" });
    assert.deepEqual(
      findings.slice(0, 3).map(({ text }) => text),
      ["DATABASE_URL (.dev.vars.production)", "NEON_FETCH_ENDPOINT (wrangler.toml)", "JWT_ISSUER (wrangler.toml)"],
    );
    await configure(`name = "x"`);
  });

  test("an environment that is not there, a misspelt name and a committed secret are found", async () => {
    await expectBad(/^wrangler\.toml has no environment prod/, {}, { environmentName: "prod" });
    await configure(`name = "x"\n[vars]\nJWKS_URI = "https://issuer.example.com/keys"`);
    await expectBad(/^JWKS_URI \(wrangler\.toml\) is no setting/);
    await configure(`name = "x"\n[vars]\nDATABASE_URL = "postgresql://u:p4ss@h/d"`);
    await expectBad(/^DATABASE_URL is written in wrangler\.toml/);
    await configure(`name = [`);
    await expectBad(/^wrangler\.toml cannot be read/);
    await configure(`name = "x"`);
  });
});

describe("issuer", () => {
  test("a JWT_ISSUER that differs by a slash is told what the issuer calls itself", async () => {
    const issuer = stack.variables.JWT_ISSUER;
    await expectBad(new RegExp(`^JWT_ISSUER is ${issuer}/, but the issuer's issuer is ${issuer}$`), {
      JWT_ISSUER: `${issuer}/`,
    });
  });

  test("an issuer without metadata is ✗, and passed over where that is known", async () => {
    const JWT_ISSUER = await serve({ status: 404, text: "" });
    await expectBad(/^no issuer metadata: .*openid-configuration: it answered 404; .*oauth-authorization-server/, {
      JWT_ISSUER,
    });
    assert.deepEqual(await listBad({ JWT_ISSUER }, { withoutMetadata: true }), []);
  });

  test("an issuer out of reach is told with the network's reason", async () => {
    await expectBad(/ECONNREFUSED/, { JWT_ISSUER: await findClosedAddress() });
  });

  test("a JWKS_URL, TOKEN_ENDPOINT or AUTHORIZATION_ENDPOINT that is not the issuer's is found", async () => {
    const elsewhere = await serve({ text: await (await fetch(stack.variables.JWKS_URL)).text() });
    await expectBad(/^JWKS_URL is .*, but the issuer's jwks_uri is/, { JWKS_URL: elsewhere });
    await expectBad(/^TOKEN_ENDPOINT is/, { TOKEN_ENDPOINT: "https://issuer.example.com/token" });
    await expectBad(/^AUTHORIZATION_ENDPOINT is/, { AUTHORIZATION_ENDPOINT: "https://issuer.example.com/authorize" });
  });
});

describe("key set", () => {
  for (const [title, answer, pattern] of [
    ["answers with an error", { status: 500, text: "{}" }, /it answered 500/],
    ["redirects", { status: 302, headers: { location: "/x" }, text: "" }, /it answered 302/],
    ["answers with a page", { text: "<html>", headers: { "content-type": "text/html" } }, /it is no JSON/],
    ["is the metadata", { text: `{"issuer":"x"}` }, /has no array "keys"/],
    ["is too large", { text: `{"keys":[]}${" ".repeat(262_144)}` }, /longer than 262144 bytes/],
    ["is empty", { text: `{"keys":[]}` }, /none of the 0 keys/],
    ["holds a shared secret only", { text: `{"keys":[{"kty":"oct","k":"AA"}]}` }, /none of the 1 keys/],
  ] as [string, CannedAnswer, RegExp][]) {
    test(`a key endpoint that ${title} is ✗`, async () => {
      const texts = await listBad({ JWKS_URL: await serve(answer) }, { withoutMetadata: true });
      assert.equal(texts.length, 1, texts.join("\n"));
      assert.match(texts[0] ?? "", pattern);
    });
  }

  test("a key endpoint that hangs is ✗ after three seconds", async () => {
    await expectBad(/no answer in time/, { JWKS_URL: await serveHang() }, { withoutMetadata: true });
  });

  test("each key says whether it is used, and for which algorithm", async () => {
    const { keys } = (await (await fetch(stack.variables.JWKS_URL)).json()) as { keys: object[] };
    const strange = { kty: "RSA", use: "enc", alg: "RSA-OAEP", kid: "for encryption" };
    const JWKS_URL = await serve({ text: JSON.stringify({ keys: [...keys, strange] }) });
    const texts = (await diagnose({ JWKS_URL }, { withoutMetadata: true })).map(formatFinding).join("\n");
    assert.match(texts, /2 of 3 keys usable/);
    assert.match(texts, /✓ key ".*": RS256/);
    assert.match(texts, /✓ key ".*": ES256/);
    assert.match(texts, /· key "for encryption" is passed over: kty RSA, use enc, alg RSA-OAEP/);
    await expectBad(/none of the 2 keys/, { JWT_ALGORITHMS: "EdDSA" });
  });
});

describe("database", () => {
  const change = (edit: (url: URL) => void): string => {
    const url = new URL(stack.variables.DATABASE_URL);
    edit(url);
    return url.href;
  };

  test("a wrong password is told as such", async () => {
    const DATABASE_URL = change((url) => (url.password = "wrong-one"));
    await expectBad(/^the database does not answer.*password authentication failed/, { DATABASE_URL });
  });

  test("a wrong database is told as such", async () => {
    const DATABASE_URL = change((url) => (url.pathname = "/elsewhere"));
    await expectBad(/database "elsewhere" does not exist/, { DATABASE_URL });
  });

  test("an endpoint out of reach, one that fails and one that speaks another language are ✗", async () => {
    await expectBad(/at NEON_FETCH_ENDPOINT: .*ECONNREFUSED/, { NEON_FETCH_ENDPOINT: await findClosedAddress() });
    const failing = await serve({ status: 500, text: "compute is suspended" });
    await expectBad(/HTTP status 500.*compute is suspended/, { NEON_FETCH_ENDPOINT: failing });
    const page = await serve({ text: "<html>" });
    await expectBad(/it is no JSON/, { NEON_FETCH_ENDPOINT: page });
  });
});

describe("table", () => {
  const cases: [title: string, breakIt: string, mendIt: string, pattern: RegExp][] = [
    [
      "a table that is not there",
      "alter table crew_runs rename to runs_elsewhere; revoke select on runs_elsewhere from crew_runs_reader",
      "alter table runs_elsewhere rename to crew_runs; grant select on crew_runs to crew_runs_reader",
      /^there is no crew_runs$/,
    ],
    [
      "a table in a schema that is not searched",
      "create schema app; alter table crew_runs set schema app",
      "alter table app.crew_runs set schema public; drop schema app",
      /^crew_runs is not found, but there is app\.crew_runs$/,
    ],
    [
      "a column that is missing",
      "alter table crew_runs rename column error to failure",
      "alter table crew_runs rename column failure to error",
      /^the column error is missing$/,
    ],
    [
      "a time without a time zone",
      `drop view if exists v; alter table crew_runs drop constraint crew_runs_started_at_writable,
         drop constraint crew_runs_started_after_created, drop constraint crew_runs_completed_after_started;
       alter table crew_runs alter column started_at type timestamp`,
      "alter table crew_runs alter column started_at type timestamptz",
      /^the column started_at is timestamp without time zone, not timestamptz$/,
    ],
    [
      "an id that is text",
      "alter table crew_runs alter column id type text",
      "alter table crew_runs alter column id type uuid using id::uuid",
      /^the column id is text, not uuid$/,
    ],
    [
      "an owner that may be null",
      "alter table crew_runs alter column owner_id drop not null",
      "alter table crew_runs alter column owner_id set not null",
      /^the column owner_id may be null$/,
    ],
    [
      "a constraint that is missing",
      "alter table crew_runs drop constraint crew_runs_status_known",
      "",
      /^constraints are missing: crew_runs_status_known$/,
    ],
    [
      "a key that is missing",
      "alter table crew_runs drop constraint crew_runs_pkey",
      "alter table crew_runs add constraint crew_runs_pkey primary key (id)",
      /^the column id has no unique index$/,
    ],
    [
      "a column that the role may not read",
      `revoke select on crew_runs from crew_runs_reader;
       grant select (id, correlation_id, owner_id, status, created_at, crew_type, crew_config, task_input, error,
                     started_at, completed_at) on crew_runs to crew_runs_reader`,
      "revoke all on crew_runs from crew_runs_reader; grant select on crew_runs to crew_runs_reader",
      /^the role cannot read the column result$/,
    ],
    [
      "row-level security without a policy",
      "alter table crew_runs enable row level security",
      "alter table crew_runs disable row level security",
      /^row-level security is on, and no policy/,
    ],
  ];
  for (const [title, breakIt, mendIt, pattern] of cases) {
    test(`${title} is ✗`, async () => {
      await withDatabase(breakIt, mendIt, async () => {
        const texts = await listBad();
        assert.ok(
          texts.some((text) => pattern.test(text)),
          texts.join("\n"),
        );
      });
      await applySchema();
      assert.deepEqual(await listBad(), []);
    });
  }

  test("a policy for the role is a hint, no fault", async () => {
    await withDatabase(
      "alter table crew_runs enable row level security; create policy p on crew_runs for select to crew_runs_reader using (true)",
      "drop policy p on crew_runs; alter table crew_runs disable row level security",
      async () => {
        const findings = await diagnose();
        assert.ok(findings.some(({ mark, text }) => mark === "hint" && text.startsWith("row-level security")));
        assert.ok(!findings.some(({ mark }) => mark === "bad"));
      },
    );
  });
});

describe("role", () => {
  const cases: [title: string, breakIt: string, mendIt: string, pattern: RegExp][] = [
    [
      "an attribute",
      "alter role crew_runs_reader createdb bypassrls",
      "alter role crew_runs_reader nocreatedb nobypassrls",
      /^the role has bypassrls, createdb$/,
    ],
    [
      "a membership, as Neon's console gives it",
      "create role neon_superuser; grant neon_superuser to crew_runs_reader",
      "drop role neon_superuser",
      /^the role is a member of neon_superuser,/,
    ],
    [
      "a schema to create in",
      "grant create on schema public to public",
      "revoke create on schema public from public",
      /^the role can create in schema public$/,
    ],
    [
      "a table to write",
      "create table other (n int); grant insert, update on other to crew_runs_reader",
      "drop table other",
      /^the role can write public\.other \(insert, update\)$/,
    ],
    [
      "a column to write",
      "grant update (result) on crew_runs to crew_runs_reader",
      "revoke update (result) on crew_runs from crew_runs_reader",
      /^the role can write public\.crew_runs \(update\)$/,
    ],
    [
      "a sequence",
      "create sequence ticks; grant usage on sequence ticks to crew_runs_reader",
      "drop sequence ticks",
      /^the role can write public\.ticks \(sequence\)$/,
    ],
    [
      "another table to read, by way of PUBLIC",
      "create schema app; grant usage on schema app to public; create table app.users (n int); grant select on app.users to public",
      "drop schema app cascade",
      /^the role can also read app\.users$/,
    ],
    [
      "a function that runs with its owner's rights",
      "create function public.leak() returns int language sql security definer as 'select 1'",
      "drop function public.leak()",
      /^the role can call public\.leak,/,
    ],
  ];
  for (const [title, breakIt, mendIt, pattern] of cases) {
    test(`${title} is ✗`, async () => {
      await withDatabase(breakIt, mendIt, () => expectBad(pattern));
      assert.deepEqual(await listBad(), []);
    });
  }

  test("an INSERT that is allowed is found by the catalogue and by the attempt, and inserts nothing", async () => {
    await withDatabase(
      "grant insert on crew_runs to crew_runs_reader",
      "revoke insert on crew_runs from crew_runs_reader",
      async () => {
        assert.deepEqual(await listBad(), [
          "the role can write public.crew_runs (insert)",
          "an INSERT was not refused",
        ]);
      },
    );
    const { rows } = await stack.database.query("select from crew_runs");
    assert.equal(rows.length, 0);
  });

  test("the owner of the table is not fit to be the Worker's role, and that is all that is said", async () => {
    await expectBad(/^the role owns public\.crew_runs, the database postgres: this is not the Worker's role$/, {
      DATABASE_URL: stack.ownerDatabaseUrl,
    });
  });

  test("a role without schema.sql's defaults gets a hint", async () => {
    await withDatabase(
      "alter role crew_runs_reader reset all",
      "alter role crew_runs_reader set default_transaction_read_only = on; alter role crew_runs_reader set statement_timeout = '5s'",
      async () => {
        const hints = (await diagnose()).filter(({ mark }) => mark === "hint");
        assert.deepEqual(
          hints.map(({ text }) => text),
          ["schema.sql gives its role safer defaults"],
        );
      },
    );
  });
});

describe("clocks", () => {
  for (const [title, offsetMs, pattern] of [
    ["ahead", 60_000, /^the clock of the issuer is (59|60|61)\.\d s ahead of this machine's$/],
    ["behind", -60_000, /^the clock of the issuer is (59|60|61)\.\d s behind this machine's$/],
  ] as const) {
    test(`an issuer whose clock is a minute ${title} is ✗`, async () => {
      const date = new Date(Date.now() + offsetMs).toUTCString();
      const text = await (await fetch(stack.variables.JWKS_URL)).text();
      const JWKS_URL = await serve({ text, headers: { date } });
      await expectBad(pattern, { JWKS_URL }, { withoutMetadata: true });
    });
  }
});

test("a database on Neon suggests where to place the Worker", async () => {
  const url = new URL(stack.variables.DATABASE_URL);
  url.hostname = "ep-cool-darkness-123456.us-east-2.aws.neon.tech";
  const findings = await diagnose({ DATABASE_URL: url.href });
  const suggestion = findings.find(({ text }) => text === "the database is in aws:us-east-2");
  assert.match(suggestion?.remedy ?? "", /region = "aws:us-east-2"/);
  await configure(`name = "x"\nplacement = { region = "aws:us-east-2" }`);
  const placed = await diagnose({ DATABASE_URL: url.href });
  assert.ok(placed.some(({ mark, text }) => mark === "ok" && text.endsWith("near the database: aws:us-east-2")));
  await configure(`name = "x"`);
});

test("as a command: exit code 0 and ✓ when healthy, 1 and ✗ when not, and no secret in its output", async () => {
  const run = (overrides: Overrides) =>
    promisify(execFile)(process.execPath, [fileURLToPath(new URL("../../dev/doctor.ts", import.meta.url))], {
      env: { PATH: process.env["PATH"], ...stack.variables, ...overrides },
    }).then(
      ({ stdout, stderr }) => ({ code: 0, output: stdout + stderr }),
      (error: { code: number; stdout: string; stderr: string }) => ({
        code: error.code,
        output: error.stdout + error.stderr,
      }),
    );
  const healthy = await run({});
  assert.equal(healthy.code, 0, healthy.output);
  assert.match(healthy.output, /\n\d+ ✓, 0 ✗\n$/);
  const broken = await run({ JWT_ISSUER: `${stack.variables.JWT_ISSUER}/` });
  assert.equal(broken.code, 1);
  assert.match(broken.output, /\n✗ JWT_ISSUER is .*\n {4}They must be equal/);
  const { password } = new URL(stack.variables.DATABASE_URL);
  for (const { output } of [healthy, broken]) assert.ok(!output.includes(password));
});

async function applySchema(): Promise<void> {
  const schema = await readFile(new URL("../../schema.sql", import.meta.url), "utf8");
  await stack.database.exec(`set session authorization crew_runs_owner; ${schema}; reset session authorization`);
}
