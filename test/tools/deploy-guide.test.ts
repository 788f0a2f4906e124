// docs/deploy.md and the recipes of docs/operations.md, executed as they stand there: in a copy of the project, with the local
// stack in place of Neon and Auth0. Only addresses, ids and passwords are replaced; what needs an account is left out.
import { execFile } from "node:child_process";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, expect, test } from "vitest";
import { OWNER_ROLE } from "../../dev/database.ts";
import { type LocalStack, startLocalStack } from "../../dev/local-stack.ts";
import { type SqlEndpoint, startSqlEndpoint } from "../../dev/sql-over-http.ts";
import { copyProject, editFile } from "../support/node/project-copy.ts";

/** The project's copy, in which the commands run. */
let folder: string;
let served: LocalStack;
let password: string;
/** Of step 3. */
let token = "";
/** Values on the page, and their replacements here. */
let replacements: [documented: string, local: string][] = [];

const guide = await readFile(`${import.meta.dirname}/../../docs/deploy.md`, "utf8");
const operations = await readFile(`${import.meta.dirname}/../../docs/operations.md`, "utf8");

const CONFIG = "wrangler.production.toml";
const edit = (name: string, change: (text: string) => string) => editFile(join(folder, name), change);

// Steps 1 to 4.
beforeAll(async () => {
  folder = await copyProject();
  password = (await run(find(guide, "2. ", "sh"))).stdout.trim();
  let sql: SqlEndpoint | undefined;
  served = await startLocalStack({
    async chooseSettings({ database }) {
      // Both roles of the page have the generated password.
      const passwords = { crew_runs_reader: password, crew_runs_reader_2: password };
      sql = await startSqlEndpoint(database, { passwords });
      return { DATABASE_URL: sql.databaseUrl("crew_runs_reader"), NEON_FETCH_ENDPOINT: sql.url };
    },
  });
  const { issuer, jwksUrl, tokenEndpoint, clients } = served.authorizationServer;
  replacements = [
    ["PASSWORD", password],
    // A name of the local stack's database. The host stays: NEON_FETCH_ENDPOINT leads to the local one.
    ["/neondb", "/postgres"],
    ["https://example.eu.auth0.com/.well-known/jwks.json", jwksUrl],
    ["https://example.eu.auth0.com/oauth/token", tokenEndpoint],
    ["https://example.eu.auth0.com/", issuer],
    ["https://api.example.com", served.url],
    ["CLIENT_ID@clients", clients.owner.id],
    ["CLIENT_ID='…'", `CLIENT_ID='${clients.owner.id}'`],
    ["CLIENT_SECRET='…'", `CLIENT_SECRET='${clients.owner.secret}'`],
  ];
  await run(find(guide, "1. ", "sh"));
  await runAsOwner(find(guide, "2. ", "sql"));
  await writeFile(join(folder, ".env.production"), find(guide, "2. ", "ini"));
  token = (await run(`${find(guide, "3. ", "sh")}echo -n "$SMOKE_TOKEN"`)).stdout;
  const settings = `${find(guide, "4. ", "toml")}NEON_FETCH_ENDPOINT = "${sql?.url}"\n`;
  await edit(CONFIG, (text) => find(guide, "1. ", "toml") + setVariables(text, settings));
  return async () => {
    await served.close();
    await sql?.close();
    await rm(folder, { recursive: true });
  };
});

test("step 2: the password needs no encoding", () => expect(password).toMatch(/^[\da-z]{32,}$/));

test("step 5: the doctor finds no fault, and after its hint is followed, the Worker near the database", async () => {
  const doctor = find(guide, "5. ", "sh");
  const { stdout } = await run(doctor);
  expect(stdout).toMatch(/\n9 ✓, 0 ✗\n$/);
  const [, region = ""] = /: (region = .*)/.exec(stdout) ?? [];
  await edit(CONFIG, (text) => text.replace(/^mode = "smart"$/m, region));
  expect((await run(doctor)).stdout).toMatch(/placed near the database: aws:eu-central-1\n[^]*\n10 ✓, 0 ✗\n$/);
});

test("step 6: the dry run takes settings and secret, prints no password, and warns of nothing", async () => {
  const [dryRun = ""] = find(guide, "6. ", "sh").split("\n");
  const { stdout, stderr } = await run(dryRun);
  expect(stdout).toContain(`env.JWT_AUDIENCE ("${served.url}")`);
  expect(stdout).toMatch(/env\.DATABASE_URL \("\(hidden\)"\)/);
  expect(stdout + stderr).not.toMatch(/WARNING/);
  expect(stdout + stderr).not.toContain(password);
});

test("step 6: a plain wrangler deploy would take the template, and is stopped", async () => {
  const stdout = expect.stringMatching(/Nothing was uploaded[^]*wrangler\.production\.toml/);
  await expect(run("npx wrangler deploy --dry-run")).rejects.toMatchObject({ code: 1, stdout });
});

test("steps 6 to 8: the first token reads the first run, smoke passes, and the run is removed", async () => {
  expect(JSON.parse((await run(find(guide, "6. ", "sh", 1))).stdout)).toEqual({ status: "ok" });
  await runAsOwner(find(guide, "7. ", "sql"));
  const firstRun = JSON.parse((await run(find(guide, "7. ", "sh"))).stdout);
  expect(firstRun).toMatchObject({ correlation_id: "first-run", result: "# It works" });
  await run(find(guide, "7. ", "sh", 1));
  await edit(CONFIG, (text) => setVariables(text, find(guide, "8. ", "toml")));
  expect((await run(find(guide, "5. ", "sh"))).stdout).toMatch(/DOCS_CLIENT_ID \(wrangler\.production\.toml\)/);
  await runAsOwner(find(guide, "8. ", "sql"));
  expect((await served.database.query("select from crew_runs where correlation_id = 'first-run'")).rows).toEqual([]);
});

test("the second role is as good as the first", async () => {
  await runAsOwner(find(operations, "Change the password\n", "sql"));
  await edit(".env.production", (text) => text.replace("crew_runs_reader:", "crew_runs_reader_2:"));
  const { stdout } = await run(find(operations, "Change the password\n", "sh").split("\n", 1)[0] ?? "");
  expect(stdout).toMatch(/accepts crew_runs_reader_2[^]*, 0 ✗\n$/);
});

test("staging can't replace production, and is well with its own name and domain", async () => {
  await run(find(operations, "A staging environment\n", "sh"));
  await cp(join(folder, ".env.production"), join(folder, ".env.staging"));
  const [doctor = "", deploy = ""] = find(operations, "A staging environment\n", "sh", 1).split("\n");
  await expect(run(deploy.replace("deploy --", "deploy -- --dry-run"))).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^✗ .* have one name, crew-run-reader: [^]*\n✗ .* both have api\.example\.com: /),
  });
  const distinguish = (text: string) =>
    text.replace('"crew-run-reader"', '"staging"').replace("api.example.com", "staging-api.example.com");
  await edit("wrangler.staging.toml", distinguish);
  expect((await run(doctor)).stdout).toMatch(/, 0 ✗\n$/);
});

/** A block of the page, by its place among those of its language below the heading that begins so, with the replacements made. */
function find(page: string, heading: string, language: string, place = 0): string {
  const section = page.split(/^## /m).find((each) => each.startsWith(heading)) ?? "";
  const blocks = [...section.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, "gms"))];
  const text = blocks[place]?.[1];
  if (text === undefined) throw new Error(`no block of ${language} at ${place} below ${heading}`);
  return replacements.reduce((replaced, [documented, local]) => replaced.replaceAll(documented, local), text);
}

/** Runs a block as a person would paste it, in a shell without an account or settings. Throws if it fails. */
function run(script: string): Promise<{ stdout: string; stderr: string }> {
  const env = { PATH: process.env["PATH"], HOME: folder, CI: "true", NO_COLOR: "1", SMOKE_TOKEN: token };
  return promisify(execFile)("bash", ["-c", `set -e -o pipefail\n${script}`], { cwd: folder, env });
}

/** As Neon's owner of the database, who isn't a superuser. */
async function runAsOwner(text: string): Promise<void> {
  await served.database.exec(`set session authorization ${OWNER_ROLE}; ${text}; reset session authorization`);
}

/** Replaces settings in wrangler.toml by those of a block. */
function setVariables(text: string, block: string): string {
  const lines = block.matchAll(/^(\w+) = .*$/gm);
  return [...lines].reduce((all, [line, name]) => all.replace(new RegExp(`^${name} = .*`, "m"), () => line), text);
}
