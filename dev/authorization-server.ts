// The local authorization server: real metadata, key set, JWT access tokens (RFC 9068) and sign-in, all on the loopback.
// Guarantees that only the account `admin` gets the admin scope, and that everything but the port is new at each start.
// Forgets everything when it ends.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { type Adapter, type AdapterPayload, type KoaContextWithOIDC, Provider, errors } from "oidc-provider";
import { listenOnLoopback } from "./loopback.ts";
import { SEEDED_RUNS } from "./seeded-runs.ts";

type UserName = (typeof USER_NAMES)[number];
type Clients = Record<UserName, { id: string; secret: string }>;

export interface AuthorizationServer {
  issuer: string;
  jwksUrl: string;
  tokenEndpoint: string;
  /** Confidential clients for the client credentials grant; the token's `sub` is the client's id. */
  clients: Clients;
  /** The browser's client: authorization code with PKCE, no secret. */
  publicClientId: string;
  /** Gets an access token by the client credentials of that user, with all scopes that the user may have. */
  fetchToken(user: UserName): Promise<string>;
  /** Stops listening and ends open connections. */
  close(): Promise<void>;
}

const USER_NAMES = ["owner", "stranger", "admin"] as const;
const READ_SCOPE = "crew-runs:read";
const ADMIN_SCOPE = "crew-runs:admin";
const PUBLIC_CLIENT_ID = "browser";
const REMEMBERED = ["AccessToken", "ClientCredentials", "Grant", "IdToken", "Interaction", "Session"];
const MAX_AGE_SECONDS = 3_600;
/** Where a native client and the page at /docs get their code; on these hosts any port will do (RFC 8252 §7.3). */
const REDIRECT_URIS = ["http://127.0.0.1/callback", "http://127.0.0.1/docs", "http://localhost/docs"];
const LOOPBACK_HOSTS = ["127.0.0.1", "localhost", "[::1]"];

/**
 * Starts the server on 127.0.0.1, on any free port if it is 0. Every access token is for `audience` (RFC 8707), requested or
 * not. Throws the listen error (`code`, `port`) when the port is taken.
 */
export async function startAuthorizationServer(port: number, audience: string): Promise<AuthorizationServer> {
  const server = createServer();
  const { url: issuer, close } = await listenOnLoopback(server, port);
  const makeClient = (user: UserName) => ({ id: user, secret: randomBytes(24).toString("base64url") });
  const clients = { owner: makeClient("owner"), stranger: makeClient("stranger"), admin: makeClient("admin") };
  server.on("request", createProvider(issuer, clients, audience).callback());
  const tokenEndpoint = `${issuer}/token`;
  return {
    issuer,
    jwksUrl: `${issuer}/jwks`,
    tokenEndpoint,
    clients,
    publicClientId: PUBLIC_CLIENT_ID,
    async fetchToken(user) {
      const { id, secret } = clients[user];
      const response = await fetch(tokenEndpoint, {
        method: "POST",
        headers: { authorization: `Basic ${btoa(`${id}:${secret}`)}` },
        body: new URLSearchParams({ grant_type: "client_credentials" }),
      });
      if (!response.ok) throw new Error(`no token for ${id}: ${response.status} ${await response.text()}`);
      return ((await response.json()) as { access_token: string }).access_token;
    },
    close,
  };
}

function createProvider(issuer: string, clients: Clients, audience: string): Provider {
  const provider = new Provider(issuer, {
    adapter: createMemory,
    jwks: { keys: generateSigningKeys() },
    clients: [
      ...USER_NAMES.map((user) => ({
        client_id: clients[user].id,
        client_secret: clients[user].secret,
        grant_types: ["client_credentials"],
        response_types: [],
        redirect_uris: [],
        scope: permittedScopes(user).join(" "),
      })),
      {
        client_id: PUBLIC_CLIENT_ID,
        client_name: "Browser",
        // Only a native client's loopback redirects may differ in their port.
        application_type: "native",
        token_endpoint_auth_method: "none",
        redirect_uris: REDIRECT_URIS,
      },
    ],
    // For the page at /docs, which offers them.
    discovery: { seeded_runs: SEEDED_RUNS.map(({ id, description }) => [id, description]) },
    scopes: ["openid", READ_SCOPE, ADMIN_SCOPE],
    clientBasedCORS: (_ctx, origin, { clientId }) =>
      clientId === PUBLIC_CLIENT_ID && LOOPBACK_HOSTS.includes(URL.parse(origin)?.hostname ?? ""),
    // A session cookie that is never returned, so that each sign-in offers all accounts again.
    cookies: { long: { path: "/no-session", httpOnly: true, sameSite: "lax" } },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      dPoP: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => audience,
        getResourceServerInfo: (ctx, resource, client) => {
          if (resource !== audience) throw new errors.InvalidTarget();
          completeScope(ctx);
          return {
            audience,
            scope: `${READ_SCOPE} ${ADMIN_SCOPE}`,
            accessTokenFormat: "jwt",
            accessTokenTTL: MAX_AGE_SECONDS,
            // Both keys in use: verifiers shall meet both.
            jwt: { sign: { alg: client.clientId === "stranger" ? "ES256" : "RS256" } },
          };
        },
      },
    },
    findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    interactions: { url: (_ctx, interaction) => `/sign-in/${interaction.uid}` },
    renderError(ctx, { error, error_description: description }) {
      ctx.type = "text";
      ctx.body = `Sign-in failed: ${description ?? error}`;
    },
    ttl: Object.fromEntries(REMEMBERED.map((name) => [name, MAX_AGE_SECONDS])),
  });
  provider.on("server_error", (_ctx, error) => console.error(error));
  provider.use(async (ctx, next) => {
    if (ctx.path.startsWith("/sign-in/")) await signIn(provider, audience, ctx);
    else await next();
  });
  return provider;
}

/** RFC 6749 §3.3: the scopes of a request that names none; a signed-in user's token always has the scope to read. */
function completeScope({ oidc: { client, params, route } }: KoaContextWithOIDC): void {
  if (params === undefined) return;
  if (route !== "token") {
    const requested = params["scope"] === undefined ? [ADMIN_SCOPE] : String(params["scope"]).split(" ");
    params["scope"] = [...new Set([READ_SCOPE, ...requested])].join(" ");
  } else if (params["grant_type"] === "client_credentials") params["scope"] ??= client?.scope;
}

function permittedScopes(account: UserName): string[] {
  return account === "admin" ? [READ_SCOPE, ADMIN_SCOPE] : [READ_SCOPE];
}

const SIGN_IN_PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Sign in</title><link rel="icon" href="data:,"><style>body,button{font:1rem system-ui,sans-serif;margin:1rem}</style>
<h1>Sign in</h1><p>Go on as:</p><form method="post">
${USER_NAMES.map((user) => `<button name="account" value="${user}">${user}</button>`).join("\n")}
</form></html>`;

/** The page with one button per account, and the effect of a press: sign-in, with the requested scopes granted or not. */
async function signIn(
  provider: Provider,
  audience: string,
  ctx: Parameters<Parameters<Provider["use"]>[0]>[0],
): Promise<void> {
  if (ctx.method !== "POST") {
    ctx.type = "html";
    ctx.body = SIGN_IN_PAGE;
    return;
  }
  const account = new URLSearchParams(await text(ctx.req)).get("account");
  const accountId = USER_NAMES.find((user) => user === account) ?? ctx.throw(400, "no such account");
  // Throws SessionNotFound, a 400, if the sign-in has expired.
  const { client_id: clientId, scope } = (await provider.interactionDetails(ctx.req, ctx.res)).params;
  const requested = String(scope).split(" ");
  const permitted = new Set(permittedScopes(accountId));
  const grant = new provider.Grant({ accountId, clientId: String(clientId) });
  grant.addOIDCScope(requested.join(" "));
  grant.addResourceScope(audience, requested.filter((name) => permitted.has(name)).join(" "));
  grant.rejectResourceScope(audience, requested.filter((name) => !permitted.has(name)).join(" "));
  const result = { login: { accountId }, consent: { grantId: await grant.save() } };
  ctx.status = 303;
  ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result));
}

function generateSigningKeys() {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({ format: "jwk" });
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "jwk" });
  return [
    { ...rsa, alg: "RS256", use: "sig" },
    { ...ec, alg: "ES256", use: "sig" },
  ];
}

/** The provider's memory for one kind of object. It checks expiry itself, and a restart forgets everything. */
function createMemory(): Adapter {
  const entries = new Map<string, AdapterPayload>();
  return {
    upsert: async (id, payload) => void entries.set(id, payload),
    find: async (id) => entries.get(id),
    findByUid: async (uid) => [...entries.values()].find((payload) => payload.uid === uid),
    findByUserCode: async () => undefined,
    async consume(id) {
      const payload = entries.get(id);
      if (payload !== undefined) payload.consumed = Math.floor(Date.now() / 1000);
    },
    destroy: async (id) => void entries.delete(id),
    async revokeByGrantId(grantId) {
      for (const [id, payload] of entries) if (payload.grantId === grantId) entries.delete(id);
    },
  };
}
