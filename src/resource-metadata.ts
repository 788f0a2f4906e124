// Protected resource metadata (RFC 9728): where a client learns which authorization server to ask for a token.
import type { Context } from "hono";
import { Failure } from "./failure.ts";
import { originOf } from "./request.ts";
import type { AppEnv } from "./service.ts";

export const RESOURCE_METADATA_PATH = "/.well-known/oauth-protected-resource";

/**
 * Describes this origin, or an audience that is a URL of this origin: the path of that URL stands behind the well-known one
 * (RFC 9728 §3.1). `resource` must be the URL from which a client derived the address of this document (§3.3).
 */
export function answerResourceMetadata(c: Context<AppEnv>): Response {
  const { JWT_AUDIENCE, JWT_ISSUER, REQUIRED_SCOPE, DOCS_CLIENT_ID } = c.var.service.settings;
  const origin = originOf(c.req.url);
  const resource = origin + c.req.path.slice(RESOURCE_METADATA_PATH.length);
  if (resource !== origin && !JWT_AUDIENCE.includes(resource)) throw new Failure("not_found");
  const metadata = {
    resource,
    resource_name: "Crew runs",
    authorization_servers: [JWT_ISSUER],
    bearer_methods_supported: ["header"],
    // The admin right is left out: clients tend to ask for every scope that is advertised.
    ...(REQUIRED_SCOPE !== undefined && { scopes_supported: [REQUIRED_SCOPE] }),
    resource_documentation: `${origin}/docs`,
    // An additional member (§2 allows it): the client id with which the page at /docs logs in.
    ...(DOCS_CLIENT_ID !== undefined && { docs_client_id: DOCS_CLIENT_ID }),
  };
  return Response.json(metadata, { headers: { "cache-control": "public, max-age=3600" } });
}
