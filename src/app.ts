// Maps paths to their handlers, and puts every failure on the wire.
import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import { Hono } from "hono/tiny";
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
  let start: Start | undefined;
  // Without usable settings there is no service; routes that need none still answer.
  const provideService = createMiddleware<AppEnv>(async (c, next) => {
    c.set("start", (start ??= startService(c.env, originOf(c.req.url))));
    await next();
  });
  app.use(trackRequest, provideService, grantOrigin);

  app.get("/api/crew-runs/:run_id", requireService, authenticate, getCrewRun).all(refuseMethod);
  app.get("/health", answerHealth).all(refuseMethod);
  app.get("/ready", answerReadiness).all(refuseMethod);
  app.get(`${RESOURCE_METADATA_PATH}/*`, requireService, answerResourceMetadata).all(refuseMethod);
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
  c.var.trace.notes.stack = error.stack?.match(/(?<=^ +)at .*$/gm)?.join("\n");
  return new Failure("internal_error", { why: error.name });
}

const requireService = createMiddleware<AppEnv>(async (c, next) => {
  const { start } = c.var;
  if (!start.ok) throw new Failure("misconfigured", { why: start.problems.join("; ") });
  c.set("service", start.service);
  await next();
});

const authenticate = createMiddleware<AppEnv>(async (c, next) => {
  const { service, trace } = c.var;
  c.set("access", await service.admit(c.req.header("authorization") ?? "", trace));
  await next();
});
