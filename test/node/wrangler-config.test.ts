// What production's configuration must not lose: no other test would fail without it.
import { expect, test } from "vitest";
import { unstable_readConfig as readConfig } from "wrangler";

const config = readConfig({ config: `${import.meta.dirname}/../../wrangler.toml`, env: "" }, { hideWarnings: true });

test("a Worker learns when its client leaves, and reaches an issuer on its own zone", () => {
  expect(config.compatibility_flags).toEqual(["enable_request_signal", "global_fetch_strictly_public"]);
});

test("a version that isn't deployed has no address", () => {
  expect(config.preview_urls).toBe(false);
});

test("the Worker, not the documents, serves the API", () => {
  expect(config.assets?.run_worker_first).toEqual(["/api/*", "/health", "/ready", "/.well-known/*"]);
});

test("every request is logged by the Worker alone, and traces contain no query string: a client may put its token there", () => {
  expect(config.observability).toEqual({
    enabled: true,
    head_sampling_rate: expect.any(Number),
    redact_query_string: true,
    logs: { invocation_logs: false },
    traces: { enabled: true, head_sampling_rate: expect.any(Number) },
    issues: { enabled: true },
  });
});

test("the database's password is a secret that a deployment can't lack, and wrangler reports nothing", () => {
  expect(config.secrets).toEqual({ required: ["DATABASE_URL"] });
  expect(config.vars).not.toHaveProperty("DATABASE_URL");
  expect(config).toMatchObject({ send_metrics: false, dependencies_instrumentation: { enabled: false } });
});
