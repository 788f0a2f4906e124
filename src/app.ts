// Maps paths to their handlers, and puts every failure on the wire.
import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import { Hono } from "hono/tiny";
import { admitReader } from "./auth/gate.ts";
import { getCrewRun } from "./crew-runs/route.ts";
import type { AppEnv } from "./env.ts";
import { Failure, respondWithFailure } from "./failure.ts";
import { grantOrigin } from "./http/cors.ts";
import { getHealth, getReadiness } from "./http/health.ts";
import { logRequest } from "./http/request-log.ts";
import { METADATA_PATH, getResourceMetadata, originOf } from "./http/resource-metadata.ts";
import { type Start, startService } from "./service.ts";

/** The application. Its state lives as long as the isolate. */
export function createApp(): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  let start: Start | undefined;
  // Without usable settings there is no service; routes that need none still work.
  const provideService = createMiddleware<AppEnv>(async (c, next) => {
    start ??= startService(c.env, c.env.RATE_LIMITER, c.env.CF_VERSION_METADATA?.id);
    // Until a request has a usable Host, so that one odd Host costs the isolate nothing.
    if (start.ok) start.service.cache.origin ||= originOf(c.req.url);
    c.set("start", start);
    await next();
  });
  app.use(logRequest, provideService, grantOrigin);

  app.get("/api/crew-runs/:run_id", requireService, admitReader, getCrewRun).all(refuseMethod);
  app.get("/health", getHealth).all(refuseMethod);
  app.get("/ready", getReadiness).all(refuseMethod);
  app.get(`${METADATA_PATH}/*`, requireService, getResourceMetadata).all(refuseMethod);
  app.notFound((c) => respond(c, new Failure("not_found")));
  app.onError((error, c) => respond(c, error instanceof Failure ? error : describeUnforeseen(error, c)));
  return app;
}

/** Hono's own response to another method is 404 (honojs/hono#4262). */
const refuseMethod = (c: Context<AppEnv>) => respond(c, new Failure("method_not_allowed"));

function respond(c: Context<AppEnv>, failure: Failure): Response {
  const { requestId, start, trace } = c.var;
  Object.assign(trace.notes, { code: failure.code, why: failure.details.why });
  const requiredScope = start?.ok ? start.service.settings.REQUIRED_SCOPE : undefined;
  return respondWithFailure(failure, requestId, originOf(c.req.url) + METADATA_PATH, requiredScope);
}

/**
 * An error that no step foresaw. The platform doesn't see what `onError` returns, so the log gets the place where it was thrown:
 * frames only, because a message could contain data.
 */
function describeUnforeseen(error: Error, c: Context<AppEnv>): Failure {
  const withoutMessage = error.stack?.replace(error.message, "");
  c.get("trace").notes.stack = withoutMessage?.match(/(?<=^ +)at .*$/gm)?.join("\n");
  return new Failure("internal_error", { why: error.name });
}

const requireService = createMiddleware<AppEnv>(async (c, next) => {
  const start = c.get("start");
  if (!start.ok) throw new Failure("misconfigured", { why: start.problems.join("; ") });
  c.set("service", start.service);
  await next();
});
