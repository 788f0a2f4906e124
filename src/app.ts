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
import { type AppEnv, type Bindings, type Start, startService } from "./service.ts";

const CREW_RUN_PATH = "/api/crew-runs/:run_id";
const READ_PATHS = [CREW_RUN_PATH, "/health", "/ready", RESOURCE_METADATA_PATH, `${RESOURCE_METADATA_PATH}/*`];

/** The application. Its state lives as long as the isolate, or as the environment that it is called with. */
export function createApp(): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.use(trackRequest, provideService(), grantOrigin);

  app.get(CREW_RUN_PATH, requireService, authenticate, getCrewRun);
  app.get("/health", answerHealth);
  app.get("/ready", answerReadiness);
  app.get(RESOURCE_METADATA_PATH, requireService, answerResourceMetadata);
  app.get(`${RESOURCE_METADATA_PATH}/*`, requireService, answerResourceMetadata);
  // Hono answers another method with 404 (honojs/hono#4262).
  for (const path of READ_PATHS) app.all(path, (c) => refuse(c, new Failure("method_not_allowed")));

  app.notFound((c) => refuse(c, new Failure("not_found")));
  app.onError((error, c) => refuse(c, error instanceof Failure ? error : describeUnforeseen(error, c)));
  return app;
}

function refuse(c: Context<AppEnv>, failure: Failure): Response {
  const { notes } = c.var.trace;
  notes.code = failure.code;
  notes.why = failure.details.why;
  const { requestId, start } = c.var;
  const requiredScope = start?.ok ? start.service.settings.REQUIRED_SCOPE : undefined;
  return answerFailure(failure, { requestId, origin: originOf(c.req.url), requiredScope });
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
  const started = new WeakMap<Bindings, Start>();
  return createMiddleware<AppEnv>(async (c, next) => {
    let start = started.get(c.env);
    if (start === undefined) started.set(c.env, (start = startService(c.env, originOf(c.req.url))));
    c.set("start", start);
    await next();
  });
}

const requireService = createMiddleware<AppEnv>(async (c, next) => {
  const { start } = c.var;
  if (!start.ok) throw new Failure("misconfigured", { why: start.problems.join("; ") });
  c.set("service", start.service);
  await next();
});
