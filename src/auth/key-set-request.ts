// How a key set is fetched, and what it may cost. Free of the platform's types: the doctor fetches key sets the same way.
export const KEY_SET_TIMEOUT_MS = 3_000;
/** Large sets with certificate chains are about 50 KB. */
export const KEY_SET_MAX_BYTES = 262_144;

/** Redirects aren't followed: whoever can redirect could name other keys. */
export const KEY_SET_REQUEST = {
  // Some web application firewalls refuse requests without a User-Agent.
  headers: { accept: "application/jwk-set+json, application/json", "user-agent": "crew-run-reader" },
  redirect: "manual",
  // A key set's age counts from the issuer's own reply, not from a cache's in between.
  cache: "no-store",
} as const;
