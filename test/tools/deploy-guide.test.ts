// docs/deploy.md and the recipes of docs/operations.md, executed as they stand there: in a copy of the project, with the local
// stack in place of Neon and Auth0. Only addresses, ids and passwords are replaced; what needs an account is left out.
import { execFile, execFileSync } from "node:child_process";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { OWNER_ROLE, withSession } from "../../dev/database.ts";
import { type LocalStack, startLocalStack } from "../../dev/local-stack.ts";
import { type SqlEndpoint, startSqlEndpoint } from "../../dev/sql-over-http.ts";
import { copyProject, editFile } from "../support/node/project-copy.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The page's code blocks by heading, then by language. */
type Page = Map<string, Map<string, string[]>>;

/** The project's copy, in which the commands run. */
let folder: string;
let served: LocalStack;
let sql: SqlEndpoint;
let guide: Page;
let operations: Page;
let password: string;
/** Of step 3. */
let token = "";
/** Values on the page, and their replacements here. */
const replacements: [documented: string, local: string][] = [];

beforeAll(async () => {
  [guide, operations] = [await readPage("deploy.md"), await readPage("operations.md")];
  folder = await copyProject();
  password = execFileSync("sh", ["-c", find(guide, "2. Create the database", "sh")], { encoding: "utf8" }).trim();
  served = await startLocalStack({
    async chooseSettings({ database }) {
      // Both roles of the page have the generated password.
      const passwords = { crew_runs_reader: password, crew_runs_reader_2: password };
      sql = await startSqlEndpoint(database, { passwords });
      return { DATABASE_URL: sql.databaseUrl("crew_runs_reader"), NEON_FETCH_ENDPOINT: sql.url };
    },
  });
  const { authorizationServer } = served;
  replacements.push(
    ["PASSWORD", password],
    // A name of the local stack's database. The host stays: NEON_FETCH_ENDPOINT leads to the local one.
    ["/neondb", "/postgres"],
    ["https://example.eu.auth0.com/.well-known/jwks.json", authorizationServer.jwksUrl],
    ["https://example.eu.auth0.com/oauth/token", authorizationServer.tokenEndpoint],
    ["https://example.eu.auth0.com/", authorizationServer.issuer],
    ["https://api.example.com", served.url],
    ["CLIENT_ID@clients", authorizationServer.clients.owner.id],
    ["CLIENT_ID='…'", `CLIENT_ID='${authorizationServer.clients.owner.id}'`],
    ["CLIENT_SECRET='…'", `CLIENT_SECRET='${authorizationServer.clients.owner.secret}'`],
  );
});

afterAll(async () => {
  await served?.close();
  await sql?.close();
  if (folder !== undefined) await rm(folder, { recursive: true });
});

async function readPage(name: string): Promise<Page> {
  const sections = (await readFile(join(ROOT, "docs", name), "utf8")).split(/^## /m);
  return new Map(
    sections.map((section) => {
      const blocks = [...section.matchAll(/^```(\w+)\n(.*?)^```$/gms)];
      const byLanguage = Map.groupBy(blocks, ([, language = ""]) => language);
      const texts = [...byLanguage].map(
        ([language, found]) => [language, found.map(([, , text = ""]) => text)] as const,
      );
      return [section.split("\n", 1)[0] ?? "", new Map(texts)];
    }),
  );
}

/** A block of the page, by its place among those of its language below the heading, with the replacements made. */
function find(page: Page, heading: string, language: string, place = 0): string {
  const text = page.get(heading)?.get(language)?.[place];
  if (text === undefined) throw new Error(`no block of ${language} at ${place} below ${heading}`);
  return replacements.reduce((replaced, [documented, local]) => replaced.replaceAll(documented, local), text);
}

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a block as a person would paste it, in a shell without an account or settings. */
function run(script: string): Promise<Outcome> {
  const env = { PATH: process.env["PATH"], HOME: folder, CI: "true", NO_COLOR: "1", SMOKE_TOKEN: token };
  return new Promise((resolve) => {
    execFile("bash", ["-c", `set -e -o pipefail\n${script}`], { cwd: folder, env }, (error, stdout, stderr) =>
      resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
    );
  });
}

/** As Neon's owner of the database, who isn't a superuser. */
async function runAsOwner(text: string): Promise<void> {
  await withSession(served.database, OWNER_ROLE, async (execute) => {
    for (const statement of text.split(/;\n/)) await execute(statement);
  });
}

const edit = (name: string, change: (text: string) => string) => editFile(join(folder, name), change);

/** Adds lines to a section of wrangler.toml, in place of settings of the same name. */
function setLines(text: string, section: string, lines: string): string {
  const names = [...lines.matchAll(/^(\w+) = /gm)].map(([, name]) => name);
  const without = text.replaceAll(new RegExp(`^(?:${names.join("|")}) = .*\n`, "gm"), "");
  return without.replace(`[${section}]\n`, () => `[${section}]\n${lines}`);
}

/** What the doctor prints, with the page's versions, keys and times, and without the setting that only the local stack has. */
function asOnThePage(output: string): string {
  return output
    .replace("NEON_FETCH_ENDPOINT (wrangler.production.toml), ", "")
    .replace(/RS256 \S+, ES256 \S+/, "RS256 …, RS256 …")
    .replace(/PostgreSQL \S+/, "PostgreSQL 17.5")
    .replace(/after \d+ ms/, "after 412 ms");
}

const CONFIG = "wrangler.production.toml";
const DATABASE = "2. Create the database";
const SETTINGS = "4. Fill in the settings";
const DOCTOR = "5. Run the doctor";
const DEPLOY = "6. Deploy";
const FIRST_RUN = "7. Read the first run";
const LOG_IN = "8. Let people log in";
const PASSWORD = "Change the password";
const STAGING = "A staging environment";

test("steps 1 to 5: the role can log in with a password that needs no encoding, and the doctor prints what the page says", async () => {
  expect(password).toMatch(/^[\da-z]{32,}$/);
  await run(find(guide, "1. Choose the host", "sh"));
  await runAsOwner(find(guide, DATABASE, "sql"));
  await writeFile(join(folder, ".env.production"), find(guide, DATABASE, "ini"));
  token = (await run(`${find(guide, "3. Create the API at Auth0", "sh")}echo -n "$SMOKE_TOKEN"`)).stdout;
  await edit(CONFIG, (text) => {
    const settings = `${find(guide, SETTINGS, "toml")}NEON_FETCH_ENDPOINT = "${sql.url}"\n`;
    return find(guide, "1. Choose the host", "toml") + setLines(text, "vars", settings);
  });
  const { code, stdout } = await run(find(guide, DOCTOR, "sh"));
  expect(asOnThePage(stdout)).toContain(find(guide, DOCTOR, "text"));
  expect(code).toBe(0);
});

test("step 5: after its hint is followed, the doctor finds the Worker near the database", async () => {
  const [, region = ""] = /: (region = .*)/.exec(find(guide, DOCTOR, "text")) ?? [];
  await edit(CONFIG, (text) => text.replace(/^mode = "smart"$/m, region));
  const { code, stdout } = await run(find(guide, DOCTOR, "sh"));
  expect(stdout).toContain("✓ the Worker is placed near the database: aws:eu-central-1\n");
  expect(stdout).toMatch(/\n10 ✓, 0 ✗\n$/);
  expect(code).toBe(0);
});

test("step 6: the dry run takes settings and secret, prints no password, and warns of nothing", async () => {
  const [dryRun = ""] = find(guide, DEPLOY, "sh").split("\n");
  const { code, stdout, stderr } = await run(dryRun);
  expect(code, stderr).toBe(0);
  expect(stdout).toContain(`env.JWT_AUDIENCE ("${served.url}")`);
  expect(stdout).toMatch(/env\.DATABASE_URL \("\(hidden\)"\)/);
  expect(stdout + stderr).not.toMatch(/WARNING/);
  expect(stdout + stderr).not.toContain(password);
});

test("step 6: a plain wrangler deploy would take the template, and is stopped", async () => {
  const { code, stdout } = await run("npx wrangler deploy --dry-run");
  expect(stdout).toMatch(/Nothing was uploaded[^]*wrangler\.production\.toml/);
  expect(code).toBe(1);
});

test("steps 6 to 8: the first token reads the first run, smoke passes, and the run is removed", async () => {
  const health = await run(find(guide, DEPLOY, "sh", 1));
  expect(JSON.parse(health.stdout)).toEqual(JSON.parse(find(guide, DEPLOY, "json")));
  await runAsOwner(find(guide, FIRST_RUN, "sql"));
  const read = () => run(find(guide, FIRST_RUN, "sh"));
  expect(JSON.parse((await read()).stdout)).toMatchObject({ correlation_id: "first-run", result: "# It works" });
  const smoke = await run(find(guide, FIRST_RUN, "sh", 1));
  expect(smoke.code, smoke.stdout).toBe(0);
  await edit(CONFIG, (text) => setLines(text, "vars", find(guide, LOG_IN, "toml")));
  expect((await run(find(guide, DOCTOR, "sh"))).stdout).toMatch(/DOCS_CLIENT_ID \(wrangler\.production\.toml\)/);
  await runAsOwner(find(guide, LOG_IN, "sql"));
  expect((await served.database.query("select from crew_runs where correlation_id = 'first-run'")).rows).toEqual([]);
});

test("the second role is as good as the first", async () => {
  await runAsOwner(find(operations, PASSWORD, "sql"));
  await edit(".env.production", (text) => text.replace("crew_runs_reader:", "crew_runs_reader_2:"));
  const { code, stdout } = await run(find(operations, PASSWORD, "sh").split("\n", 1)[0] ?? "");
  expect(stdout).toMatch(/accepts crew_runs_reader_2/);
  expect(stdout).toMatch(/\n10 ✓, 0 ✗\n$/);
  expect(code).toBe(0);
});

test("staging can't replace production, and is well with its own name and domain", async () => {
  await run(find(operations, STAGING, "sh"));
  await cp(join(folder, ".env.production"), join(folder, ".env.staging"));
  const [doctor = "", deploy = ""] = find(operations, STAGING, "sh", 1).split("\n");
  const { code, stderr } = await run(deploy.replace("deploy --", "deploy -- --dry-run"));
  expect(stderr).toMatch(/^✗ .* have one name, crew-run-reader: [^]*\n✗ .* both have api\.example\.com: /);
  expect(code).toBe(1);
  const distinguish = (text: string) =>
    text.replace('"crew-run-reader"', '"staging"').replace("api.example.com", "staging-api.example.com");
  await edit("wrangler.staging.toml", distinguish);
  expect((await run(doctor)).stdout).toMatch(/\n10 ✓, 0 ✗\n$/);
});
