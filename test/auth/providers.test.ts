// Tokens of the shapes that real issuers give out, with the settings that docs/providers.md names for them: the user and the
// admin get in, and what the same issuer signs for another purpose does not.
import { beforeAll, describe, expect, inject, test } from "vitest";
import documentation from "../../docs/providers.md?raw";
import { readSettings } from "../../src/settings.ts";
import { type SigningKey, type TestIssuer, makeKey, openIssuer } from "../issuer.ts";
import { insertRun } from "../rows.ts";
import { bearer, startWorker } from "../worker.ts";
import { forge } from "./forge.ts";
import { PROVIDERS, type Provider } from "./providers.ts";
import { expectInvalidToken, observe } from "./refusal.ts";

const DOCUMENTED = readDocumentation(documentation);

let keys: Record<Provider["algorithm"], SigningKey>;
/** A run of nobody in the table. */
let foreign: string;

beforeAll(async () => {
  const [rs256, es256, edDsa] = await Promise.all([makeKey("RS256"), makeKey("ES256"), makeKey("EdDSA")]);
  keys = { RS256: rs256, ES256: es256, EdDSA: edDsa };
  foreign = await insertRun({ owner_id: crypto.randomUUID() });
});

/** A token of the provider's, with changes to its header and claims. */
function issue(
  { algorithm, header, claims }: Provider,
  claimChanges: Record<string, unknown> = {},
  headerChanges: Record<string, unknown> = {},
): Promise<string> {
  const key = keys[algorithm];
  const iat = Math.floor(Date.now() / 1_000);
  return forge(
    { alg: algorithm, kid: key.jwk.kid, ...header, ...headerChanges },
    { ...claims, iat, exp: iat + 300, ...claimChanges },
    key,
  );
}

describe.for(PROVIDERS)("$name", (provider) => {
  let issuer: TestIssuer;
  let own: string;

  beforeAll(async () => {
    const key = keys[provider.algorithm];
    issuer = await openIssuer([]);
    // Some publish a key for encryption next to it.
    const other = { ...key.jwk, use: "enc", alg: "RSA-OAEP" };
    await issuer.publish([other, { ...key.jwk, ...provider.jwk }]);
    own = await insertRun({ owner_id: provider.subject });
  });

  const start = () => startWorker({ ...provider.settings, JWKS_URL: issuer.variables.JWKS_URL });

  async function read(token: string, id: string): Promise<number> {
    const response = await start().fetch(`/api/crew-runs/${id}`, { headers: bearer(token) });
    await response.body?.cancel();
    return response.status;
  }

  test("the settings are sound", () => {
    const { DATABASE_URL } = inject("stack").variables;
    expect(readSettings({ DATABASE_URL, ...provider.settings })).toMatchObject({ ok: true });
  });

  test("the user reads the own run and no other", async () => {
    expect(await read(await issue(provider), own)).toBe(200);
    expect(await read(await issue(provider), foreign)).toBe(404);
  });

  test("the admin reads any run", async () => {
    expect(await read(await issue(provider, provider.admin), foreign)).toBe(200);
  });

  test.for([...provider.nearMisses])("$title: $outcome", async ({ claims, header, outcome }) => {
    const token = await issue(provider, claims, header);
    if (typeof outcome === "number") {
      expect(await read(token, foreign)).toBe(outcome);
      expect(await read(token, own)).toBe(outcome === 404 ? 200 : outcome);
      return;
    }
    const send = () => start().fetch(`/api/crew-runs/${own}`, { headers: bearer(token) });
    const observed = await observe(send);
    const challenge = observed.response.headers.get("www-authenticate") ?? "";
    // The scope that a deployment demands is a part of every challenge.
    const { REQUIRED_SCOPE } = provider.settings;
    const response = new Response(null, observed.response);
    response.headers.set("www-authenticate", challenge.replace(`scope="${REQUIRED_SCOPE}", `, ""));
    expectInvalidToken({ ...observed, response }, outcome);
  });

  test("docs/providers.md names these settings", () => {
    expect(DOCUMENTED.get(provider.name)).toEqual(provider.settings);
  });
});

test("docs/providers.md names no provider that is not tested", () => {
  expect([...DOCUMENTED.keys()]).toEqual(PROVIDERS.map(({ name }) => name));
});

/** The document's blocks of settings, by provider. */
function readDocumentation(text: string): Map<string, Record<string, string>> {
  const settings = new Map<string, Record<string, string>>();
  for (const [, name = "", block = ""] of text.matchAll(/^### (.*)\n\n```ini\n([^`]*)```$/gm)) {
    const pairs = block.matchAll(/^([A-Z_]+)=(.*)$/gm);
    settings.set(name, Object.fromEntries([...pairs].map(([, key, value]) => [key, value])));
  }
  return settings;
}
