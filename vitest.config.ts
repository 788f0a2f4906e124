// One runner for all tests. `npm test` runs the projects workerd and node: the Worker. `npm run test:tools` runs tools and
// browser, which start many processes or need Chromium; `npm run test:vectors` needs files of others.
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { readVectors } from "./test/vectors/read-vectors.ts";
import type {} from "./test/support/provided.ts";

/** For tests that start processes. */
const PATIENCE = { testTimeout: 60_000, hookTimeout: 90_000 };
/** After the others, because they start many processes. */
const LATER = { maxWorkers: 3, sequence: { groupOrder: 1 } };

export default defineConfig({
  test: {
    silent: "passed-only",
    maxWorkers: 4,
    projects: [
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
          include: ["test/**/*.test.ts"],
          // Generous, because other programs may keep the machine busy.
          testTimeout: 15_000,
          exclude: ["test/{generated-client,node,tools,vectors}/**"],
          provide: { histories: Number(process.env["HISTORIES"] ?? 15) },
          globalSetup: ["./test/support/node/global-setup.ts"],
          setupFiles: ["./test/support/console.ts"],
          restoreMocks: true,
          unstubGlobals: true,
        },
      },
      { test: { name: "node", include: ["test/node/*.test.ts"], ...PATIENCE } },
      {
        test: {
          name: "tools",
          include: ["test/tools/*.test.ts", "test/generated-client/*.test.ts"],
          ...PATIENCE,
          ...LATER,
        },
      },
      { test: { name: "browser", include: ["test/tools/browser/*.test.ts"], ...PATIENCE, ...LATER } },
      {
        plugins: [cloudflareTest({ wrangler: { configPath: "./wrangler.toml" } })],
        test: { name: "vectors", include: ["test/vectors/*.test.ts"], provide: { vectors: readVectors() } },
      },
    ],
  },
});
