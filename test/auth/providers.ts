// What the tokens of real issuers look like, and the settings that fit them. docs/providers.md says the same; a test compares.
// The shapes are those that the issuers document; ids are made up. `exp`, `iat` and `kid` are added by the test.

type Members = Record<string, unknown>;

export interface NearMiss {
  title: string;
  header?: Members;
  /** Changes to the user's claims; undefined removes one. */
  claims: Members;
  /** What the log says of a refused token; or the status that a foreign run has for one that is taken. */
  outcome: string | 403 | 404;
}

export interface Provider {
  name: string;
  settings: Readonly<Record<string, string>>;
  algorithm: "RS256" | "ES256" | "EdDSA";
  /** Members of the published key that are replaced. */
  jwk?: Members;
  header: Members;
  /** A user without rights. */
  claims: Members;
  /** Where the runs' owner is found in the claims. */
  subject: string;
  /** What makes the user an admin. */
  admin: Members;
  nearMisses: readonly NearMiss[];
}

const API = "https://api.example.com";
const ADMIN = "crew-runs:admin";
const UUID = "7b0a2f9e-0c53-4d0e-9a3c-5f1f0d7f7a11";

const AUTH0 = "https://example.eu.auth0.com/";
const OKTA = "https://example.okta.com/oauth2/default";
const TENANT = "5c4f3f1e-64c3-4c39-a5b2-3f1c6ad6b0e8";
const ENTRA = `https://login.microsoftonline.com/${TENANT}/v2.0`;
const ENTRA_API = "0f3f1f9a-6a52-4b3e-8f43-0b2f5f3b9d10";
const KEYCLOAK = "https://id.example.com/realms/example";
const COGNITO = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Example12";
const COGNITO_CLIENT = "1example23456789abcdefghij";
const CLERK = "https://clerk.example.com";
const APP = "https://app.example.com";
const SUPABASE = "https://examplerefabcdefghij.supabase.co/auth/v1";
const NEON = "https://ep-example-12345678.neonauth.eu-central-1.aws.neon.tech";
const WORKOS_CLIENT = "client_01EXAMPLE0000000000000000";
const WORKOS = `https://api.workos.com/user_management/${WORKOS_CLIENT}`;
const AUTHKIT = "https://example.authkit.app";
const ZITADEL = "https://example.zitadel.cloud";
const ZITADEL_PROJECT = "305161234567890123";
const ZITADEL_ROLES = `urn:zitadel:iam:org:project:${ZITADEL_PROJECT}:roles`;
const HYDRA = "https://hydra.example.com";

/** What OpenID Connect puts into an ID token that comes with an access token. */
const idTokenOf = (client: string): Members => ({
  aud: client,
  at_hash: "MTIzNDU2Nzg5MDEyMzQ1Ng",
  auth_time: 1_790_000_000,
  scope: undefined,
});

export const PROVIDERS: readonly Provider[] = [
  {
    name: "Auth0",
    settings: {
      JWT_ISSUER: AUTH0,
      JWT_AUDIENCE: API,
      JWKS_URL: `${AUTH0}.well-known/jwks.json`,
      RIGHTS_CLAIMS: "permissions",
    },
    algorithm: "RS256",
    header: { typ: "JWT" },
    claims: {
      iss: AUTH0,
      sub: "auth0|5f7c8ec7c33c6c004bbafe82",
      aud: [API, `${AUTH0}userinfo`],
      azp: "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6",
      scope: "openid profile email",
      permissions: [],
    },
    subject: "auth0|5f7c8ec7c33c6c004bbafe82",
    admin: { permissions: ["crew-runs:read", ADMIN] },
    nearMisses: [
      {
        title: "its ID token",
        claims: { aud: "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6", scope: undefined, sid: "s1" },
        outcome: "wrong_audience: aud",
      },
      {
        title: "its ID token, asked for with a nonce",
        claims: { aud: "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6", scope: undefined, nonce: "n1" },
        outcome: "wrong_kind: nonce",
      },
      {
        title: "a token for its user info only",
        claims: { aud: `${AUTH0}userinfo` },
        outcome: "wrong_audience: aud",
      },
      {
        title: "an issuer without the slash",
        claims: { iss: AUTH0.slice(0, -1) },
        outcome: "wrong_issuer: iss",
      },
      {
        title: "the right as a scope that a client asked for",
        claims: { scope: `openid ${ADMIN}` },
        outcome: 404,
      },
      {
        title: "the right in a claim of its own",
        claims: { [`${API}/permissions`]: [ADMIN], roles: [ADMIN] },
        outcome: 404,
      },
    ],
  },
  {
    name: "Auth0, RFC 9068 profile",
    settings: {
      JWT_ISSUER: AUTH0,
      JWT_AUDIENCE: API,
      JWKS_URL: `${AUTH0}.well-known/jwks.json`,
      RIGHTS_CLAIMS: "permissions",
      JWT_REQUIRE_AT_JWT: "true",
    },
    algorithm: "RS256",
    header: { typ: "at+jwt" },
    claims: {
      iss: AUTH0,
      sub: "auth0|5f7c8ec7c33c6c004bbafe82",
      aud: API,
      client_id: "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6",
      jti: "Xk2xYfJrZfWmKq",
      scope: "openid",
    },
    subject: "auth0|5f7c8ec7c33c6c004bbafe82",
    admin: { permissions: [ADMIN] },
    nearMisses: [
      {
        title: "its ID token for a client named as the API is",
        header: { typ: "JWT" },
        claims: { scope: undefined },
        outcome: "wrong_kind: typ",
      },
    ],
  },
  {
    name: "Okta",
    settings: {
      JWT_ISSUER: OKTA,
      JWT_AUDIENCE: "api://default",
      JWKS_URL: `${OKTA}/v1/keys`,
      SUBJECT_CLAIM: "uid",
    },
    algorithm: "RS256",
    header: {},
    claims: {
      ver: 1,
      jti: "AT.mg7nQwMPyBKJbqmLqvSVm3xXwEUJcU2VqvRDnTvVqfc",
      iss: OKTA,
      aud: "api://default",
      cid: "0oa1example2client345",
      uid: "00u1example2user34567",
      scp: ["openid", "profile"],
      auth_time: 1_790_000_000,
      sub: "user@example.com",
    },
    subject: "00u1example2user34567",
    admin: { scp: ["openid", ADMIN] },
    nearMisses: [
      {
        title: "its ID token",
        claims: { ...idTokenOf("0oa1example2client345"), scp: undefined },
        outcome: "wrong_kind: at_hash",
      },
      {
        title: "a token of the organisation's own server",
        claims: { iss: "https://example.okta.com", aud: "https://example.okta.com" },
        outcome: "wrong_issuer: iss",
      },
      {
        title: "a token of another custom server",
        claims: { iss: "https://example.okta.com/oauth2/aus1example" },
        outcome: "wrong_issuer: iss",
      },
      {
        title: "a token for another audience",
        claims: { aud: "api://other" },
        outcome: "wrong_audience: aud",
      },
      { title: "a client's own token, without a user", claims: { uid: undefined }, outcome: "no_subject: uid" },
      { title: "the right as a group", claims: { groups: ["Everyone", ADMIN] }, outcome: 404 },
    ],
  },
  {
    name: "Entra ID",
    settings: {
      JWT_ISSUER: ENTRA,
      JWT_AUDIENCE: ENTRA_API,
      JWKS_URL: `https://login.microsoftonline.com/${TENANT}/discovery/v2.0/keys`,
      SUBJECT_CLAIM: "oid",
      RIGHTS_CLAIMS: "scp roles",
      REQUIRED_SCOPE: "crew-runs:read",
    },
    algorithm: "RS256",
    jwk: { alg: undefined, x5t: "x", x5c: ["MIIC"], issuer: ENTRA },
    header: { typ: "JWT" },
    claims: {
      aud: ENTRA_API,
      iss: ENTRA,
      nbf: 1_790_000_000,
      aio: "ATQAy/8TAAAA",
      azp: "9c0a7b3e-2b52-4f04-b0a9-5a1d1c1c7d11",
      azpacr: "0",
      name: "A User",
      oid: UUID,
      preferred_username: "user@example.com",
      rh: "0.AXkA",
      scp: "crew-runs:read",
      sub: "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ",
      tid: TENANT,
      uti: "fqiBqXLPj0eQa82S-IYFAA",
      ver: "2.0",
    },
    subject: UUID,
    admin: { roles: [ADMIN] },
    nearMisses: [
      {
        title: "the ID token of a client that shares the API's registration",
        claims: { scp: undefined, azp: undefined, azpacr: undefined, nonce: "n1" },
        outcome: "wrong_kind: nonce",
      },
      {
        title: "the same without a nonce",
        claims: { scp: undefined, azp: undefined, azpacr: undefined },
        outcome: 403,
      },
      {
        title: "a token of the version 1 endpoint",
        claims: { iss: `https://sts.windows.net/${TENANT}/`, aud: `api://${ENTRA_API}`, ver: "1.0" },
        outcome: "wrong_issuer: iss",
      },
      {
        title: "a token of another tenant",
        claims: { iss: ENTRA.replace(TENANT, UUID), tid: UUID },
        outcome: "wrong_issuer: iss",
      },
      {
        title: "a token for Microsoft Graph",
        header: { nonce: "n1" },
        claims: { aud: "00000003-0000-0000-c000-000000000000", scp: "User.Read" },
        outcome: "wrong_audience: aud",
      },
      {
        title: "the right as a group or a directory role",
        claims: { groups: [ADMIN], wids: [ADMIN] },
        outcome: 404,
      },
    ],
  },
  {
    name: "Keycloak",
    settings: {
      JWT_ISSUER: KEYCLOAK,
      JWT_AUDIENCE: "crew-runs",
      JWKS_URL: `${KEYCLOAK}/protocol/openid-connect/certs`,
      RIGHTS_CLAIMS: "realm_access.roles resource_access.crew-runs.roles",
    },
    algorithm: "RS256",
    header: { typ: "JWT" },
    claims: {
      jti: "onrtac:4f1c2f5a-3f9d-4f3a-9d7c-2b1e5d0c7a10",
      iss: KEYCLOAK,
      aud: ["crew-runs", "account"],
      sub: UUID,
      typ: "Bearer",
      azp: "web",
      sid: "e4b9b1a5-6a0f-4c51-8a0e-0c9f3c0e3f77",
      acr: "1",
      "allowed-origins": [APP],
      realm_access: { roles: ["offline_access", "default-roles-example"] },
      resource_access: { account: { roles: ["manage-account"] } },
      scope: "openid email profile",
      preferred_username: "user",
    },
    subject: UUID,
    admin: { resource_access: { "crew-runs": { roles: [ADMIN] } } },
    nearMisses: [
      {
        title: "its ID token",
        claims: { ...idTokenOf("web"), typ: "ID" },
        outcome: "wrong_kind: typ claim",
      },
      {
        title: "its ID token for a client named as the API is",
        claims: { aud: "crew-runs", typ: "ID", realm_access: { roles: [ADMIN] } },
        outcome: "wrong_kind: typ claim",
      },
      {
        title: "its refresh token, had it an asymmetric signature",
        claims: { aud: KEYCLOAK, typ: "Refresh" },
        outcome: "wrong_kind: typ claim",
      },
      {
        title: "its logout token",
        header: { typ: "logout+jwt" },
        claims: { typ: "Logout", events: { "http://schemas.openid.net/event/backchannel-logout": {} } },
        outcome: "wrong_kind: typ",
      },
      {
        title: "a token without the audience mapper",
        claims: { aud: "account" },
        outcome: "wrong_audience: aud",
      },
      {
        title: "a token of another realm",
        claims: { iss: "https://id.example.com/realms/master" },
        outcome: "wrong_issuer: iss",
      },
      {
        title: "a token bound to a key",
        claims: { typ: "DPoP", cnf: { jkt: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" } },
        outcome: "wrong_kind: sender-constrained",
      },
      {
        title: "the right as a role of another client",
        claims: { resource_access: { web: { roles: [ADMIN] } } },
        outcome: 404,
      },
      { title: "the right as a scope or a group", claims: { scope: ADMIN, groups: [ADMIN] }, outcome: 404 },
    ],
  },
  {
    name: "Cognito",
    settings: {
      JWT_ISSUER: COGNITO,
      JWT_AUDIENCE: COGNITO_CLIENT,
      JWKS_URL: `${COGNITO}/.well-known/jwks.json`,
      AUDIENCE_CLAIM: "client_id",
      RIGHTS_CLAIMS: "scope cognito:groups",
    },
    algorithm: "RS256",
    header: {},
    claims: {
      sub: UUID,
      "cognito:groups": ["users"],
      iss: COGNITO,
      version: 2,
      client_id: COGNITO_CLIENT,
      origin_jti: "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
      event_id: "64f513be-32db-42b0-b78e-b02127b4f463",
      token_use: "access",
      scope: "openid aws.cognito.signin.user.admin",
      auth_time: 1_790_000_000,
      jti: "aaaaaaaa-bbbb-cccc-dddd-ffffffffffff",
      username: "user",
    },
    subject: UUID,
    admin: { "cognito:groups": ["users", ADMIN] },
    nearMisses: [
      {
        title: "its ID token",
        claims: { ...idTokenOf(COGNITO_CLIENT), client_id: undefined, token_use: "id" },
        outcome: "wrong_kind: token_use",
      },
      {
        title: "a token of another client of the pool",
        claims: { client_id: "2example23456789abcdefghij" },
        outcome: "wrong_audience: client_id",
      },
      {
        title: "our client in aud instead",
        claims: { client_id: undefined, aud: COGNITO_CLIENT },
        outcome: "wrong_audience: client_id",
      },
      {
        title: "a token of another pool",
        claims: { iss: COGNITO.replace("_Example12", "_Example34") },
        outcome: "wrong_issuer: iss",
      },
      {
        title: "the right in an attribute that users may write",
        claims: { "custom:groups": ADMIN, "cognito:roles": [ADMIN], username: ADMIN },
        outcome: 404,
      },
    ],
  },
  {
    name: "Clerk",
    settings: {
      JWT_ISSUER: CLERK,
      JWT_AUDIENCE: APP,
      JWKS_URL: `${CLERK}/.well-known/jwks.json`,
      AUDIENCE_CLAIM: "azp",
      RIGHTS_CLAIMS: "metadata.roles",
    },
    algorithm: "RS256",
    header: { typ: "JWT", cat: "cl_B7d4PD111AAA" },
    claims: {
      azp: APP,
      fva: [7, -1],
      iss: CLERK,
      nbf: 1_790_000_000,
      sid: "sess_2fT1example",
      sts: "active",
      sub: "user_2fT1example",
      v: 2,
      o: { id: "org_2fT1example", rol: "member", slg: "example" },
      metadata: {},
    },
    subject: "user_2fT1example",
    admin: { metadata: { roles: [ADMIN] } },
    nearMisses: [
      {
        title: "a token made for another site of the same instance",
        claims: { azp: "https://evil.example.com" },
        outcome: "wrong_audience: azp",
      },
      { title: "a token made for no site", claims: { azp: undefined }, outcome: "wrong_audience: azp" },
      {
        title: "the ID token of an OAuth application",
        claims: { ...idTokenOf("client_1"), azp: "client_1" },
        outcome: "wrong_kind: at_hash",
      },
      {
        title: "a token of the development instance",
        claims: { iss: "https://example-1.clerk.accounts.dev" },
        outcome: "wrong_issuer: iss",
      },
      {
        title: "the right as a role or permission in an organisation, which a user may found",
        claims: {
          o: { id: "org_1", rol: ADMIN, per: ADMIN },
          org_role: ADMIN,
          org_permissions: [ADMIN],
        },
        outcome: 404,
      },
      {
        title: "the right in metadata that users may write",
        claims: { unsafe_metadata: { roles: [ADMIN] }, metadata: { unsafe: { roles: [ADMIN] } } },
        outcome: 404,
      },
    ],
  },
  {
    name: "Supabase",
    settings: {
      JWT_ISSUER: SUPABASE,
      JWT_AUDIENCE: "authenticated",
      JWKS_URL: `${SUPABASE}/.well-known/jwks.json`,
      RIGHTS_CLAIMS: "app_metadata.roles",
    },
    algorithm: "ES256",
    header: { typ: "JWT" },
    claims: {
      iss: SUPABASE,
      sub: UUID,
      aud: "authenticated",
      email: "user@example.com",
      phone: "",
      app_metadata: { provider: "email", providers: ["email"] },
      user_metadata: { email_verified: true },
      role: "authenticated",
      aal: "aal1",
      amr: [{ method: "password", timestamp: 1_790_000_000 }],
      session_id: "a4b6f2c0-0d8a-4bb9-8c52-2d1f5c3e9b11",
      is_anonymous: false,
    },
    subject: UUID,
    admin: { app_metadata: { provider: "email", roles: [ADMIN] } },
    nearMisses: [
      {
        title: "the public key of an old project, had it an asymmetric signature",
        claims: { iss: "supabase", sub: undefined, aud: undefined, ref: "example", role: "anon" },
        outcome: "wrong_issuer: iss",
      },
      {
        title: "a token of another project",
        claims: { iss: SUPABASE.replace("examplerefabcdefghij", "otherprojectabcdefgh") },
        outcome: "wrong_issuer: iss",
      },
      {
        title: "the ID token of an OAuth client",
        claims: idTokenOf(UUID),
        outcome: "wrong_kind: at_hash",
      },
      { title: "another audience", claims: { aud: "anon" }, outcome: "wrong_audience: aud" },
      {
        title: "the right in metadata that users may write",
        claims: { user_metadata: { roles: [ADMIN], app_metadata: { roles: [ADMIN] } } },
        outcome: 404,
      },
      {
        title: "the right as the database role",
        claims: { role: ADMIN, app_metadata: { role: ADMIN } },
        outcome: 404,
      },
    ],
  },
  {
    name: "Neon Auth",
    settings: {
      JWT_ISSUER: NEON,
      JWT_AUDIENCE: NEON,
      JWKS_URL: `${NEON}/neondb/auth/.well-known/jwks.json`,
      RIGHTS_CLAIMS: "role",
      ADMIN_SCOPE: "admin",
    },
    algorithm: "EdDSA",
    header: {},
    claims: {
      name: "A User",
      email: "user@example.com",
      emailVerified: true,
      role: "authenticated",
      banned: false,
      id: UUID,
      sub: UUID,
      iss: NEON,
      aud: NEON,
    },
    subject: UUID,
    admin: { role: "admin" },
    nearMisses: [
      {
        title: "a token of another project",
        claims: { iss: NEON.replace("12345678", "87654321"), aud: NEON.replace("12345678", "87654321") },
        outcome: "wrong_issuer: iss",
      },
      {
        title: "a token for another audience",
        claims: { aud: `${NEON}/neondb/auth` },
        outcome: "wrong_audience: aud",
      },
      {
        title: "the right as a role in an organisation, which a user may found",
        claims: { o: { id: "org1", role: "admin" } },
        outcome: 404,
      },
      {
        title: "the right in what users may write",
        claims: { name: "admin", user_metadata: { role: "admin" } },
        outcome: 404,
      },
    ],
  },
  {
    name: "Better Auth, JWT plugin",
    settings: {
      JWT_ISSUER: APP,
      JWT_AUDIENCE: APP,
      JWKS_URL: `${APP}/api/auth/jwks`,
      RIGHTS_CLAIMS: "role",
      ADMIN_SCOPE: "admin",
    },
    algorithm: "EdDSA",
    jwk: { use: undefined },
    header: {},
    claims: {
      id: "user1Example",
      name: "A User",
      email: "user@example.com",
      emailVerified: true,
      role: "user",
      sub: "user1Example",
      iss: APP,
      aud: APP,
    },
    subject: "user1Example",
    admin: { role: "admin" },
    nearMisses: [
      {
        title: "its ID token",
        claims: idTokenOf("client1"),
        outcome: "wrong_kind: at_hash",
      },
      {
        title: "a token for another audience",
        claims: { aud: API },
        outcome: "wrong_audience: aud",
      },
      { title: "the right among roles joined by commas", claims: { role: "user,admin" }, outcome: 404 },
      {
        title: "the right in what users may write",
        claims: { name: "admin", scope: "admin" },
        outcome: 404,
      },
    ],
  },
  {
    name: "Better Auth, OAuth plugin",
    settings: {
      JWT_ISSUER: APP,
      JWT_AUDIENCE: API,
      JWKS_URL: `${APP}/api/auth/jwks`,
      RIGHTS_CLAIMS: "scope",
      JWT_REQUIRE_AT_JWT: "true",
    },
    algorithm: "EdDSA",
    jwk: { use: undefined },
    header: { typ: "at+jwt" },
    claims: {
      iss: APP,
      sub: "user1Example",
      aud: [API, `${APP}/oauth2/userinfo`],
      azp: "client1",
      scope: "openid crew-runs:read",
      sid: "session1",
    },
    subject: "user1Example",
    admin: { scope: `openid ${ADMIN}` },
    nearMisses: [
      {
        title: "a token of the JWT plugin, which has the same issuer and keys",
        header: { typ: undefined },
        claims: { aud: APP, scope: undefined },
        outcome: "wrong_kind: typ",
      },
      {
        title: "a token for another resource",
        claims: { aud: "https://other.example.com" },
        outcome: "wrong_audience: aud",
      },
    ],
  },
  {
    name: "WorkOS, sessions",
    settings: {
      JWT_ISSUER: WORKOS,
      JWT_AUDIENCE: WORKOS,
      JWKS_URL: `https://api.workos.com/sso/jwks/${WORKOS_CLIENT}`,
      AUDIENCE_CLAIM: "iss",
      RIGHTS_CLAIMS: "permissions",
    },
    algorithm: "RS256",
    header: {},
    claims: {
      iss: WORKOS,
      sub: "user_01HBEQKA6K4QJAS93VPE39W1JT",
      sid: "session_01HQSXZGF8FHF7A9ZZFCW4387R",
      org_id: "org_01HRDMC6CM357W30QMHMQ96Q0S",
      role: "member",
      roles: ["member"],
      permissions: ["posts:read"],
      jti: "01HQSXZXPPFPKMDD32RKTFY6PV",
    },
    subject: "user_01HBEQKA6K4QJAS93VPE39W1JT",
    admin: { permissions: ["posts:read", ADMIN] },
    nearMisses: [
      {
        title: "a token of another client",
        claims: { iss: WORKOS.replace("01EXAMPLE", "01ANOTHER") },
        outcome: "wrong_issuer: iss",
      },
      {
        title: "a token whose issuer does not name the client",
        claims: { iss: "https://api.workos.com" },
        outcome: "wrong_issuer: iss",
      },
      {
        title: "a token of Connect",
        header: { typ: "at+jwt" },
        claims: { iss: AUTHKIT, aud: WORKOS_CLIENT, scope: ADMIN },
        outcome: "wrong_issuer: iss",
      },
      {
        title: "the right as a role, an entitlement or the impersonator's",
        claims: { role: ADMIN, roles: [ADMIN], entitlements: [ADMIN], act: { permissions: [ADMIN] } },
        outcome: 404,
      },
    ],
  },
  {
    name: "WorkOS, Connect",
    settings: {
      JWT_ISSUER: AUTHKIT,
      JWT_AUDIENCE: API,
      JWKS_URL: `${AUTHKIT}/oauth2/jwks`,
    },
    algorithm: "RS256",
    header: {},
    claims: {
      iss: AUTHKIT,
      aud: API,
      sub: "user_01HBEQKA6K4QJAS93VPE39W1JT",
      client_id: "client_01CONNECT0000000000000000",
      org_id: "org_01HRDMC6CM357W30QMHMQ96Q0S",
      sid: "app_consent_01HQSXZGF8FHF7A9ZZFCW4387R",
      scope: "openid profile",
      jti: "01HQSXZXPPFPKMDD32RKTFY6PV",
    },
    subject: "user_01HBEQKA6K4QJAS93VPE39W1JT",
    admin: { scope: `openid ${ADMIN}` },
    nearMisses: [
      {
        title: "its ID token",
        claims: { aud: "client_01CONNECT0000000000000000", scope: undefined },
        outcome: "wrong_audience: aud",
      },
      {
        title: "a token for no resource",
        claims: { aud: WORKOS_CLIENT },
        outcome: "wrong_audience: aud",
      },
      { title: "a session's token", claims: { iss: WORKOS, aud: undefined }, outcome: "wrong_issuer: iss" },
    ],
  },
  {
    name: "Zitadel",
    settings: {
      JWT_ISSUER: ZITADEL,
      JWT_AUDIENCE: ZITADEL_PROJECT,
      JWKS_URL: `${ZITADEL}/oauth/v2/keys`,
      RIGHTS_CLAIMS: ZITADEL_ROLES,
    },
    algorithm: "RS256",
    header: { typ: "JWT" },
    claims: {
      iss: ZITADEL,
      sub: "305161111111111111",
      aud: ["305162222222222222", "305163333333333333", ZITADEL_PROJECT],
      client_id: "305162222222222222",
      nbf: 1_790_000_000,
      jti: "V2_305164444444444444-at_305165555555555555",
      [ZITADEL_ROLES]: { user: { "305166666666666666": "example.zitadel.cloud" } },
    },
    subject: "305161111111111111",
    admin: { [ZITADEL_ROLES]: { [ADMIN]: { "305166666666666666": "example.zitadel.cloud" } } },
    nearMisses: [
      {
        title: "its ID token, which has the same audience",
        claims: {
          ...idTokenOf("305162222222222222"),
          aud: ["305162222222222222", ZITADEL_PROJECT],
          azp: "305162222222222222",
        },
        outcome: "wrong_kind: at_hash",
      },
      {
        title: "a token for another project",
        claims: { aud: ["305167777777777777"] },
        outcome: "wrong_audience: aud",
      },
      {
        title: "the right as a role in the client's own project, which is another",
        claims: { "urn:zitadel:iam:org:project:roles": { [ADMIN]: {} } },
        outcome: 404,
      },
      {
        title: "the right as the name of an organisation",
        claims: { [ZITADEL_ROLES]: { user: { [ADMIN]: ADMIN } } },
        outcome: 404,
      },
      {
        title: "the right in metadata",
        claims: { "urn:zitadel:iam:user:metadata": { roles: ADMIN } },
        outcome: 404,
      },
    ],
  },
  {
    name: "Ory Hydra",
    settings: {
      JWT_ISSUER: HYDRA,
      JWT_AUDIENCE: API,
      JWKS_URL: `${HYDRA}/.well-known/jwks.json`,
      RIGHTS_CLAIMS: "scp scope",
    },
    algorithm: "RS256",
    header: { typ: "JWT" },
    claims: {
      aud: [API],
      client_id: "web",
      ext: {},
      iss: HYDRA,
      jti: "0b3b3a0c-6b5c-4a77-9b0a-7d5a7a7a0d10",
      nbf: 1_790_000_000,
      scp: ["openid", "offline"],
      sub: UUID,
    },
    subject: UUID,
    admin: { scp: ["openid", ADMIN] },
    nearMisses: [
      {
        title: "its ID token",
        claims: { ...idTokenOf("web"), aud: ["web"], scp: undefined, rat: 1_790_000_000 },
        outcome: "wrong_kind: at_hash",
      },
      { title: "a token without an audience", claims: { aud: [] }, outcome: "wrong_audience: aud" },
      {
        title: "a token for another audience",
        claims: { aud: ["https://other.example.com"] },
        outcome: "wrong_audience: aud",
      },
      {
        title: "the right in the consent's extra claims",
        claims: { ext: { scp: [ADMIN], scope: ADMIN }, roles: [ADMIN] },
        outcome: 404,
      },
    ],
  },
];
