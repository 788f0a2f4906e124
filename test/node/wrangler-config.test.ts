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

const template = readConfig({ config: join(ROOT, "wrangler.toml") }, { hideWarnings: true });
const isFilledIn = template.vars["JWT_ISSUER"] !== "";

test.skipIf(isFilledIn)(
  "the template builds, places, logs and traces as its comments say, and wrangler reports nothing",
  () => {
    expect(template).toMatchObject({
      minify: true,
      keep_names: false,
      upload_source_maps: true,
      send_metrics: false,
      dependencies_instrumentation: { enabled: false },
      build: { command: "npm run --silent build:site" },
      assets: { not_found_handling: "404-page", run_worker_first: expect.arrayContaining(["/*", "!/docs/*"]) },
      placement: { mode: "smart" },
      observability: {
        head_sampling_rate: 1,
        traces: { enabled: true, head_sampling_rate: 0.1 },
        issues: { enabled: true },
      },
      ratelimits: [],
    });
  },
);
