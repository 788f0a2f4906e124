// What docs/settings.md and wrangler.toml tell of the settings is what src/settings.ts does: names, defaults, bounds.
import { readFile } from "node:fs/promises";
import { parseEnv } from "node:util";
import { expect, test } from "vitest";
import { SettingsSchema, readSettings } from "../../src/settings.ts";

const NAMES = Object.keys(SettingsSchema.shape);
const MINIMUM = {
  DATABASE_URL: "postgresql://u:p@h/d",
  JWT_ISSUER: "https://issuer.example.com",
  JWT_AUDIENCE: "https://api.example.com",
  JWKS_URL: "https://issuer.example.com/jwks",
};

const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), "utf8");
const page = await read("docs/settings.md");
const rows = [...page.matchAll(/^\| `([A-Z_]+)` +\| (.+?) +\| (.+?) +\|$/gm)].map(
  ([, name = "", byDefault = "", meaning = ""]) => ({ name, byDefault, meaning }),
);

/** As it would be written: nothing for what is required, an empty text for what is optional. */
function readDefault(name: string): string | undefined {
  if (Object.hasOwn(MINIMUM, name)) return undefined;
  const settings = readSettings(MINIMUM);
  if (!settings.ok) throw new Error("the least settings are refused");
  const value: unknown = Reflect.get(settings.settings, name);
  return Array.isArray(value) ? value.join(" ") : String(value ?? "");
}

/** For example ["0", "60"], from the rule in the problem of a wrong value. */
function readBounds(name: string): string[] | undefined {
  const settings = readSettings({ ...MINIMUM, [name]: "no number" });
  const problem = settings.ok ? "" : settings.problems.join("\n");
  return /must be a whole number from (\d+) to (\d+)$/.exec(problem)?.slice(1);
}

test("docs/settings.md has one row and one section for each setting, in one order", () => {
  expect(rows.map(({ name }) => name).toSorted()).toEqual(NAMES.toSorted());
  const sections = [...page.matchAll(/^### (.+)$/gm)].map(([, name]) => name);
  expect(sections).toEqual(rows.map(({ name }) => name));
});

test("docs/settings.md has each default and each bound", () => {
  for (const { name, byDefault, meaning } of rows) {
    const value = readDefault(name);
    expect(byDefault, name).toBe(value === undefined ? "required" : value === "" ? "none" : `\`${value}\``);
    const bounds = readBounds(name)?.map((bound) => Number(bound).toLocaleString("en"));
    if (bounds !== undefined) expect(meaning, name).toMatch(new RegExp(`; ${bounds.join("( \\(off\\))? to ")}$`));
  }
});

/** The settings in [vars], in their order. */
async function readVariables(): Promise<[name: string, value: string][]> {
  const [, variables = ""] = /\n\[vars\]\n(.*?)(?=\n\[|$)/s.exec(await read("wrangler.toml")) ?? [];
  return [...variables.matchAll(/^([A-Z_]+) = "?(.*?)"?$/gm)].map(([, name = "", value = ""]) => [name, value]);
}

test("wrangler.toml declares every setting, so that wrangler loads each from .dev.vars, in the order of docs/settings.md", async () => {
  const variables = await readVariables();
  expect(["DATABASE_URL", ...variables.map(([name]) => name)]).toEqual(rows.map(({ name }) => name));
  expect(await read("wrangler.toml")).toMatch(/^required = \["DATABASE_URL"\]$/m);
  const given = Object.fromEntries(variables.filter(([, value]) => value !== ""));
  expect(readSettings({ ...MINIMUM, ...given }).ok).toBe(true);
});

test("wrangler.toml has each default, until an operator fills it in", async (context) => {
  const variables = await readVariables();
  const isFilledIn = variables.some(([name, value]) => Object.hasOwn(MINIMUM, name) && value !== "");
  context.skip(isFilledIn, "filled in");
  for (const [name, value] of variables) expect(value, name).toBe(readDefault(name) ?? "");
});

test(".dev.vars.example names secrets only: Cloudflare's deploy button asks for each line", async () => {
  const example = parseEnv(await read(".dev.vars.example"));
  expect(Object.keys(example)).toEqual(["DATABASE_URL"]);
  expect(readSettings({ ...MINIMUM, ...example }).ok).toBe(true);
});
