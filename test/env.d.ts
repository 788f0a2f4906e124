// What vitest.config.ts and Vite add to the modules and the environment of the Worker's tests.

/** A file's text. */
declare module "*?raw" {
  const text: string;
  export default text;
}

/** A file of published vectors. */
declare module "vectors/*" {
  /** A key, or a set of keys; without a public one, they are symmetric. */
  type Keys = { keys?: object[] } | undefined;
  interface Vector extends Record<"jws" | "result", string> {
    tcId: number;
  }
  const file: { numberOfTests: number; testGroups: { public: Keys; private: Keys; tests: Vector[] }[] };
  export default file;
}

declare namespace Cloudflare {
  interface Env {
    readonly RATE_LIMITER: RateLimit;
  }
}
