// Wires paths to what serves them, and puts every failure on the wire.
import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import { Hono } from "hono/tiny";
import { authenticate } from "./auth/authenticate.ts";
import { grantOrigin } from "./cors.ts";
import { getCrewRun } from "./crew-runs/route.ts";
import { Failure, answerFailure } from "./failure.ts";
import { answerHealth, answerReadiness } from "./health.ts";
import { originOf, trackRequest } from "./request.ts";
import { RESOURCE_METADATA_PATH, answerResourceMetadata } from "./resource-metadata.ts";
import { type AppEnv, type Start, startService } from "./service.ts";

/** The application. Its state lives as long as the isolate. */
export function createApp(): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.use(trackRequest, provideService(), grantOrigin);

  app.get("/api/crew-runs/:run_id", requireService, authenticate, getCrewRun).all(refuseMethod);
  app.get("/health", answerHealth).all(refuseMethod);
  app.get("/ready", answerReadiness).all(refuseMethod);
  for (const path of [RESOURCE_METADATA_PATH, `${RESOURCE_METADATA_PATH}/*`]) {
    app.get(path, requireService, answerResourceMetadata).all(refuseMethod);
  }
  app.notFound((c) => refuse(c, new Failure("not_found")));
  app.onError((error, c) => refuse(c, error instanceof Failure ? error : describeUnforeseen(error, c)));
  return app;
}

/** Hono answers another method with 404 (honojs/hono#4262). */
const refuseMethod = (c: Context<AppEnv>) => refuse(c, new Failure("method_not_allowed"));

function refuse(c: Context<AppEnv>, failure: Failure): Response {
  const { requestId, start, trace } = c.var;
  Object.assign(trace.notes, { code: failure.code, why: failure.details.why });
  const requiredScope = start?.ok ? start.service.settings.REQUIRED_SCOPE : undefined;
  return answerFailure(failure, requestId, originOf(c.req.url), requiredScope);
}

/**
 * An error that no step foresaw. The platform does not see what `onError` answers, so the log says where it was thrown: frames
 * only, because a message could hold data.
 */
function describeUnforeseen(error: Error, c: Context<AppEnv>): Failure {
  const frames = (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  c.var.trace.notes.stack = frames.map((line) => line.trim()).join("\n");
  return new Failure("internal_error", { why: error.name });
}

/** Starts the service at the first request. Where a setting is unusable, there is none, and whatever needs none still works. */
function provideService() {
  let start: Start | undefined;
  return createMiddleware<AppEnv>(async (c, next) => {
    c.set("start", (start ??= startService(c.env, originOf(c.req.url))));
    await next();
  });
}

const requireService = createMiddleware<AppEnv>(async (c, next) => {
  const { start } = c.var;
  if (!start.ok) throw new Failure("misconfigured", { why: start.problems.join("; ") });
  c.set("service", start.service);
  await next();
});
