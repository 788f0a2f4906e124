// The rights that a token grants. A right is a whole word in one of the claims for rights; nothing similar grants it.
import { describe, expect, test } from "vitest";
import { insertRun } from "../support/database.ts";
import { createReader } from "../support/reader.ts";
import { expectInsufficientScope, expectInvalidToken, expectNoCredentials } from "../support/refusal.ts";

const ADMIN = "crew-runs:admin";

const reader = await createReader();
const { issuer } = reader;
const foreignRun = await insertRun({ owner_id: "another-user" });

/** The status of a read of another user's run, with these claims and in a new isolate. */
async function readForeign(claims: Record<string, unknown>, settings: Record<string, string> = {}): Promise<number> {
  const token = await issuer.sign({ scope: undefined, ...claims });
  return (await reader.restart(settings).read(foreignRun, { token })).status;
}

type Row = [what: string, status: 200 | 404, claims: Record<string, unknown>];

describe("another user's run is shown to a reader with the admin right and to no one else. Its claims have", () => {
  test.each<Row>([
    ["it in scope, alone", 200, { scope: ADMIN }],
    ["it in scope, last", 200, { scope: `openid crew-runs:read ${ADMIN}` }],
    ["it in scope, as a list", 200, { scope: ["openid", ADMIN] }],
    ["it in scp, as a text", 200, { scp: `read ${ADMIN}` }],
    ["it in scp, as a list", 200, { scp: ["read", ADMIN] }],
    ["it in permissions, next to what is no text", 200, { permissions: [null, 1, {}, [], ADMIN] }],
    ...["scope", "scp", "permissions"].flatMap((claim) =>
      [true, {}, false].map((value): Row => [
        `its name in an object in ${claim}: ${JSON.stringify(value)}`,
        404,
        { [claim]: { [ADMIN]: value } },
      ]),
    ),
    ["nothing", 404, {}],
    ["a prefix of it", 404, { scope: "crew-runs:adm crew-runs crew-runs: crew-runs:*" }],
    ["more than it", 404, { scope: "crew-runs:admin2 crew-runs:administrator crew-runs:admin:read" }],
    ["it inside a word", 404, { scope: "xcrew-runs:admin https://api.test/crew-runs:admin" }],
    ["it in another case", 404, { scope: "Crew-Runs:Admin CREW-RUNS:ADMIN" }],
    ["it with a comma", 404, { scope: "crew-runs:read,crew-runs:admin" }],
    ["it with another white space", 404, { scope: "x\tcrew-runs:admin\ncrew-runs:admin\u00a0" }],
    ["it in look-alike letters", 404, { scope: "\u0441rew-runs:admin crew\u2010runs:admin" }],
    ["it with spaces in a list", 404, { scp: [` ${ADMIN}`, `${ADMIN} x`, `read ${ADMIN}`] }],
    ["it in a list in a list", 404, { scp: [[ADMIN]] }],
    ["it as a value in an object", 404, { scp: { right: ADMIN } }],
    ["it in claims of other names", 404, { roles: [ADMIN], groups: [ADMIN], Scope: ADMIN, SCOPE: ADMIN }],
    ["it in an inner claim of the name", 404, { realm_access: { scope: ADMIN }, act: { scope: ADMIN } }],
    ["it in __proto__", 404, JSON.parse(`{"__proto__":{"scope":"${ADMIN}","sub":"another-user","cnf":{}}}`)],
    ["it as the subject or client", 404, { sub: ADMIN, client_id: ADMIN, azp: ADMIN, jti: ADMIN }],
    ["true", 404, { [ADMIN]: true, scope: true, scp: true, permissions: true }],
  ])("%s: %i", async (_, status, claims) => {
    expect(await readForeign(claims)).toBe(status);
  });

  test("nothing, but the token's header, the query, a header or a cookie has it", async () => {
    const token = await issuer.sign({ scope: undefined }, { header: { scope: ADMIN, scp: [ADMIN] } });
    const headers = { "x-scope": ADMIN, cookie: `scope=${ADMIN}` };
    expect((await reader.read(`${foreignRun}?scope=${ADMIN}`, { token, headers })).status).toBe(404);
  });
});

describe("rights in claims that the operator chose", () => {
  const RIGHTS_CLAIMS = "realm_access.roles, cognito:groups, o.per, a.b.c, roles, list.0";

  test.each<Row>([
    ["on a path", 200, { realm_access: { roles: ["user", ADMIN] } }],
    ["under a name with a colon", 200, { "cognito:groups": [ADMIN] }],
    ["under a name with dots", 200, { "realm_access.roles": [ADMIN] }],
    ["as a text on a path", 200, { o: { per: `read ${ADMIN}` } }],
    ["as names of an object on a path", 200, { a: { b: { c: { [ADMIN]: { id: "domain" } } } } }],
    ["in the default's claims", 404, { scope: ADMIN, scp: [ADMIN], permissions: [ADMIN] }],
    ["half way down the path", 404, { realm_access: [ADMIN], o: ADMIN, a: { b: [ADMIN] } }],
    ["beyond the path", 404, { realm_access: { roles: { x: [ADMIN] } }, a: { b: { c: { d: [ADMIN] } } } }],
    ["on a path through a text", 404, { a: "b.c", o: "per" }],
    ["on a path through a list", 404, { a: [{ b: { c: ADMIN } }], realm_access: [{ roles: [ADMIN] }] }],
    ["at a place in a list", 404, { list: [ADMIN] }],
    ["on a path whose last step is dotted", 404, { a: { "b.c": [ADMIN] } }],
    ["on a path that ends with null", 404, { realm_access: null, o: { per: null }, a: { b: null } }],
    ["on a path, if a claim has the path's name", 404, { "o.per": "", o: { per: [ADMIN] } }],
    // A name in an object counts by its value.
    ...[false, null, 1, "true", [], ["x"]].map((value): Row => [
      `as a name for ${JSON.stringify(value)}`,
      404,
      { roles: { [ADMIN]: value } },
    ]),
    ["as a name for true", 200, { roles: { [ADMIN]: true } }],
    ["as a name for an object, as Zitadel's roles are", 200, { roles: { [ADMIN]: { org: "x" } } }],
  ])("%s: %i", async (_, status, claims) => {
    expect(await readForeign(claims, { RIGHTS_CLAIMS })).toBe(status);
  });

  test.each([
    ["runs.all", 200],
    [ADMIN, 404],
    ["runsxall", 404],
  ])("with ADMIN_SCOPE runs.all, %s is a %i", async (scope, status) => {
    expect(await readForeign({ scope }, { ADMIN_SCOPE: "runs.all" })).toBe(status);
  });
});

describe("with REQUIRED_SCOPE", () => {
  const REQUIRED_SCOPE = "crew-runs:read";
  const strict = reader.restart({ REQUIRED_SCOPE });

  test.each([undefined, "openid crew-runs:admin", "crew-runs:read2 crew-runs:read:own", "Crew-Runs:Read"])(
    "the scope %s is a 403 that names the missing one, each time, before the id is checked",
    async (scope) => {
      const token = await issuer.sign({ scope });
      for (const id of [foreignRun, "no-uuid"]) {
        expectInsufficientScope(await strict.read(id, { token }), REQUIRED_SCOPE);
      }
    },
  );

  test("the scope is a 404 for a foreign run and a 200 for the own one", async () => {
    const token = await issuer.sign({ scope: "openid crew-runs:read" });
    expect((await strict.read(foreignRun, { token })).status).toBe(404);
    expect((await strict.read(await insertRun(), { token })).status).toBe(200);
  });

  test("a bad token and no token are still 401s", async () => {
    expectNoCredentials(await strict.read(foreignRun, { as: "nobody" }), REQUIRED_SCOPE);
    const token = await issuer.sign({ exp: 1 });
    expectInvalidToken(await strict.read(foreignRun, { token }), "expired: exp", REQUIRED_SCOPE);
  });
});
