// One runner for all tests. `npm test` runs the projects workerd and node: the Worker. `npm run test:tools` runs tools and
// browser, which start many processes or need Chromium; vectors needs files of others.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { type TestProjectInlineConfiguration, defineConfig } from "vitest/config";
import type {} from "./test/support/provided.ts";

/** For tests that start processes. */
const PATIENCE = { testTimeout: 60_000, hookTimeout: 90_000 };
/** After the others, because they start many processes. */
const LATER = { maxWorkers: 3, sequence: { groupOrder: 1 } };

// Otherwise wrangler says for each file where its secrets come from.
process.env["WRANGLER_LOG"] ??= "warn";

// npm runs scripts in the project's folder, wherever it was called.
const { VECTORS, INIT_CWD = "" } = process.env;

const PROJECTS: TestProjectInlineConfiguration[] = [
  {
    plugins: [
      cloudflareTest(({ inject }) => {
        const { variables } = inject("localStack");
        // Where wrangler looks for the secrets that wrangler.toml requires.
        process.env["DATABASE_URL"] = variables.DATABASE_URL;
        return {
          wrangler: { configPath: "./wrangler.toml" },
          // Keeps workerd from reporting each connection that a test breaks on purpose.
          verbose: false,
          miniflare: {
            bindings: variables,
            // Commented out in wrangler.toml. Only the tests of the rate limit hand it to their test app.
            ratelimits: { RATE_LIMITER: { namespace_id: "1", simple: { limit: 3, period: 60 } } },
          },
        };
      }),
    ],
    test: {
      name: "workerd",
      isolate: false,
      include: ["test/**/*.test.ts"],
      // Generous, because other programs may keep the machine busy.
      testTimeout: 15_000,
      exclude: ["test/{node,tools,vectors}/**", "**/node_modules/**"],
      provide: { histories: Number(process.env["HISTORIES"] ?? 8) },
      setupFiles: ["./test/support/setup.ts"],
      restoreMocks: true,
      unstubGlobals: true,
    },
  },
  { test: { name: "node", include: ["test/node/*.test.ts"], ...PATIENCE } },
  { test: { name: "tools", include: ["test/tools/*.test.ts"], maxConcurrency: 20, ...PATIENCE, ...LATER } },
  { test: { name: "browser", include: ["test/tools/browser/*.test.ts"], ...PATIENCE, ...LATER } },
  {
    plugins: [cloudflareTest({ wrangler: { configPath: "./wrangler.toml" } })],
    resolve: { alias: { vectors: resolve(INIT_CWD, VECTORS ?? "") } },
    test: { name: "vectors", include: ["test/vectors/*.test.ts"] },
  },
];

/** What a project needs that not every machine has. */
const MISSING: Record<string, string | false> = {
  browser: !existsSync("/usr/bin/chromium") && "Chromium",
  vectors: VECTORS === undefined && "the files of VECTORS",
};

/** By `--project`; all if there are none. */
const chosen = process.argv.filter((_, index, words) => words[index - 1] === "--project");

/** Whether the project can run here. In CI all must. */
function canRun({ test }: TestProjectInlineConfiguration): boolean {
  const name = String(test?.name);
  const missing = MISSING[name] ?? false;
  if (missing !== false && (chosen.length === 0 || chosen.includes(name))) {
    console.warn(`Without ${missing}, the project ${name} is skipped.`);
  }
  return missing === false;
}

export default defineConfig({
  test: {
    silent: "passed-only",
    maxWorkers: 4,
    globalSetup: ["./test/support/node/global-setup.ts"],
    projects: process.env["CI"] ? PROJECTS : PROJECTS.filter(canRun),
  },
});
