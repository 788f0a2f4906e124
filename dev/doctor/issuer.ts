// The issuer as the Worker will use it: its metadata, its key set, the usable keys. Reads public documents only.
import type { JWK } from "jose";
import { readKeySet } from "../../src/auth/json-web-key-set.ts";
import { KEY_SET_MAX_BYTES, KEY_SET_REQUEST, KEY_SET_TIMEOUT_MS } from "../../src/auth/key-set-request.ts";
import type { Settings } from "../../src/settings.ts";
import { type Finding, bad, explainError, ok } from "../checklist.ts";

/** Compares the issuer's metadata with the settings. */
export async function* checkIssuer({ JWT_ISSUER, JWKS_URL }: Settings): AsyncGenerator<Finding> {
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
      const metadata = JSON.parse(await fetchText(url)) as Record<string, unknown>;
      yield compareMember("JWT_ISSUER", JWT_ISSUER, "issuer", metadata);
      yield compareMember("JWKS_URL", JWKS_URL, "jwks_uri", metadata);
      return;
    } catch (error) {
      failures.push(`${url}: ${explainError(error)}`);
    }
  }
  const remedy = `JWT_ISSUER must equal the "iss" of your access tokens, to the last character: decode one and compare.
If the issuer publishes no metadata, use --without-metadata.`;
  yield bad(`the issuer's metadata can't be read: ${failures.join("; ")}`, remedy);
}

function compareMember(setting: string, value: string, member: string, metadata: Record<string, unknown>): Finding {
  const published = String(metadata[member]);
  if (value === published) return ok(`${setting} equals "${member}" in the issuer's metadata`);
  return bad(
    `${setting} is ${value}, but "${member}" in the issuer's metadata is ${published}`,
    "They must be equal to the last character, including a trailing slash. Use the metadata's value.",
  );
}

/** Fetches the key set as the Worker does, and names the keys that the Worker would use. Adds them to `usable`. */
export async function* checkKeySet({ JWKS_URL, JWT_ALGORITHMS }: Settings, usable: JWK[]): AsyncGenerator<Finding> {
  try {
    const text = await fetchText(JWKS_URL);
    const { keys } = readKeySet(text, JWT_ALGORITHMS);
    const names = keys.map(({ kid, alg, kty }) => `${alg ?? kty} ${kid ?? "without kid"}`);
    const total = (JSON.parse(text) as { keys: unknown[] }).keys.length;
    usable.push(...keys);
    yield ok(`${keys.length} of ${total} keys at ${JWKS_URL} can be used: ${names.join(", ")}`);
  } catch (error) {
    const remedy = `JWKS_URL must be the issuer's "jwks_uri" and return JSON with status 200 within 3 seconds, without a redirect. The keys
must include a public one for signatures by one of JWT_ALGORITHMS. An issuer that signs with a shared secret (HS256) must
change to asymmetric keys.`;
    yield bad(`no usable keys at ${JWKS_URL}: ${explainError(error)}`, remedy);
  }
}

async function fetchText(url: string): Promise<string> {
  const signal = AbortSignal.timeout(KEY_SET_TIMEOUT_MS);
  const response = await fetch(url, { ...KEY_SET_REQUEST, signal });
  const text = await response.text();
  if (response.status !== 200) throw new Error(`the response is a ${response.status}`);
  if (text.length > KEY_SET_MAX_BYTES) throw new Error(`the response is longer than ${KEY_SET_MAX_BYTES} bytes`);
  return text;
}
