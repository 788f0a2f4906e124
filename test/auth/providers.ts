// Tokens of real issuers. Their shapes are as the issuers document them, reduced to the members that a policy could check; ids are
// made up. The test adds `iss`, `exp`, `iat` and `kid`, and takes the settings from docs/providers.md.

type Members = Record<string, unknown>;

/**
 * A token that the same issuer signs for another purpose: changes to the user's claims (undefined removes one) and header;
 * what the log says of its refusal, or the status that a foreign run has for it.
 */
type NearMiss = readonly [title: string, outcome: string | 403 | 404, claims: Members, header?: Members];

export interface Provider {
  name: string;
  algorithm: "RS256" | "ES256" | "EdDSA";
  /** Members of the published key that are replaced. */
  jwk?: Members;
  header: Members;
  /** Of USER, without rights. */
  claims: Members;
  /** What makes the user an admin. */
  admin: Members;
  nearMisses: readonly NearMiss[];
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
const WORKOS = "https://api.workos.com/user_management/client_01EXAMPLE0000000000000000";
const AUTHKIT = "https://example.authkit.app";
const ZITADEL_PROJECT = "305161234567890123";
const ZITADEL_ORG = { "305166666666666666": "example.zitadel.cloud" };
const ZITADEL_ROLES = `urn:zitadel:iam:org:project:${ZITADEL_PROJECT}:roles`;

const ISS = "wrong_issuer: iss";
const AUD = "wrong_audience: aud";
const AT_HASH = "wrong_kind: at_hash";
const TYP = "wrong_kind: typ";
const TYP_CLAIM = "wrong_kind: typ claim";

/** What OpenID Connect puts into an ID token that comes with an access token. */
const ID_TOKEN = { aud: CLIENT, at_hash: "MTIzNDU2Nzg5MDEyMzQ1Ng", scope: undefined, scp: undefined };

export const PROVIDERS: readonly Provider[] = [
  {
    name: "Auth0",
    algorithm: "RS256",
    header: { typ: "JWT" },
    claims: { sub: USER, aud: [API, `${AUTH0}userinfo`], azp: CLIENT, scope: "openid profile", permissions: [] },
    admin: { permissions: ["crew-runs:read", ADMIN] },
    nearMisses: [
      ["its ID token", AUD, { aud: CLIENT, scope: undefined, sid: "s1" }],
      ["its ID token, asked for with a nonce", "wrong_kind: nonce", { aud: CLIENT, scope: undefined, nonce: "n1" }],
      ["the right as a scope that a client asked for", 404, { scope: `openid ${ADMIN}` }],
      ["the right in a claim of its own", 404, { [`${API}/permissions`]: [ADMIN], roles: [ADMIN] }],
    ],
  },
  {
    name: "Auth0, RFC 9068 profile",
    algorithm: "RS256",
    header: { typ: "at+jwt" },
    claims: { sub: USER, aud: API, client_id: CLIENT, scope: "openid" },
    admin: { permissions: [ADMIN] },
    nearMisses: [["its ID token for a client named as the API is", TYP, { scope: undefined }, { typ: "JWT" }]],
  },
  {
    name: "Okta",
    algorithm: "RS256",
    header: {},
    claims: { ver: 1, aud: "api://default", cid: CLIENT, uid: USER, scp: ["openid"], sub: "user@example.com" },
    admin: { scp: ["openid", ADMIN] },
    nearMisses: [
      ["its ID token", AT_HASH, ID_TOKEN],
      ["a client's own token, without a user", "no_subject: uid", { uid: undefined }],
      ["the right as a group", 404, { groups: ["Everyone", ADMIN] }],
    ],
  },
  {
    name: "Entra ID",
    algorithm: "RS256",
    jwk: { alg: undefined, x5t: "x", x5c: ["MIIC"], issuer: ENTRA },
    header: { typ: "JWT" },
    claims: { aud: ENTRA_API, azp: CLIENT, oid: USER, scp: "crew-runs:read", sub: "AAAA", tid: TENANT, ver: "2.0" },
    admin: { roles: [ADMIN] },
    nearMisses: [
      ["the ID token of a client of the same registration", "wrong_kind: nonce", { scp: undefined, nonce: "n" }],
      ["the same without a nonce", 403, { scp: undefined, azp: undefined }],
      ["the right as a group or a directory role", 404, { groups: [ADMIN], wids: [ADMIN] }],
    ],
  },
  {
    name: "Keycloak",
    algorithm: "RS256",
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
    nearMisses: [
      ["its ID token", TYP_CLAIM, { ...ID_TOKEN, typ: "ID" }],
      ["its ID token for a client named as the API is", TYP_CLAIM, { aud: "crew-runs", typ: "ID" }],
      ["its refresh token, had it an asymmetric signature", TYP_CLAIM, { aud: "crew-runs", typ: "Refresh" }],
      ["its logout token", TYP, { typ: "Logout", events: {} }, { typ: "logout+jwt" }],
      ["a token without the audience mapper", AUD, { aud: "account" }],
      ["a token bound to a key", "wrong_kind: sender-constrained", { typ: "DPoP", cnf: { jkt: "0ZcOCORZNYy" } }],
      ["the right as a role of another client", 404, { resource_access: { web: { roles: [ADMIN] } } }],
      ["the right as a scope or a group", 404, { scope: ADMIN, groups: [ADMIN] }],
    ],
  },
  {
    name: "Cognito",
    algorithm: "RS256",
    header: {},
    claims: { sub: USER, "cognito:groups": ["users"], client_id: COGNITO_CLIENT, token_use: "access", scope: "openid" },
    admin: { "cognito:groups": ["users", ADMIN] },
    nearMisses: [
      ["its ID token", "wrong_kind: token_use", { aud: COGNITO_CLIENT, client_id: undefined, token_use: "id" }],
      ["our client in aud instead", "wrong_audience: client_id", { client_id: undefined, aud: COGNITO_CLIENT }],
      ["the right where users may write", 404, { "custom:groups": ADMIN, "cognito:roles": [ADMIN], username: ADMIN }],
    ],
  },
  {
    name: "Clerk",
    algorithm: "RS256",
    header: { typ: "JWT", cat: "cl_B7d4PD111AAA" },
    claims: { azp: APP, sts: "active", sub: USER, v: 2, o: { id: "org_1", rol: "member" }, metadata: {} },
    admin: { metadata: { roles: [ADMIN] } },
    nearMisses: [
      ["a token made for no site", "wrong_audience: azp", { azp: undefined }],
      ["the ID token of an OAuth application", AT_HASH, { ...ID_TOKEN, azp: CLIENT }],
      ["the right in an organisation, which a user may found", 404, { o: { id: "org_1", rol: ADMIN, per: ADMIN } }],
      ["the right in an organisation, by the older claims", 404, { org_role: ADMIN, org_permissions: [ADMIN] }],
      ["the right in metadata that users may write", 404, { unsafe_metadata: { roles: [ADMIN] } }],
    ],
  },
  {
    name: "Supabase",
    algorithm: "ES256",
    header: { typ: "JWT" },
    claims: { sub: USER, aud: "authenticated", app_metadata: {}, user_metadata: {}, role: "authenticated" },
    admin: { app_metadata: { roles: [ADMIN] } },
    nearMisses: [
      ["an old project's public key", ISS, { iss: "supabase", sub: undefined, aud: undefined }],
      ["the ID token of an OAuth client", AT_HASH, ID_TOKEN],
      ["the right in metadata that users may write", 404, { user_metadata: { roles: [ADMIN] } }],
      ["the right as the database role", 404, { role: ADMIN, app_metadata: { role: ADMIN } }],
    ],
  },
  {
    name: "Neon Auth",
    algorithm: "EdDSA",
    header: {},
    claims: { role: "authenticated", id: USER, sub: USER, aud: NEON },
    admin: { role: "admin" },
    nearMisses: [
      ["the right as a role in an organisation, which a user may found", 404, { o: { id: "org1", role: "admin" } }],
      ["the right in what users may write", 404, { name: "admin", user_metadata: { role: "admin" } }],
    ],
  },
  {
    name: "Better Auth, JWT plugin",
    algorithm: "EdDSA",
    jwk: { use: undefined },
    header: {},
    claims: { id: USER, role: "user", sub: USER, aud: APP },
    admin: { role: "admin" },
    nearMisses: [
      ["its ID token", AT_HASH, ID_TOKEN],
      ["the right among roles joined by commas", 404, { role: "user,admin" }],
      ["the right in what users may write", 404, { name: "admin", scope: "admin" }],
    ],
  },
  {
    name: "Better Auth, OAuth plugin",
    algorithm: "EdDSA",
    jwk: { use: undefined },
    header: { typ: "at+jwt" },
    claims: { sub: USER, aud: [API, `${APP}/oauth2/userinfo`], azp: CLIENT, scope: "openid crew-runs:read" },
    admin: { scope: `openid ${ADMIN}` },
    nearMisses: [
      ["a token of the JWT plugin, with the same issuer and keys", TYP, { scope: undefined }, { typ: undefined }],
    ],
  },
  {
    name: "WorkOS, sessions",
    algorithm: "RS256",
    header: {},
    claims: { sub: USER, org_id: "org_01HR", role: "member", roles: ["member"], permissions: ["posts:read"] },
    admin: { permissions: ["posts:read", ADMIN] },
    nearMisses: [
      ["a token of Connect", ISS, { iss: AUTHKIT, aud: CLIENT, scope: ADMIN }, { typ: "at+jwt" }],
      ["the right as a role or an entitlement", 404, { role: ADMIN, roles: [ADMIN], entitlements: [ADMIN] }],
      ["the right of an impersonator", 404, { act: { permissions: [ADMIN] } }],
    ],
  },
  {
    name: "WorkOS, Connect",
    algorithm: "RS256",
    header: {},
    claims: { aud: API, sub: USER, client_id: CLIENT, scope: "openid profile" },
    admin: { scope: `openid ${ADMIN}` },
    nearMisses: [
      ["its ID token", AUD, { aud: CLIENT, scope: undefined }],
      ["a session's token", ISS, { iss: WORKOS, aud: undefined }],
    ],
  },
  {
    name: "Zitadel",
    algorithm: "RS256",
    header: { typ: "JWT" },
    claims: { sub: USER, aud: [CLIENT, ZITADEL_PROJECT], client_id: CLIENT, [ZITADEL_ROLES]: { user: ZITADEL_ORG } },
    admin: { [ZITADEL_ROLES]: { [ADMIN]: ZITADEL_ORG } },
    nearMisses: [
      ["its ID token, which has the same audience", AT_HASH, { ...ID_TOKEN, aud: [CLIENT, ZITADEL_PROJECT] }],
      ["the right in the client's own project", 404, { "urn:zitadel:iam:org:project:roles": { [ADMIN]: {} } }],
      ["the right as the name of an organisation", 404, { [ZITADEL_ROLES]: { user: { [ADMIN]: ADMIN } } }],
      ["the right in metadata", 404, { "urn:zitadel:iam:user:metadata": { roles: ADMIN } }],
    ],
  },
  {
    name: "Ory Hydra",
    algorithm: "RS256",
    header: { typ: "JWT" },
    claims: { aud: [API], client_id: CLIENT, ext: {}, scp: ["openid"], sub: USER },
    admin: { scp: ["openid", ADMIN] },
    nearMisses: [
      ["its ID token", AT_HASH, ID_TOKEN],
      ["a token without an audience", AUD, { aud: [] }],
      ["the right in the consent's extra claims", 404, { ext: { scp: [ADMIN], scope: ADMIN }, roles: [ADMIN] }],
    ],
  },
];
