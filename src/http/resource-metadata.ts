// Protected resource metadata (RFC 9728): where a client learns which authorization server issues tokens for this API.
import type { Context } from "hono";
import type { AppEnv } from "../request.ts";
import { Failure } from "../failure.ts";
import type { Settings } from "../settings.ts";

export const METADATA_PATH = "/.well-known/oauth-protected-resource";
export const METADATA_ROUTE = `${METADATA_PATH}/*`;

/**
 * Describes this origin, or an audience that is a URL of this origin: the URL's path follows the well-known one (RFC 9728
 * §3.1). `resource` must equal the URL from which a client derived this document's (§3.3), and the audience of its tokens: an
 * audience that is this origin with a slash at its end keeps the slash.
 */
export function getResourceMetadata(c: Context<AppEnv>, settings: Settings): Response {
  const { JWT_AUDIENCE, JWT_ISSUER, REQUIRED_SCOPE, DOCS_CLIENT_ID } = settings;
  const origin = c.get("request").readOrigin();
  const derived = origin + c.req.path.slice(METADATA_PATH.length);
  const spellings = derived === origin ? [origin, `${origin}/`] : [derived];
  const resource = JWT_AUDIENCE.find((audience) => spellings.includes(audience)) ?? origin;
  if (!spellings.includes(resource)) throw new Failure("not_found");
  const metadata = {
    resource,
    resource_name: "Crew runs",
    authorization_servers: [JWT_ISSUER],
    bearer_methods_supported: ["header"],
    // The admin right is left out: clients tend to request every scope that is advertised.
    ...(REQUIRED_SCOPE !== undefined && { scopes_supported: [REQUIRED_SCOPE] }),
    resource_documentation: `${origin}/docs`,
    // An additional member (§2 allows it): the client id with which the page at /docs logs in.
    ...(DOCS_CLIENT_ID !== undefined && { docs_client_id: DOCS_CLIENT_ID }),
  };
  return Response.json(metadata, { headers: { "cache-control": "public, max-age=3600" } });
}
