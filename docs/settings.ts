// The table of settings: names, defaults and forms from the Worker's schema, their meaning from data/settings.json. Throws if the two
// don't have the same names.
import { SettingsSchema, readSettings } from "../src/settings.ts";
import meanings from "./data/settings.json" with { type: "json" };

/** The least that `readSettings` accepts. */
export const MINIMUM = {
  DATABASE_URL: "postgresql://u:p@h/d",
  JWT_ISSUER: "https://issuer.example.com",
  JWT_AUDIENCE: "https://api.example.com",
  JWKS_URL: "https://issuer.example.com/jwks",
};

/** As it would be written: undefined if the setting is required, an empty text if there is none. */
export function readDefault(name: string): string | undefined {
  if (Object.hasOwn(MINIMUM, name)) return undefined;
  const read = readSettings(MINIMUM);
  if (!read.ok) throw new Error(read.problems.join("; "));
  const value: unknown = Reflect.get(read.settings, name);
  return Array.isArray(value) ? value.join(" ") : String(value ?? "");
}

/** The rule in the problem of a wrong value, without "must be"; empty if every value is right. */
function readForm(name: string): string {
  const read = readSettings({ ...MINIMUM, [name]: "\0" });
  const [problem = ""] = read.ok ? [] : read.problems;
  return problem
    .replace(/^\S+ must (be|list) /, "")
    .replaceAll(/\b\d{4,}\b/g, (digits) => Number(digits).toLocaleString("en"));
}

/** The table, as Markdown. */
export function tabulateSettings(): string {
  const names = Object.keys(SettingsSchema.shape);
  const missing = names.filter((name) => !Object.hasOwn(meanings, name));
  const surplus = Object.keys(meanings).filter((name) => !names.includes(name));
  if (missing.length + surplus.length > 0) throw new Error(`data/settings.json: ${[...missing, ...surplus].join()}`);
  const rows = Object.entries(meanings).map(([name, meaning]) => {
    const value = readDefault(name);
    const shown = value === undefined ? "required" : value === "" ? "none" : `\`${value}\``;
    return [`\`${name}\``, shown, readForm(name), meaning];
  });
  const table = [
    ["setting", "default", "form", "meaning, and the reason for the default"],
    ["---", "---", "---", "---"],
    ...rows,
  ];
  return table.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}
