// What docs/settings.md and wrangler.toml tell of the settings is what src/settings.ts does: names, defaults, bounds.
import { readFile } from "node:fs/promises";
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

/** For example ["0", "60"], from the rule that a wrong value is told. */
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

test("docs/settings.md tells each default and each bound", () => {
  for (const { name, byDefault, meaning } of rows) {
    const value = readDefault(name);
    expect(byDefault, name).toBe(value === undefined ? "required" : value === "" ? "none" : `\`${value}\``);
    const bounds = readBounds(name)?.map((bound) => Number(bound).toLocaleString("en"));
    if (bounds !== undefined) expect(meaning, name).toMatch(new RegExp(`; ${bounds.join("( \\(off\\))? to ")}$`));
  }
});

test("wrangler.toml has a line for every variable, in the order of docs/settings.md, with its default", async () => {
  const toml = await read("wrangler.toml");
  // An operator fills lines in; those that are still comments tell the defaults.
  const lines = [...toml.slice(toml.indexOf("\n[vars]")).matchAll(/^(# )?([A-Z_]+) = "(.*)"$/gm)];
  expect(["DATABASE_URL", ...lines.map(([, , name]) => name)]).toEqual(rows.map(({ name }) => name));
  expect(toml).toMatch(/^required = \["DATABASE_URL"\]$/m);
  for (const [, hash, name = "", value] of lines) {
    const byDefault = readDefault(name);
    if (byDefault !== undefined && hash !== undefined) expect(value, name).toBe(byDefault);
  }
  const given = Object.fromEntries(lines.map(([, , name, value]) => [name, value]));
  expect(readSettings({ ...MINIMUM, ...given }).ok).toBe(true);
});
