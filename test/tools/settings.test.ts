// wrangler.toml and .dev.vars.example name the settings that src/settings.ts declares.
import { readFile } from "node:fs/promises";
import { parseEnv } from "node:util";
import { expect, test } from "vitest";
import { unstable_readConfig as readConfig } from "wrangler";
import { MINIMUM, readDefault } from "../../docs/settings.ts";
import { SettingsSchema, readSettings } from "../../src/settings.ts";

const ROOT = `${import.meta.dirname}/../..`;

test("wrangler.toml has every setting, so that wrangler loads each from .dev.vars, with its default until it is filled in", () => {
  const { vars } = readConfig({ config: `${ROOT}/wrangler.toml` }, { hideWarnings: true });
  expect(["DATABASE_URL", ...Object.keys(vars)].toSorted()).toEqual(Object.keys(SettingsSchema.shape).toSorted());
  if (vars["JWT_ISSUER"] !== "") return;
  for (const [name, value] of Object.entries(vars)) expect(value, name).toBe(readDefault(name) ?? "");
});

test(".dev.vars.example has secrets only: Cloudflare's deploy button asks for each line", async () => {
  const example = parseEnv(await readFile(`${ROOT}/.dev.vars.example`, "utf8"));
  expect(Object.keys(example)).toEqual(["DATABASE_URL"]);
  expect(readSettings({ ...MINIMUM, ...example }).ok).toBe(true);
});
