// What a deployment's configuration must not lose: the template's, and that of an operator who has a copy of it.
import { globSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { unstable_readConfig as readConfig } from "wrangler";
import { readConfigFile } from "../../dev/doctor/config.ts";

const ROOT = join(import.meta.dirname, "../..");

test.for(globSync("wrangler*.toml", { cwd: ROOT }))("%s has what this version needs", async (name) => {
  expect((await readConfigFile(join(ROOT, name))).findings).toEqual([]);
});

test("by the template, one request in ten is traced, exceptions are grouped, and wrangler reports nothing", () => {
  const { observability, ...config } = readConfig({ config: join(ROOT, "wrangler.toml") }, { hideWarnings: true });
  expect(observability).toMatchObject({ traces: { enabled: true }, issues: { enabled: true } });
  expect(config).toMatchObject({ send_metrics: false, dependencies_instrumentation: { enabled: false } });
});
