// The issuer as the Worker will meet it: its metadata, its key set, the keys that can be used. Reads only what anybody may read.
import { readKeySet } from "../../src/auth/json-web-key-set.ts";
import type { Settings } from "../../src/settings.ts";
import { type Finding, bad, ok } from "../checklist.ts";

/** The Worker's own bounds for a key set: src/auth/key-set.ts. */
const TIMEOUT_MS = 3_000;
const MAX_REPLY_BYTES = 262_144;

/** Compares what the issuer says of itself with the settings. */
export async function checkIssuer({ JWT_ISSUER, JWKS_URL }: Settings): Promise<Finding[]> {
  const { origin, pathname } = new URL(JWT_ISSUER);
  const path = pathname.replace(/\/$/, "");
  const urls = [
    // OpenID Connect Discovery §4 appends its path to the issuer's, RFC 8414 §3.1 inserts it before.
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
  ];
  const failures: string[] = [];
  for (const url of urls) {
    try {
      const metadata = JSON.parse(await fetchText(url)) as { issuer?: unknown; jwks_uri?: unknown };
      return [
        compareMember("JWT_ISSUER", JWT_ISSUER, "issuer", metadata.issuer),
        compareMember("JWKS_URL", JWKS_URL, "jwks_uri", metadata.jwks_uri),
      ];
    } catch (error) {
      failures.push(`${url}: ${describeFetchError(error)}`);
    }
  }
  return [
    bad(
      `no issuer metadata: ${failures.join("; ")}`,
      `JWT_ISSUER must be, to the last character, the "iss" of your access tokens: decode one and compare.
A provider that publishes no metadata is checked with --without-metadata.`,
    ),
  ];
}

function compareMember(setting: string, value: string, member: string, published: unknown): Finding {
  if (value === published) return ok(`${setting} is the issuer's ${member}`);
  return bad(
    `${setting} is ${value}, but the issuer's ${member} is ${String(published)}`,
    "They must be equal to the last character, a slash at the end included. Take the issuer's.",
  );
}

/** Fetches the key set as the Worker does, and names the keys that the Worker would use. */
export async function checkKeySet({ JWKS_URL, JWT_ALGORITHMS }: Settings): Promise<Finding[]> {
  try {
    const text = await fetchText(JWKS_URL);
    const { keys } = readKeySet(text, JWT_ALGORITHMS);
    const names = keys.map(({ kid, alg, kty }) => `${alg ?? kty} ${kid ?? "without kid"}`);
    const total = (JSON.parse(text) as { keys: unknown[] }).keys.length;
    return [ok(`${keys.length} of ${total} keys at ${JWKS_URL} can be used: ${names.join(", ")}`)];
  } catch (error) {
    return [
      bad(
        `no usable keys at ${JWKS_URL}: ${describeFetchError(error)}`,
        `JWKS_URL must be the issuer's jwks_uri and answer 200 with JSON, without a redirect, within 3 seconds. It must hold a
public signature key for one of JWT_ALGORITHMS. An issuer with a shared secret (HS256) must be switched to asymmetric keys.`,
      ),
    ];
  }
}

async function fetchText(url: string): Promise<string> {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const response = await fetch(url, { redirect: "manual", headers: { accept: "application/json" }, signal });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`it answered ${response.status}`);
  if (text.length > MAX_REPLY_BYTES) throw new Error(`it is longer than ${MAX_REPLY_BYTES} bytes`);
  return text;
}

/** Node says "fetch failed" and hides the reason in the cause. */
export function describeFetchError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return "no answer in time";
  if (error instanceof SyntaxError) return "it is no JSON";
  const { cause } = error;
  if (cause instanceof Error) return "code" in cause ? `${String(cause.code)} ${cause.message}`.trim() : cause.message;
  return error.message;
}
