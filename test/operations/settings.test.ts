// One declaration, four places that tell of it: src/settings.ts against docs/settings.md, README.md, wrangler.toml and the
// doctor. Names, defaults and bounds.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { pathToFileURL } from "node:url";
import { readConfiguration } from "../../dev/doctor/configuration.ts";
import { SettingsSchema, readSettings } from "../../src/settings.ts";

const secrets = new Set(["DATABASE_URL"]);
const names = Object.keys(SettingsSchema.shape);
const minimum = {
  DATABASE_URL: "postgresql://u:p@h/d",
  JWT_ISSUER: "https://issuer.example.com",
  JWT_AUDIENCE: "https://api.example.com",
  JWKS_URL: "https://issuer.example.com/jwks",
};

/** As it would be written: what is required has none, what is optional has an empty one. */
function readDefault(name: string): string | undefined {
  if (Object.hasOwn(minimum, name)) return undefined;
  const read = readSettings(minimum);
  assert.ok(read.ok);
  const value: unknown = Reflect.get(read.settings, name);
  return Array.isArray(value) ? value.join(" ") : String(value ?? "");
}

/** For example "from 0 to 60", from the rule that a wrong value is told. */
function readBounds(name: string): [minimum: string, maximum: string] | undefined {
  const read = readSettings({ ...minimum, [name]: "no number" });
  const problem = read.ok ? "" : read.problems.join("\n");
  const [, low, high] = /must be a whole number from (\d+) to (\d+)$/.exec(problem) ?? [];
  return low === undefined || high === undefined ? undefined : [low, high];
}

interface Row {
  name: string;
  default: string;
  meaning: string;
}

function readTable(page: string): Row[] {
  const rows = page.matchAll(/^\| `([A-Z_]+)` +\| (.+?) +\| (.+?) +\|$/gm);
  return [...rows].map(([, name = "", value = "", meaning = ""]) => ({ name, default: value, meaning }));
}

const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), "utf8");

describe("docs/settings.md", () => {
  let page: string;
  let rows: Row[];
  before(async () => {
    page = await read("docs/settings.md");
    rows = readTable(page);
  });

  test("has one row and one section a setting, in one order", () => {
    assert.deepEqual(rows.map(({ name }) => name).toSorted(), names.toSorted());
    const sections = [...page.matchAll(/^### (.+)$/gm)].map(([, name]) => name);
    assert.deepEqual(
      sections,
      rows.map(({ name }) => name),
    );
  });

  for (const name of names) {
    test(`tells the default and the bounds of ${name}`, () => {
      const row = rows.find((each) => each.name === name);
      const value = readDefault(name);
      const written = value === undefined ? "required" : value === "" ? "none" : `\`${value}\``;
      assert.equal(row?.default, written);
      const bounds = readBounds(name)?.map((bound) => Number(bound).toLocaleString("en"));
      if (bounds !== undefined) {
        assert.match(row?.meaning ?? "", new RegExp(`; ${bounds[0]}( \\(off\\))? to ${bounds[1]}$`));
      }
    });
  }
});

test("README.md has the same table", async () => {
  const readme = await read("README.md");
  const section = /^## Settings$(.*?)^## /ms.exec(readme)?.[1] ?? "";
  const ours = readTable(await read("docs/settings.md"));
  assert.deepEqual(readTable(section), ours);
});

describe("wrangler.toml", () => {
  /** An operator fills lines in and changes them; those that are still comments tell the defaults. */
  let lines: Map<string, { value: string; isComment: boolean }>;
  let toml: string;
  before(async () => {
    toml = await read("wrangler.toml");
    const production = toml.slice(toml.indexOf("[env.production.vars]"));
    lines = new Map(
      [...production.matchAll(/^(# )?([A-Z_]+) = "(.*)"$/gm)].map(([, hash, name = "", value = ""]) => [
        name,
        { value, isComment: hash !== undefined },
      ]),
    );
  });

  test("has a line for every setting but the secrets, in the order of docs/settings.md", async () => {
    const documented = readTable(await read("docs/settings.md")).map(({ name }) => name);
    assert.deepEqual(
      [...lines.keys()],
      documented.filter((name) => !secrets.has(name)),
    );
    for (const name of secrets) assert.ok(toml.includes(`\n# ${name} is a secret: npx wrangler secret put ${name} `));
  });

  test("has each default, and values that are well formed", () => {
    for (const [name, { value, isComment }] of lines) {
      const byDefault = readDefault(name);
      if (byDefault !== undefined && isComment) assert.equal(value, byDefault, name);
    }
    const given = Object.fromEntries([...lines].map(([name, { value }]) => [name, value]));
    assert.ok(readSettings({ ...minimum, ...given }).ok);
  });
});

test("the doctor asks for what is required, knows every name, and points at its section", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "settings-"));
  t.after(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, "wrangler.toml"), `name = "x"\n[env.production]\n`);
  const configFile = pathToFileURL(join(directory, "wrangler.toml"));
  const source = { configFile, environmentName: "production" };
  const { findings, broken } = await readConfiguration({ ...source, variables: {} });
  assert.deepEqual([...broken].toSorted(), names.filter((name) => readDefault(name) === undefined).toSorted());
  for (const name of broken) {
    const finding = findings.find(({ text }) => text.startsWith(`${name} `));
    assert.ok(finding?.remedy?.includes(`docs/settings.md#${name.toLowerCase()}`), name);
  }
  const variables = Object.fromEntries(names.map((name) => [name, readDefault(name) || "https://x.example.com"]));
  const complete = await readConfiguration({ ...source, variables: { ...variables, ...minimum } });
  for (const name of names)
    assert.ok(
      complete.findings.some(({ text }) => text.startsWith(`${name} (`)),
      name,
    );
});
