// GET /health and GET /ready: whether this Worker runs, and whether it can reach what it needs.
import type { Context } from "hono";
import { READINESS_MEMORY_SECONDS } from "./readiness.ts";
import type { AppEnv } from "./service.ts";

/** Touches nothing: it says that the Worker runs. */
export function answerHealth(): Response {
  return answerJson({ status: "ok" }, 200);
}

/** 200 where database and key set can be reached, else 503; says which, not why. */
export async function answerReadiness(c: Context<AppEnv>): Promise<Response> {
  const { start, trace } = c.var;
  const parts = start.ok ? await start.service.readiness.check(trace) : { settings: "misconfigured" };
  const isReady = Object.values(parts).every((state) => state === "ok");
  const response = answerJson({ status: isReady ? "ready" : "not_ready", ...parts }, isReady ? 200 : 503);
  if (!isReady) {
    response.headers.set("retry-after", String(READINESS_MEMORY_SECONDS));
    Object.assign(trace.notes, { code: "not_ready", why: JSON.stringify(parts) });
  }
  return response;
}

function answerJson(body: object, status: number): Response {
  const response = Response.json(body, { status });
  response.headers.set("cache-control", "no-store");
  return response;
}
