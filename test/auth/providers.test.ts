// Tokens of the shapes that real issuers give out, with the settings that docs/providers.md names for them: the user and the
// admin get in, and what the same issuer signs for another purpose does not.
import { beforeAll, describe, expect, test } from "vitest";
import documentation from "../../docs/providers.md?raw";
import { insertRun } from "../support/database.ts";
import { forge } from "../support/forged-token.ts";
import { type Reader, createReader } from "../support/reader.ts";
import { expectInvalidToken } from "../support/refusal.ts";
import { type SigningKey, makeKey } from "../support/signing.ts";
import { PROVIDERS, type Provider, USER } from "./providers.ts";

type Members = Record<string, unknown>;

const DOCUMENTED = readDocumentation(documentation);

const [RS256, ES256, EdDSA] = await Promise.all([makeKey("RS256"), makeKey("ES256"), makeKey("EdDSA")]);
const keys: Record<NonNullable<Provider["algorithm"]>, SigningKey> = { RS256, ES256, EdDSA };
const own = await insertRun({ owner_id: USER });
const foreign = await insertRun({ owner_id: crypto.randomUUID() });

describe.for(PROVIDERS)("$name", (provider) => {
  const { name, algorithm = "RS256", jwk, header, claims, admin, noAdmin, nearMisses = [] } = provider;
  const settings = DOCUMENTED.get(name) ?? {};
  const key = keys[algorithm];
  let reader: Reader;

  beforeAll(async () => {
    const { JWKS_URL: _, ...others } = settings;
    reader = await createReader({ settings: { JWT_AUDIENCE: undefined, ...others }, keys: [] });
    // Some publish a key for encryption next to it.
    const forEncryption = { ...key.jwk, use: "enc", alg: "RSA-OAEP" };
    await reader.issuer.publish([forEncryption, { ...key.jwk, ...jwk }]);
  });

  function issue(claimChanges: Members = {}, headerChanges: Members = {}): Promise<string> {
    const iat = Math.floor(Date.now() / 1_000);
    const times = { iat, nbf: iat, auth_time: iat, exp: iat + 300 };
    return forge(
      { alg: algorithm, kid: key.jwk.kid, ...header, ...headerChanges },
      { iss: settings["JWT_ISSUER"], ...claims, ...times, ...claimChanges },
      key,
    );
  }

  const statusOf = async (token: string, id: string) => (await reader.read(id, { token })).status;

  test("the user reads the own run and no other, the admin any", async () => {
    for (const claims of [{}, noAdmin]) {
      const token = await issue(claims);
      expect([await statusOf(token, own), await statusOf(token, foreign)]).toEqual([200, 404]);
    }
    expect(await statusOf(await issue(admin), foreign)).toBe(200);
  });

  test.for([...nearMisses])("%s: %s", async ([, outcome, claimChanges, headerChanges]) => {
    const result = await reader.read(own, { token: await issue(claimChanges, headerChanges) });
    if (outcome === 403) expect(result.status).toBe(outcome);
    else expectInvalidToken(result, outcome, settings["REQUIRED_SCOPE"]);
  });

  test("docs/providers.md has its settings, and they are sound", async () => {
    expect(settings["JWKS_URL"]).toMatch(/^https:/);
    expect((await reader.restart(settings).read("x", { as: "nobody" })).status).toBe(401);
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
