// GET /health and GET /ready: whether this Worker runs, and whether it can reach what it needs.
import type { Context } from "hono";
import { READINESS_MEMORY_SECONDS } from "./readiness.ts";
import type { AppEnv } from "./service.ts";

const HEADERS = { "cache-control": "no-store" };

/** Touches nothing: it says that the Worker runs. */
export const answerHealth = (): Response => Response.json({ status: "ok" }, { headers: HEADERS });

/** 200 where database and key set can be reached, else 503; says which, not why. */
export async function answerReadiness(c: Context<AppEnv>): Promise<Response> {
  const { start, trace } = c.var;
  const parts = start.ok ? await start.service.checkReadiness(trace) : { settings: "misconfigured" };
  const isReady = Object.values(parts).every((state) => state === "ok");
  if (isReady) return Response.json({ status: "ready", ...parts }, { headers: HEADERS });
  Object.assign(trace.notes, { code: "not_ready", why: JSON.stringify(parts) });
  const headers = { ...HEADERS, "retry-after": String(READINESS_MEMORY_SECONDS) };
  return Response.json({ status: "not_ready", ...parts }, { status: 503, headers });
}
