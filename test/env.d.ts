// The environment of the Worker under test: what vitest.config.ts binds.
import type { StackAddresses } from "./stack/addresses.ts";

declare global {
  namespace Cloudflare {
    interface Env extends Readonly<StackAddresses["variables"]> {
      readonly RATE_LIMITER: RateLimit;
    }
  }
}
