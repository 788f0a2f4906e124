// The tests run inside workerd, against the local stack of dev/ with a database of their own.
import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import type {} from "./test/stack/addresses.ts";

export default defineConfig({
  plugins: [
    cloudflareTest(({ inject }) => {
      const { variables } = inject("stack");
      // Where wrangler looks for the secrets that wrangler.toml requires.
      process.env["DATABASE_URL"] = variables.DATABASE_URL;
      return {
        wrangler: { configPath: "./wrangler.toml" },
        // Keeps workerd from reporting each connection that a test breaks on purpose.
        verbose: false,
        miniflare: {
          bindings: variables,
          // Commented out in wrangler.toml. Only the tests of the rate limit hand it to their Worker.
          ratelimits: { RATE_LIMITER: { namespace_id: "1", simple: { limit: 3, period: 60 } } },
        },
      };
    }),
  ],
  test: {
    include: ["test/**/*.test.ts"],
    // What runs in Node has Node's own test runner.
    exclude: ["test/generated-client/**", "test/node/**", "test/browser/**", "test/operations/**"],
    // The Worker writes a line a request: shown where a test fails.
    silent: "passed-only",
    maxWorkers: 4,
    provide: { histories: Number(process.env["HISTORIES"] ?? 15) },
    globalSetup: ["./test/stack/global-setup.ts"],
  },
});
