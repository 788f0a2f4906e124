// Tokens of real issuers. Their shapes are as the issuers document them, reduced to the members that a policy could check; ids are
// made up. The test adds `iss`, `exp`, `iat` and `kid`, and takes the settings from docs/providers.md.

type Members = Record<string, unknown>;

/**
 * A token that the same issuer signs for another purpose: changes to the user's claims (undefined removes one) and header; what the
 * log says of its refusal, or 403. What any test of tokens would show, such as another audience, is left out.
 */
type NearMiss = readonly [title: string, outcome: string | 403, claims: Members, header?: Members];

export interface Provider {
  name: string;
  /** RS256 if it is left out. */
  algorithm?: "RS256" | "ES256" | "EdDSA";
  /** Members of the published key that are replaced. */
  jwk?: Members;
  header?: Members;
  /** Of USER, without rights. */
  claims: Members;
  /** What makes the user an admin. */
  admin: Members;
  /** What doesn't, although it names the right: users or clients can write it, or it is about something else. */
  noAdmin: Members;
  nearMisses?: readonly NearMiss[];
}

/** The place of the runs' owner in the claims. */
export const USER = "7b0a2f9e-0c53-4d0e-9a3c-5f1f0d7f7a11";

const API = "https://api.example.com";
const APP = "https://app.example.com";
const ADMIN = "crew-runs:admin";
const CLIENT = "client1";
const AUTH0 = "https://example.eu.auth0.com/";
const TENANT = "5c4f3f1e-64c3-4c39-a5b2-3f1c6ad6b0e8";
const ENTRA = `https://login.microsoftonline.com/${TENANT}/v2.0`;
const ENTRA_API = "0f3f1f9a-6a52-4b3e-8f43-0b2f5f3b9d10";
const COGNITO_CLIENT = "1example23456789abcdefghij";
const NEON = "https://ep-example-12345678.neonauth.eu-central-1.aws.neon.tech";
const ZITADEL_PROJECT = "305161234567890123";
const ZITADEL_ORG = { "305166666666666666": "example.zitadel.cloud" };
const ZITADEL_ROLES = `urn:zitadel:iam:org:project:${ZITADEL_PROJECT}:roles`;

export const PROVIDERS: readonly Provider[] = [
  {
    name: "Auth0",
    header: { typ: "JWT" },
    claims: { sub: USER, aud: [API, `${AUTH0}userinfo`], azp: CLIENT, scope: "openid profile", permissions: [] },
    admin: { permissions: ["crew-runs:read", ADMIN] },
    noAdmin: { scope: `openid ${ADMIN}`, [`${API}/permissions`]: [ADMIN], roles: [ADMIN] },
    nearMisses: [["its ID token, asked for with a nonce", "wrong_kind: nonce", { scope: undefined, nonce: "n1" }]],
  },
  {
    name: "Auth0, RFC 9068 profile",
    header: { typ: "at+jwt" },
    claims: { sub: USER, aud: API, client_id: CLIENT, scope: "openid" },
    admin: { permissions: [ADMIN] },
    noAdmin: { scope: `openid ${ADMIN}` },
    nearMisses: [
      ["its ID token for a client named as the API is", "wrong_kind: typ", { scope: undefined }, { typ: "JWT" }],
    ],
  },
  {
    name: "Okta",
    claims: { ver: 1, aud: "api://default", cid: CLIENT, uid: USER, scp: ["openid"], sub: "user@example.com" },
    admin: { scp: ["openid", ADMIN] },
    noAdmin: { groups: ["Everyone", ADMIN] },
    nearMisses: [["a client's own token, without a user", "no_subject: uid", { uid: undefined }]],
  },
  {
    name: "Entra ID",
    jwk: { alg: undefined, x5t: "x", x5c: ["MIIC"], issuer: ENTRA },
    header: { typ: "JWT" },
    claims: { aud: ENTRA_API, azp: CLIENT, oid: USER, scp: "crew-runs:read", sub: "AAAA", tid: TENANT, ver: "2.0" },
    admin: { roles: [ADMIN] },
    noAdmin: { groups: [ADMIN], wids: [ADMIN] },
    nearMisses: [
      ["the ID token of a client of the same registration", "wrong_kind: nonce", { scp: undefined, nonce: "n" }],
      ["the same without a nonce", 403, { scp: undefined, azp: undefined }],
    ],
  },
  {
    name: "Keycloak",
    header: { typ: "JWT" },
    claims: {
      aud: ["crew-runs", "account"],
      sub: USER,
      typ: "Bearer",
      azp: CLIENT,
      realm_access: { roles: ["offline_access"] },
      resource_access: { account: { roles: ["manage-account"] } },
      scope: "openid email profile",
    },
    admin: { resource_access: { "crew-runs": { roles: [ADMIN] } } },
    noAdmin: { resource_access: { web: { roles: [ADMIN] } }, scope: ADMIN, groups: [ADMIN] },
    nearMisses: [
      ["its ID token for a client named as the API is", "wrong_kind: typ claim", { aud: "crew-runs", typ: "ID" }],
    ],
  },
  {
    name: "Cognito",
    claims: { sub: USER, "cognito:groups": ["users"], client_id: COGNITO_CLIENT, token_use: "access", scope: "openid" },
    admin: { "cognito:groups": ["users", ADMIN] },
    noAdmin: { "custom:groups": ADMIN, "cognito:roles": [ADMIN], username: ADMIN },
    nearMisses: [
      ["its ID token", "wrong_kind: token_use", { aud: COGNITO_CLIENT, client_id: undefined, token_use: "id" }],
    ],
  },
  {
    name: "Clerk",
    header: { typ: "JWT", cat: "cl_B7d4PD111AAA" },
    claims: { azp: APP, sts: "active", sub: USER, v: 2, o: { id: "org_1", rol: "member" }, metadata: {} },
    admin: { metadata: { roles: [ADMIN] } },
    noAdmin: {
      o: { id: "org_1", rol: ADMIN, per: ADMIN },
      org_role: ADMIN,
      org_permissions: [ADMIN],
      unsafe_metadata: { roles: [ADMIN] },
    },
  },
  {
    name: "Supabase",
    algorithm: "ES256",
    header: { typ: "JWT" },
    claims: { sub: USER, aud: "authenticated", app_metadata: {}, user_metadata: {}, role: "authenticated" },
    admin: { app_metadata: { roles: [ADMIN] } },
    noAdmin: { user_metadata: { roles: [ADMIN] }, role: ADMIN, app_metadata: { role: ADMIN } },
  },
  {
    name: "Neon Auth",
    algorithm: "EdDSA",
    claims: { role: "authenticated", id: USER, sub: USER, aud: NEON },
    admin: { role: "admin" },
    noAdmin: { o: { id: "org1", role: "admin" }, name: "admin", user_metadata: { role: "admin" } },
  },
  {
    name: "Better Auth, JWT plugin",
    algorithm: "EdDSA",
    jwk: { use: undefined },
    claims: { id: USER, role: "user", sub: USER, aud: APP },
    admin: { role: "admin" },
    noAdmin: { role: "user,admin", name: "admin", scope: "admin" },
  },
  {
    name: "Better Auth, OAuth plugin",
    algorithm: "EdDSA",
    jwk: { use: undefined },
    header: { typ: "at+jwt" },
    claims: { sub: USER, aud: [API, `${APP}/oauth2/userinfo`], azp: CLIENT, scope: "openid crew-runs:read" },
    admin: { scope: `openid ${ADMIN}` },
    noAdmin: { role: ADMIN, roles: [ADMIN] },
    nearMisses: [
      [
        "a token of the JWT plugin, with the same issuer and keys",
        "wrong_kind: typ",
        { scope: undefined },
        { typ: undefined },
      ],
    ],
  },
  {
    name: "WorkOS, sessions",
    claims: { sub: USER, org_id: "org_01HR", role: "member", roles: ["member"], permissions: ["posts:read"] },
    admin: { permissions: ["posts:read", ADMIN] },
    noAdmin: { role: ADMIN, roles: [ADMIN], entitlements: [ADMIN], act: { permissions: [ADMIN] } },
  },
  {
    name: "WorkOS, Connect",
    claims: { aud: API, sub: USER, client_id: CLIENT, scope: "openid profile" },
    admin: { scope: `openid ${ADMIN}` },
    noAdmin: { role: ADMIN, roles: [ADMIN] },
  },
  {
    name: "Zitadel",
    header: { typ: "JWT" },
    claims: { sub: USER, aud: [CLIENT, ZITADEL_PROJECT], client_id: CLIENT, [ZITADEL_ROLES]: { user: ZITADEL_ORG } },
    admin: { [ZITADEL_ROLES]: { [ADMIN]: ZITADEL_ORG } },
    noAdmin: {
      "urn:zitadel:iam:org:project:roles": { [ADMIN]: {} },
      [ZITADEL_ROLES]: { user: { [ADMIN]: ADMIN } },
      "urn:zitadel:iam:user:metadata": { roles: ADMIN },
    },
  },
  {
    name: "Ory Hydra",
    header: { typ: "JWT" },
    claims: { aud: [API], client_id: CLIENT, ext: {}, scp: ["openid"], sub: USER },
    admin: { scp: ["openid", ADMIN] },
    noAdmin: { ext: { scp: [ADMIN], scope: ADMIN }, roles: [ADMIN] },
  },
];
