// The published documents: static files made at build time from the same schemas that serve, completed with what only the
// settings know. Nothing here is on the way of a run.
import type { Exchange } from "./exchange.ts";
import { refuse } from "./failure.ts";
import type { Settings } from "./settings.ts";

/** An hour, then revalidated: documents change with a deployment. */
const CACHE_CONTROL = "public, max-age=3600";

/** Serves the static file at `path`, or a 404 where it, or the binding, is missing. */
export async function answerAsset(
  exchange: Exchange,
  assets: Fetcher | undefined,
  path: string,
): Promise<Response> {
  const asset = await fetchAsset(exchange, assets, path);
  if (asset === undefined) return refuse(exchange, { reason: "path_not_found" });
  const headers: Record<string, string> = { "cache-control": CACHE_CONTROL, vary: "Accept-Encoding" };
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
  const asset = await fetchAsset(exchange, assets, "/openapi.json");
  if (asset === undefined) return refuse(exchange, { reason: "path_not_found" });
  const document = await asset.json<{
    servers: unknown;
    components: { securitySchemes: Record<string, unknown> };
  }>();
  document.servers = [{ url: exchange.origin }];
  const { settings } = exchange;
  if (settings !== undefined) {
    const { oauth2, ...rest } = document.components.securitySchemes;
    document.components.securitySchemes = {
      ...rest,
      ...(settings.TOKEN_ENDPOINT === undefined ? {} : { oauth2: completeScheme(oauth2, settings) }),
    };
  }
  return exchange.answer(200, JSON.stringify(document), {
    "content-type": "application/json",
    "cache-control": CACHE_CONTROL,
  });
}

function completeScheme(scheme: unknown, settings: Settings): unknown {
  return scheme ?? settings;
}

/**
 * Protected resource metadata (RFC 9728 §2). The resource identifier is the audience that tokens must name, where that is a
 * URL: one for all hosts that serve this Worker. Where the issuer uses another kind of audience, it is the host asked.
 */
export function answerResourceMetadata(exchange: Exchange, settings: Settings): Response {
  const { JWT_AUDIENCE, JWT_ISSUER, ADMIN_SCOPE, REQUIRED_SCOPE } = settings;
  const isUrl = /^https?:\/\//.test(JWT_AUDIENCE);
  const metadata = {
    resource: isUrl ? JWT_AUDIENCE : exchange.origin,
    authorization_servers: [JWT_ISSUER],
    scopes_supported: REQUIRED_SCOPE === undefined ? [ADMIN_SCOPE] : [REQUIRED_SCOPE, ADMIN_SCOPE],
    bearer_methods_supported: ["header"],
    resource_name: "Crew runs",
    resource_documentation: `${exchange.origin}/docs`,
  };
  return exchange.answer(200, JSON.stringify(metadata), {
    "content-type": "application/json",
    "cache-control": CACHE_CONTROL,
  });
}

async function fetchAsset(
  exchange: Exchange,
  assets: Fetcher | undefined,
  path: string,
): Promise<Response | undefined> {
  const response = await assets?.fetch(new Request(new URL(path, exchange.request.url), exchange.request));
  return response !== undefined && (response.ok || response.status === 304) ? response : undefined;
}

/** Only our own files run; the page may talk to this API and to the issuer's token endpoint. */
function contentSecurityPolicy(settings: Settings | undefined): string {
  const endpoint = settings?.TOKEN_ENDPOINT;
  const issuer = endpoint === undefined ? "" : ` ${new URL(endpoint).origin}`;
  return `default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
connect-src 'self'${issuer}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
}
