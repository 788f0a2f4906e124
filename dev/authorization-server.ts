// The local authorization server: real metadata, key set, JWT access tokens (RFC 9068) and sign-in, all on the loopback.
// Guarantees that only the account `admin` gets the admin scope, and that everything but the port is new at each start.
// Leaves out what a local stack needs no more than a resource server does: user info, logout, refresh tokens, storage.
import { createHash, generateKeyPair, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { type Adapter, type AdapterPayload, type KoaContextWithOIDC, Provider, errors } from "oidc-provider";

export type UserName = "owner" | "stranger" | "admin";

export interface AuthorizationServer {
  issuer: string;
  jwksUrl: string;
  tokenEndpoint: string;
  authorizationEndpoint: string;
  /** Confidential clients for the client credentials grant; the token's `sub` is the client's id. */
  clients: Record<UserName, { id: string; secret: string }>;
  /** The browser's client: authorization code with PKCE, no secret. */
  publicClientId: string;
  /** Gets an access token by the client credentials of that user, by default with all scopes that the user may have. */
  fetchToken(user: UserName, scope?: string): Promise<string>;
  /** Stops listening and ends open connections. */
  close(): Promise<void>;
}

interface AuthorizationServerOptions {
  /** A free one where left out or 0. */
  port?: number;
  /** The resource identifier (RFC 8707) that every access token is for, asked for or not. */
  audience: string;
  /** Where the browser's client may return to; on loopback hosts any port will do (RFC 8252 §7.3). */
  redirectUris: string[];
}

const USER_NAMES = ["owner", "stranger", "admin"] as const satisfies UserName[];
const READ_SCOPE = "crew-runs:read";
const ADMIN_SCOPE = "crew-runs:admin";
const PUBLIC_CLIENT_ID = "browser";
const TOKEN_MAX_AGE_SECONDS = 3_600;
const SIGN_IN_MAX_AGE_SECONDS = 600;
const MAX_FORM_BYTES = 4_096;

/** Starts the server on 127.0.0.1. Throws the listen error (`code`, `port`) when the port is taken. */
export async function startAuthorizationServer(options: AuthorizationServerOptions): Promise<AuthorizationServer> {
  const server = createServer().listen(options.port ?? 0, "127.0.0.1");
  const [keys] = await Promise.all([generateSigningKeys(), once(server, "listening")]);
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const clients = {
    owner: { id: "owner", secret: createSecret() },
    stranger: { id: "stranger", secret: createSecret() },
    admin: { id: "admin", secret: createSecret() },
  };
  server.on("request", createProvider(issuer, keys, clients, options).callback());
  const tokenEndpoint = `${issuer}/token`;
  return {
    issuer,
    jwksUrl: `${issuer}/jwks`,
    tokenEndpoint,
    authorizationEndpoint: `${issuer}/auth`,
    clients,
    publicClientId: PUBLIC_CLIENT_ID,
    fetchToken: (user, scope) => fetchToken(tokenEndpoint, clients[user], scope),
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function fetchToken(
  tokenEndpoint: string,
  client: { id: string; secret: string },
  scope: string | undefined,
): Promise<string> {
  const response = await fetch(tokenEndpoint, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`${client.id}:${client.secret}`)}` },
    body: new URLSearchParams({
      grant_type: "client_credentials",
      ...(scope !== undefined && { scope }),
    }),
  });
  const answer: unknown = await response.json();
  if (typeof answer === "object" && answer !== null && "access_token" in answer) return String(answer.access_token);
  throw new Error(`no token for ${client.id}: ${response.status} ${JSON.stringify(answer)}`);
}

function createProvider(
  issuer: string,
  keys: Awaited<ReturnType<typeof generateSigningKeys>>,
  clients: AuthorizationServer["clients"],
  { audience, redirectUris }: AuthorizationServerOptions,
): Provider {
  const provider = new Provider(issuer, {
    adapter: MemoryAdapter,
    jwks: { keys },
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
        redirect_uris: redirectUris,
      },
    ],
    scopes: ["openid", READ_SCOPE, ADMIN_SCOPE],
    responseTypes: ["code"],
    clientAuthMethods: ["client_secret_basic", "client_secret_post", "none"],
    pkce: { required: () => true },
    clientBasedCORS: (_ctx, origin, client) =>
      client.clientId === PUBLIC_CLIENT_ID &&
      (isLoopback(origin) || redirectUris.some((uri) => originOf(uri) === origin)),
    // A session cookie that never comes back: each sign-in asks anew whose token it shall be.
    cookies: { long: { path: "/no-session", httpOnly: true, sameSite: "lax" } },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      dPoP: { enabled: false },
      pushedAuthorizationRequests: { enabled: false },
      rpInitiatedLogout: { enabled: false },
      userinfo: { enabled: false },
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
            accessTokenTTL: TOKEN_MAX_AGE_SECONDS,
            // Both keys in use: verifiers shall meet both.
            jwt: { sign: { alg: client.clientId === "stranger" ? "ES256" : "RS256" } },
          };
        },
      },
    },
    findAccount: (_ctx, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    interactions: { url: (_ctx, interaction) => `/sign-in/${interaction.uid}` },
    renderError: (ctx, { error, error_description: description }) =>
      sendPage(ctx, "Sign-in failed", `<p>${escapeHtml(description ?? error)}</p>`),
    ttl: {
      AccessToken: TOKEN_MAX_AGE_SECONDS,
      AuthorizationCode: 60,
      ClientCredentials: TOKEN_MAX_AGE_SECONDS,
      Grant: TOKEN_MAX_AGE_SECONDS,
      IdToken: TOKEN_MAX_AGE_SECONDS,
      Interaction: SIGN_IN_MAX_AGE_SECONDS,
      Session: TOKEN_MAX_AGE_SECONDS,
    },
  });
  provider.on("server_error", (_ctx, error) => console.error(error));
  provider.use(async (ctx, next) => {
    if (ctx.path.startsWith("/sign-in/")) await signIn(provider, audience, ctx);
    else await next();
  });
  return provider;
}

/** RFC 6749 §3.3: what a request without a scope asks for; a signed-in user's token always names the scope to read. */
function completeScope({ oidc: { client, params, route } }: KoaContextWithOIDC): void {
  if (params === undefined) return;
  if (route !== "token") {
    const asked = params["scope"] === undefined ? [ADMIN_SCOPE] : String(params["scope"]).split(" ");
    params["scope"] = [...new Set([READ_SCOPE, ...asked])].join(" ");
  } else if (params["grant_type"] === "client_credentials") params["scope"] ??= client?.scope;
}

function permittedScopes(account: string): string[] {
  return account === "admin" ? [READ_SCOPE, ADMIN_SCOPE] : [READ_SCOPE];
}

/** The page with one button per account, and what a press on one does: signed in, asked-for scopes granted or not. */
async function signIn(
  provider: Provider,
  audience: string,
  ctx: Parameters<Parameters<Provider["use"]>[0]>[0],
): Promise<void> {
  const interaction = await provider.interactionDetails(ctx.req, ctx.res).catch((error: unknown) => {
    if (!(error instanceof errors.SessionNotFound)) throw error;
    return undefined;
  });
  if (interaction === undefined) {
    ctx.status = 400;
    sendPage(ctx, "Sign-in expired", "<p>Start again from the page that sent you here.</p>");
    return;
  }
  const { client_id: clientId, redirect_uri: redirectUri, scope } = interaction.params;
  if (ctx.method !== "POST") {
    const buttons = USER_NAMES.map((user) => `<button name="account" value="${user}">${user}</button>`);
    const request = `<p>${escapeHtml(String(clientId))} asks for <code>${escapeHtml(String(scope))}</code>. Go on as:</p>`;
    // Chromium applies form-action to the redirects after the form as well.
    sendPage(ctx, "Sign in", `${request}<form method="post">${buttons.join("")}</form>`, originOf(String(redirectUri)));
    return;
  }
  if ((ctx.request.length ?? Infinity) > MAX_FORM_BYTES) ctx.throw(413);
  const accountId = new URLSearchParams(await text(ctx.req)).get("account");
  if (accountId === null || !USER_NAMES.some((user) => user === accountId)) return ctx.throw(400);

  const asked = String(scope).split(" ");
  const permitted = permittedScopes(accountId);
  const grant = new provider.Grant({ accountId, clientId: String(clientId) });
  grant.addOIDCScope(asked.join(" "));
  grant.addResourceScope(audience, asked.filter((name) => permitted.includes(name)).join(" "));
  grant.rejectResourceScope(audience, asked.filter((name) => !permitted.includes(name)).join(" "));
  const result = { login: { accountId }, consent: { grantId: await grant.save() } };
  ctx.status = 303;
  ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, result));
}

const PAGE_STYLE =
  "body{font:1rem/1.5 system-ui,sans-serif;max-width:26rem;margin:15vh auto;padding:0 1rem}button{font:inherit;padding:.5rem 1.25rem;margin-right:.75rem}";
const PAGE_STYLE_HASH = createHash("sha256").update(PAGE_STYLE).digest("base64");

function sendPage(
  ctx: Pick<KoaContextWithOIDC, "body" | "set" | "type">,
  title: string,
  content: string,
  formTarget = "",
): void {
  ctx.set(
    "content-security-policy",
    `default-src 'none'; style-src 'sha256-${PAGE_STYLE_HASH}'; form-action 'self' ${formTarget}; base-uri 'none'; frame-ancestors 'none'`,
  );
  ctx.set("cache-control", "no-store");
  ctx.set("referrer-policy", "no-referrer");
  ctx.set("x-content-type-options", "nosniff");
  ctx.type = "html";
  ctx.body = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title><style>${PAGE_STYLE}</style><h1>${title}</h1>${content}</html>`;
}

function escapeHtml(value: string): string {
  return value.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

function originOf(uri: string): string {
  return new URL(uri).origin;
}

function isLoopback(origin: string): boolean {
  const hostname = URL.parse(origin)?.hostname ?? "";
  return ["127.0.0.1", "localhost", "[::1]"].includes(hostname);
}

function createSecret(): string {
  return randomBytes(24).toString("base64url");
}

async function generateSigningKeys() {
  const generate = promisify(generateKeyPair);
  const [rsa, ec] = await Promise.all([
    generate("rsa", { modulusLength: 2048 }),
    generate("ec", { namedCurve: "P-256" }),
  ]);
  return [
    { ...rsa.privateKey.export({ format: "jwk" }), alg: "RS256", use: "sig" },
    { ...ec.privateKey.export({ format: "jwk" }), alg: "ES256", use: "sig" },
  ];
}

/** What the provider remembers between requests; its models check expiry themselves, and a restart forgets all. */
class MemoryAdapter implements Adapter {
  readonly #entries = new Map<string, AdapterPayload>();

  async upsert(id: string, payload: AdapterPayload): Promise<void> {
    this.#entries.set(id, payload);
  }

  async find(id: string): Promise<AdapterPayload | undefined> {
    return this.#entries.get(id);
  }

  async findByUid(uid: string): Promise<AdapterPayload | undefined> {
    return [...this.#entries.values()].find((payload) => payload.uid === uid);
  }

  async findByUserCode(): Promise<undefined> {
    return undefined;
  }

  async consume(id: string): Promise<void> {
    const payload = this.#entries.get(id);
    if (payload !== undefined) payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id: string): Promise<void> {
    this.#entries.delete(id);
  }

  async revokeByGrantId(grantId: string): Promise<void> {
    for (const [id, payload] of this.#entries) if (payload.grantId === grantId) this.#entries.delete(id);
  }
}
