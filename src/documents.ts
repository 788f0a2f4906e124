// The published documents: static files made at build time from the same schemas that serve, completed with what only the
// settings know. Nothing here is on the way of a run.
import type { Exchange } from "./exchange.ts";
import { refuse } from "./failure.ts";
import type { Settings } from "./settings.ts";

/** Documents change with a deployment only, and are the same for everybody. */
const HEADERS = { "cache-control": "public, max-age=3600", vary: "Accept-Encoding" };
const JSON_HEADERS = { ...HEADERS, "content-type": "application/json" };

/** Serves the static file at `path`, or a 404 where it, or the binding, is missing. */
export async function answerAsset(exchange: Exchange, assets: Fetcher | undefined, path: string): Promise<Response> {
  const tag = exchange.request.headers.get("if-none-match");
  const init: RequestInit = { redirect: "manual", headers: tag === null ? {} : { "if-none-match": tag } };
  // Names of ours are plain. Others may mean something to the binding: NUL is the folder's page.
  const isPlain = /^[\w./-]+$/.test(path);
  const asset = isPlain ? await assets?.fetch(new URL(path, exchange.request.url), init) : undefined;
  if (!asset?.ok && asset?.status !== 304) return refuse(exchange, { reason: "path_not_found" });
  const headers: Record<string, string> = { ...HEADERS };
  for (const name of ["content-type", "etag"]) {
    const value = asset.headers.get(name);
    if (value !== null) headers[name] = value;
  }
  if (headers["content-type"]?.startsWith("text/html")) {
    headers["content-security-policy"] = contentSecurityPolicy(exchange.settings);
  }
  return exchange.answer(asset.status, asset.body, headers);
}

/** The OpenAPI document, with this deployment's address and the issuer's endpoints. */
export async function answerOpenApi(exchange: Exchange, assets: Fetcher | undefined): Promise<Response> {
  const asset = await assets?.fetch(new URL("/openapi.json", exchange.request.url));
  if (!asset?.ok) return refuse(exchange, { reason: "path_not_found" });
  const document = await asset.json<{ components: { securitySchemes: Record<string, object> } }>();
  const { oauth2, ...others } = document.components.securitySchemes;
  const securitySchemes = { ...describeIssuer(exchange.settings, oauth2), ...others };
  const completed = {
    ...document,
    servers: [{ url: exchange.origin }],
    security: Object.keys(securitySchemes).map((name) => ({ [name]: [] })),
    components: { ...document.components, securitySchemes },
  };
  return exchange.answer(200, JSON.stringify(completed), { ...JSON_HEADERS });
}

/** How to get a token: the issuer's endpoints where the settings name them, else where they can be discovered. */
function describeIssuer(settings: Settings | undefined, oauth2: object | undefined): Record<string, object> {
  if (settings === undefined) return {};
  const { JWT_ISSUER, AUTHORIZATION_ENDPOINT, TOKEN_ENDPOINT, DOCS_CLIENT_ID, ADMIN_SCOPE, REQUIRED_SCOPE } = settings;
  if (AUTHORIZATION_ENDPOINT === undefined || TOKEN_ENDPOINT === undefined) {
    // OpenID Connect Discovery §4: a trailing slash of the issuer goes.
    const openIdConnectUrl = `${JWT_ISSUER.replace(/\/$/, "")}/.well-known/openid-configuration`;
    return { openIdConnect: { type: "openIdConnect", openIdConnectUrl, "x-client-id": DOCS_CLIENT_ID } };
  }
  const authorizationCode = {
    authorizationUrl: AUTHORIZATION_ENDPOINT,
    tokenUrl: TOKEN_ENDPOINT,
    scopes: {
      ...(REQUIRED_SCOPE !== undefined && { [REQUIRED_SCOPE]: "Read runs" }),
      [ADMIN_SCOPE]: "See every run",
    },
  };
  return { oauth2: { ...oauth2, "x-client-id": DOCS_CLIENT_ID, flows: { authorizationCode } } };
}

/**
 * Protected resource metadata (RFC 9728 §2). The resource identifier is the audience that tokens must name, where that is a
 * URL of ours: one for all hosts that serve this Worker. Where the audience names the client or the issuer, it is the host
 * that was asked.
 */
export function answerResourceMetadata(exchange: Exchange, settings: Settings): Response {
  const { JWT_AUDIENCE, JWT_ISSUER, AUDIENCE_CLAIM, ADMIN_SCOPE, REQUIRED_SCOPE } = settings;
  const isOurs = AUDIENCE_CLAIM === "aud" && JWT_AUDIENCE !== JWT_ISSUER && /^https?:\/\//.test(JWT_AUDIENCE);
  const metadata = {
    resource: exchange.origin, docs_client_id: settings.DOCS_CLIENT_ID,
    resource_name: "Crew runs",
    authorization_servers: [JWT_ISSUER],
    bearer_methods_supported: ["header"],
    
    resource_documentation: `${exchange.origin}/docs`,
  };
  return exchange.answer(200, JSON.stringify(metadata), { ...JSON_HEADERS });
}

/** Only our own files run; the page may talk to this API and to who issues tokens. */
function contentSecurityPolicy(settings: Settings | undefined): string {
  const endpoint = settings?.TOKEN_ENDPOINT ?? settings?.JWT_ISSUER;
  const issuer = endpoint === undefined ? "" : ` ${new URL(endpoint).origin}`;
  return `default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'${issuer}; \
base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
}
