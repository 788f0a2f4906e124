// What production's configuration must not lose: no other test would fail without it.
import { expect, test } from "vitest";
import { unstable_readConfig as readConfig } from "wrangler";

const config = readConfig({ config: `${import.meta.dirname}/../../wrangler.toml`, env: "" }, { hideWarnings: true });

test("a Worker learns when its client leaves, and reaches an issuer on its own zone", () => {
  expect(config.compatibility_flags).toEqual(["enable_request_signal", "global_fetch_strictly_public"]);
});

test("traces contain no query string: a client may put its token there", () => {
  expect(config.observability).toMatchObject({ redact_query_string: true, logs: { invocation_logs: false } });
});

test("the database's password is a secret that a deployment can't lack", () => {
  expect(config.secrets).toEqual({ required: ["DATABASE_URL"] });
  expect(config.vars).not.toHaveProperty("DATABASE_URL");
});
