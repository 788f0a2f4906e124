// The environment of the Worker under test: what vitest.config.ts binds.
import type { LocalStackAddresses } from "./support/provided.ts";

declare global {
  namespace Cloudflare {
    interface Env extends Readonly<LocalStackAddresses["variables"]> {
      readonly RATE_LIMITER: RateLimit;
    }
  }
}
