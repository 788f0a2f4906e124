// Tokens of the shapes that real issuers give out, with the settings that docs/providers.md names for them: the user and the
// admin get in, and what the same issuer signs for another purpose does not.
import { beforeAll, describe, expect, test } from "vitest";
import documentation from "../../docs/providers.md?raw";
import { type TestApp, bearer, createTestApp } from "../support/test-app.ts";
import { forge } from "../support/forged-token.ts";
import { PROVIDERS, type Provider, USER } from "./providers.ts";
import { expectInvalidToken, observe } from "../support/refusal.ts";
import { insertRun } from "../support/database.ts";
import { openIssuer } from "../support/issuer.ts";
import { type SigningKey, makeKey } from "../support/signing.ts";

type Members = Record<string, unknown>;

const DOCUMENTED = readDocumentation(documentation);

let keys: Record<Provider["algorithm"], SigningKey>;
let own: string;
/** A run of another user. */
let foreign: string;

beforeAll(async () => {
  const [rs256, es256, edDsa] = await Promise.all([makeKey("RS256"), makeKey("ES256"), makeKey("EdDSA")]);
  keys = { RS256: rs256, ES256: es256, EdDSA: edDsa };
  own = await insertRun({ owner_id: USER });
  foreign = await insertRun({ owner_id: crypto.randomUUID() });
});

describe.for(PROVIDERS)("$name", ({ name, algorithm, jwk, header, claims, admin, nearMisses }) => {
  const settings = DOCUMENTED.get(name) ?? {};
  let start: () => TestApp;

  beforeAll(async () => {
    const key = keys[algorithm];
    const issuer = await openIssuer([]);
    // Some publish a key for encryption next to it.
    const forEncryption = { ...key.jwk, use: "enc", alg: "RSA-OAEP" };
    await issuer.publish([forEncryption, { ...key.jwk, ...jwk }]);
    start = () => createTestApp({ ...settings, JWKS_URL: issuer.variables.JWKS_URL });
  });

  function issue(claimChanges: Members = {}, headerChanges: Members = {}): Promise<string> {
    const key = keys[algorithm];
    const iat = Math.floor(Date.now() / 1_000);
    const times = { iat, nbf: iat, auth_time: iat, exp: iat + 300 };
    return forge(
      { alg: algorithm, kid: key.jwk.kid, ...header, ...headerChanges },
      { iss: settings["JWT_ISSUER"], ...claims, ...times, ...claimChanges },
      key,
    );
  }

  async function read(token: string, id: string): Promise<number> {
    const response = await start().fetch(`/api/crew-runs/${id}`, { headers: bearer(token) });
    await response.body?.cancel();
    return response.status;
  }

  test("the user reads the own run and no other, the admin any", async () => {
    expect(await read(await issue(), own)).toBe(200);
    expect(await read(await issue(), foreign)).toBe(404);
    expect(await read(await issue(admin), foreign)).toBe(200);
  });

  test.for([...nearMisses])("%s: %s", async ([, outcome, claimChanges, headerChanges]) => {
    const token = await issue(claimChanges, headerChanges);
    if (typeof outcome === "number") {
      expect(await read(token, foreign)).toBe(outcome);
      expect(await read(token, own)).toBe(outcome === 404 ? 200 : outcome);
      return;
    }
    const observed = await observe(() => start().fetch(`/api/crew-runs/${own}`, { headers: bearer(token) }));
    expectInvalidToken(observed, outcome, settings["REQUIRED_SCOPE"]);
  });

  test("docs/providers.md has its settings, and they are sound", async () => {
    expect(settings["JWKS_URL"]).toMatch(/^https:/);
    expect((await createTestApp(settings).fetch("/api/crew-runs/x")).status).toBe(401);
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
