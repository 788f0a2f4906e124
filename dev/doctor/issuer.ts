// The issuer as the Worker will meet it: metadata, key set, usable keys. Reads only what anybody may read.
import "./base64.ts";
import { readSignatureKeys } from "../../src/auth/signature-key.ts";
import type { Settings } from "../../src/settings.ts";
import { type Finding, bad, hint, ok } from "../checklist.ts";
import type { ClockReading } from "./clock.ts";

/** The Worker's own bounds for a key set: src/auth/key-set.ts. */
const timeoutMs = 3_000;
const maxKeySetBytes = 262_144;

/** Discovery documents: OpenID Connect Discovery §4 appends its path to the issuer, RFC 8414 §3.1 inserts it before the issuer's. */
function listMetadataUrls(issuer: string): string[] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, "");
  return [
    `${origin}${path}/.well-known/openid-configuration`,
    `${origin}/.well-known/oauth-authorization-server${path}`,
  ];
}

/** Compares what the issuer says of itself with the settings. */
export async function checkIssuer(settings: Settings, clocks: ClockReading[]): Promise<Finding[]> {
  const urls = listMetadataUrls(settings.JWT_ISSUER);
  const failures: string[] = [];
  for (const url of urls) {
    const reply = await fetchJson(url, clocks);
    if (reply.value === undefined) {
      failures.push(reply.failure);
      continue;
    }
    return [ok(`issuer metadata at ${url}`), ...compareMetadata(settings, reply.value)];
  }
  return [
    bad(
      `no issuer metadata: ${urls.map((url, index) => `${url}: ${failures[index]}`).join("; ")}`,
      `JWT_ISSUER must be, to the last character, the "iss" of your access tokens: decode one and compare.
A provider that publishes no metadata is checked with --without-metadata.`,
    ),
  ];
}

function compareMetadata(settings: Settings, metadata: Record<string, unknown>): Finding[] {
  const pairs = [
    ["JWT_ISSUER", "issuer"],
    ["JWKS_URL", "jwks_uri"],
    ["AUTHORIZATION_ENDPOINT", "authorization_endpoint"],
    ["TOKEN_ENDPOINT", "token_endpoint"],
  ] as const;
  return pairs.flatMap(([setting, member]) => {
    const wanted = settings[setting];
    const published = metadata[member];
    if (wanted === undefined) return [];
    if (wanted === published) return [ok(`${setting} is the issuer's ${member}`)];
    return [
      bad(
        `${setting} is ${wanted}, but the issuer's ${member} is ${String(published)}`,
        "They must be equal to the last character, a slash at the end included. Take the issuer's.",
      ),
    ];
  });
}

/** Fetches the key set as the Worker does, and says which of its keys the Worker would use. */
export async function checkKeySet(settings: Settings, clocks: ClockReading[]): Promise<Finding[]> {
  const reply = await fetchJson(settings.JWKS_URL, clocks);
  if (reply.value === undefined) {
    return [
      bad(
        `no key set at ${settings.JWKS_URL}: ${reply.failure}`,
        "JWKS_URL must answer 200 with JSON, without a redirect, within 3 seconds. The issuer's metadata names it: jwks_uri.",
      ),
    ];
  }
  const { keys } = reply.value;
  if (!Array.isArray(keys)) {
    return [
      bad(
        `${settings.JWKS_URL} is no JSON Web Key Set: it has no array "keys"`,
        "JWKS_URL is the address of the keys, not of the metadata. The metadata names it: jwks_uri.",
      ),
    ];
  }
  const lines = keys.map((key: unknown) => describeKey(key, settings.JWT_ALGORITHMS));
  const usable = lines.filter(({ mark }) => mark === "ok").length;
  if (usable > 0) return [ok(`key set at ${settings.JWKS_URL}: ${usable} of ${keys.length} keys usable`), ...lines];
  return [
    bad(
      `none of the ${keys.length} keys at ${settings.JWKS_URL} can be used`,
      `Usable are public signature keys (RSA of 2,048 bits or more, P-256, P-384, P-521, Ed25519) for one of JWT_ALGORITHMS.
An issuer with a shared secret (HS256) must be switched to asymmetric keys.`,
    ),
    ...lines,
  ];
}

function describeKey(key: unknown, allowed: readonly string[]): Finding {
  const [usable] = readSignatureKeys([key], allowed);
  const { kty, crv, use, alg, kid } = typeof key === "object" && key !== null ? (key as Record<string, unknown>) : {};
  const name = `key ${kid === undefined ? "without kid" : JSON.stringify(kid)}`;
  if (usable !== undefined) return ok(`${name}: ${usable.algorithms.join(" or ")}`);
  const traits = Object.entries({ kty, crv, use, alg }).filter(([, value]) => value !== undefined);
  return hint(`${name} is passed over: ${traits.map((pair) => pair.join(" ")).join(", ") || "no key"}`);
}

type Reply = { value: Record<string, unknown> } | { value?: undefined; failure: string };

async function fetchJson(url: string, clocks: ClockReading[]): Promise<Reply> {
  const startedMs = Date.now();
  try {
    const response = await fetch(url, {
      redirect: "manual",
      headers: { accept: "application/json" },
      signal: AbortSignal.timeout(timeoutMs),
    });
    const date = Date.parse(response.headers.get("date") ?? "");
    // The header has whole seconds: on average half a second has passed since.
    if (!Number.isNaN(date)) clocks.push({ name: "the issuer", startedMs, endedMs: Date.now(), theirMs: date + 500 });
    const text = await response.text();
    if (response.status !== 200) return { failure: `it answered ${response.status}` };
    if (text.length > maxKeySetBytes) return { failure: `it is longer than ${maxKeySetBytes} bytes` };
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return { failure: "it is no JSON object" };
    return { value: value as Record<string, unknown> };
  } catch (error) {
    return { failure: describeFetchError(error) };
  }
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
