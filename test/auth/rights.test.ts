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

describe("every run is shown to a reader with the admin right", () => {
  test.for<[string, Record<string, unknown>]>([
    ["in scope, alone", { scope: ADMIN }],
    ["in scope, last", { scope: `openid crew-runs:read ${ADMIN}` }],
    ["in scope, as a list", { scope: ["openid", ADMIN] }],
    ["in scp, as a text", { scp: `read ${ADMIN}` }],
    ["in scp, as a list", { scp: ["read", ADMIN] }],
    ["in permissions", { permissions: [ADMIN] }],
    ["in permissions, next to what is no text", { permissions: [null, 1, {}, [], ADMIN] }],
  ])("%s", async ([, claims]) => {
    expect(await readForeign(claims)).toBe(200);
  });
});

test.for<[string, Record<string, unknown>, number]>([
  ["false", { roles: { [ADMIN]: false } }, 404],
  ["null", { roles: { [ADMIN]: null } }, 404],
  ["a number", { roles: { [ADMIN]: 1 } }, 404],
  ["a text", { roles: { [ADMIN]: "true" } }, 404],
  ["an empty list", { roles: { [ADMIN]: [] } }, 404],
  ["a list", { roles: { [ADMIN]: ["x"] } }, 404],
  ["true", { roles: { [ADMIN]: true } }, 200],
  ["an object, as Zitadel's roles are", { roles: { [ADMIN]: { org: "x" } } }, 200],
])("in a claim of the operator's choice a name counts by its value: %s", async ([, claims, status]) => {
  expect(await readForeign(claims, { RIGHTS_CLAIMS: "roles" })).toBe(status);
});

describe("no foreign run is shown to a reader who has, instead of the right,", () => {
  test.for<[string, Record<string, unknown>]>([
    ...["scope", "scp", "permissions"].flatMap((claim) =>
      [true, {}, false].map((value): [string, Record<string, unknown>] => [
        `its name in an object in ${claim}: ${JSON.stringify(value)}`,
        { [claim]: { [ADMIN]: value } },
      ]),
    ),
    ["nothing", {}],
    ["a prefix of it", { scope: "crew-runs:adm crew-runs crew-runs: crew-runs:*" }],
    ["more than it", { scope: "crew-runs:admin2 crew-runs:administrator crew-runs:admin:read" }],
    ["it inside a word", { scope: "xcrew-runs:admin https://api.test/crew-runs:admin" }],
    ["it in another case", { scope: "Crew-Runs:Admin CREW-RUNS:ADMIN" }],
    ["it with a comma", { scope: "crew-runs:read,crew-runs:admin" }],
    ["it with another white space", { scope: "x\tcrew-runs:admin\ncrew-runs:admin\u00a0" }],
    ["it in look-alike letters", { scope: "\u0441rew-runs:admin crew\u2010runs:admin" }],
    ["a wildcard", { scope: "* crew-runs:* admin" }],
    ["it with spaces in a list", { scp: [` ${ADMIN}`, `${ADMIN} x`, `read ${ADMIN}`] }],
    ["it in a list in a list", { scp: [[ADMIN]] }],
    ["it as a value in an object", { scp: { right: ADMIN } }],
    ["it in claims of other names", { roles: [ADMIN], groups: [ADMIN], Scope: ADMIN, SCOPE: ADMIN }],
    ["it in an inner claim of the name", { realm_access: { scope: ADMIN }, act: { scope: ADMIN } }],
    ["it in __proto__", JSON.parse(`{"__proto__":{"scope":"${ADMIN}","sub":"another-user","cnf":{}}}`)],
    ["it as the subject, client or audience", { sub: ADMIN, client_id: ADMIN, azp: ADMIN, jti: ADMIN }],
    ["true", { [ADMIN]: true, scope: true, scp: true, permissions: true }],
  ])("%s", async ([, claims]) => {
    expect(await readForeign(claims)).toBe(404);
  });

  test("it in the token's header, in the query, a header or a cookie of the request", async () => {
    const token = await issuer.sign({ scope: undefined }, { header: { scope: ADMIN, scp: [ADMIN] } });
    const headers = { "x-scope": ADMIN, cookie: `scope=${ADMIN}` };
    expect((await reader.read(`${foreignRun}?scope=${ADMIN}`, { token, headers })).status).toBe(404);
  });
});

describe("rights in claims that the operator chose", () => {
  const inner = { RIGHTS_CLAIMS: "realm_access.roles, cognito:groups, o.per, a.b.c" };

  test.for<[string, number, Record<string, unknown>]>([
    ["on a path", 200, { realm_access: { roles: ["user", ADMIN] } }],
    ["under a name with a colon", 200, { "cognito:groups": [ADMIN] }],
    ["under a name with dots", 200, { "realm_access.roles": [ADMIN] }],
    ["as a text on a path", 200, { o: { per: `read ${ADMIN}` } }],
    ["as names of an object", 200, { a: { b: { c: { [ADMIN]: { id: "domain" } } } } }],
    ["in the default's claims", 404, { scope: ADMIN, scp: [ADMIN], permissions: [ADMIN] }],
    ["half way down the path", 404, { realm_access: [ADMIN], o: ADMIN, a: { b: [ADMIN] } }],
    ["beyond the path", 404, { realm_access: { roles: { x: [ADMIN] } }, a: { b: { c: { d: [ADMIN] } } } }],
    ["on a path through a text", 404, { a: "b.c", o: "per" }],
    ["on a path through a list", 404, { a: [{ b: { c: ADMIN } }], realm_access: [{ roles: [ADMIN] }] }],
    ["on a path whose last step is dotted", 404, { a: { "b.c": [ADMIN] } }],
    ["on a path that ends with null", 404, { realm_access: null, o: { per: null }, a: { b: null } }],
  ])("%s: %i", async ([, status, claims]) => {
    expect(await readForeign(claims, inner)).toBe(status);
  });

  test("a claim of the very name counts before the path", async () => {
    const claims = { "o.per": ["read"], o: { per: [ADMIN] } };
    expect(await readForeign(claims, inner)).toBe(404);
  });

  test.for(["__proto__", "constructor.name", "toString", "length", "scope.length"])(
    "what every object has is no claim: %s",
    async (path_) => {
      for (const right of ["Object", "toString", "constructor", "String", "0", "length"]) {
        const variables = { RIGHTS_CLAIMS: path_, ADMIN_SCOPE: right };
        expect(await readForeign({ scope: "x" }, variables)).toBe(404);
      }
    },
  );

  test("the admin right may have another name", async () => {
    expect(await readForeign({ scope: "runs.all" }, { ADMIN_SCOPE: "runs.all" })).toBe(200);
    expect(await readForeign({ scope: ADMIN }, { ADMIN_SCOPE: "runs.all" })).toBe(404);
    expect(await readForeign({ scope: "runsxall" }, { ADMIN_SCOPE: "runs.all" })).toBe(404);
  });
});

describe("with REQUIRED_SCOPE", () => {
  const REQUIRED_SCOPE = "crew-runs:read";
  const strict = reader.restart({ REQUIRED_SCOPE });

  test.for<[string, unknown]>([
    ["no scope", undefined],
    ["another scope", "openid crew-runs:admin"],
    ["a longer one", "crew-runs:read2 crew-runs:read:own"],
    ["it in another case", "Crew-Runs:Read"],
  ])("%s is a 403 that names it", async ([, scope]) => {
    expectInsufficientScope(await strict.read(foreignRun, { token: await issuer.sign({ scope }) }), REQUIRED_SCOPE);
  });

  test("it is a 404 for a foreign run and a 200 for the own one", async () => {
    const token = await issuer.sign({ scope: "openid crew-runs:read" });
    expect((await strict.read(foreignRun, { token })).status).toBe(404);
    expect((await strict.read(await insertRun(), { token })).status).toBe(200);
  });

  test("a reader without it gets a 403 before the id is checked, each time", async () => {
    const token = await issuer.sign({ scope: "openid" });
    for (const id of ["no-uuid", foreignRun, "no-uuid"]) expect((await strict.read(id, { token })).status).toBe(403);
  });

  test("a bad token and no token are still 401s", async () => {
    expectNoCredentials(await strict.read(foreignRun, { as: "nobody" }), REQUIRED_SCOPE);
    const token = await issuer.sign({ exp: 1 });
    expectInvalidToken(await strict.read(foreignRun, { token }), "expired: exp", REQUIRED_SCOPE);
  });
});
