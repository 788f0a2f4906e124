// Maps paths to their handlers, and makes a response of every failure.
import type { Context } from "hono";
// Its router takes a slash at the end of a path for none, as docs/get-run.md promises.
import { Hono } from "hono/tiny";
import { getCrewRun } from "./crew-runs/route.ts";
import { Failure, type FailureCode, respondWithFailure, toFailure } from "./failure.ts";
import { grantOrigins } from "./http/cors.ts";
import { getHealth, getReadiness } from "./http/health.ts";
import { logRequests } from "./http/request-log.ts";
import { METADATA_PATH, METADATA_ROUTE, getResourceMetadata } from "./http/resource-metadata.ts";
import type { AppEnv, WaitUntil } from "./request.ts";
import { type Bindings, createService } from "./service.ts";
import { readSettings } from "./settings.ts";

/** The application. Its state lives as long as the isolate. Without usable settings, routes that need none still work. */
export function createApp(env: Bindings, waitUntil: WaitUntil): Hono<AppEnv> {
  const read = readSettings(env);
  const service = read.ok ? createService(read.settings, env, waitUntil) : undefined;
  const { CORS_ORIGINS = [], REQUIRED_SCOPE } = service?.settings ?? {};
  const misconfigured = refuse("misconfigured", read.ok ? undefined : read.problems.join("; "));

  const app = new Hono<AppEnv>();
  app.use(logRequests(env.CF_VERSION_METADATA?.id, waitUntil));
  if (CORS_ORIGINS.length > 0) app.use(grantOrigins(CORS_ORIGINS));
  app.get("/api/crew-runs/:run_id", service ? (c) => getCrewRun(c, service) : misconfigured).all(refuseMethod);
  app.get("/health", getHealth).all(refuseMethod);
  app.get("/ready", (c) => getReadiness(c, service?.checkReadiness)).all(refuseMethod);
  app.get(METADATA_ROUTE, service ? (c) => getResourceMetadata(c, service.settings) : misconfigured).all(refuseMethod);
  app.notFound((c) => respond(c, new Failure("not_found")));
  app.onError((error, c) => respond(c, toFailure(error)));
  return app;

  function respond(c: Context<AppEnv>, failure: Failure): Response {
    const { id, readOrigin, notes } = c.get("request");
    // If a read failed and then its token's confirmation, the response is the confirmation's, and the log has both causes.
    const read = failure.cause instanceof Error ? toFailure(failure.cause) : undefined;
    notes.code = failure.code;
    notes.why = [failure.details.why, read?.details.why].filter(Boolean).join("; ") || undefined;
    notes.stack = failure.details.stack ?? read?.details.stack;
    return respondWithFailure(failure, id, readOrigin() + METADATA_PATH, REQUIRED_SCOPE);
  }
}

/** A handler that fails. */
function refuse(code: FailureCode, why?: string): () => never {
  return () => {
    throw new Failure(code, { why });
  };
}

/** Hono's own response to another method is 404 (honojs/hono#4262). */
const refuseMethod = refuse("method_not_allowed");
