// GET /health and GET /ready: whether this Worker runs, and whether it has what it needs.
import type { Context } from "hono";
import type { AppEnv } from "../env.ts";
import { READINESS_MEMORY_SECONDS } from "./readiness.ts";

const HEADERS = { "cache-control": "no-store" };

/** Checks nothing: the Worker runs. */
export const getHealth = (): Response => Response.json({ status: "ok" }, { headers: HEADERS });

/** 200 if everything that is checked is there, else 503; names the part, not the cause. */
export async function getReadiness(c: Context<AppEnv>): Promise<Response> {
  const [start, trace] = [c.get("start"), c.get("trace")];
  const parts = start.ok ? await start.service.checkReadiness(trace) : { settings: "misconfigured" };
  const isReady = Object.values(parts).every((state) => state === "ok" || state === "not_checked");
  if (isReady) return Response.json({ status: "ready", ...parts }, { headers: HEADERS });
  Object.assign(trace.notes, { code: "not_ready", why: JSON.stringify(parts) });
  const headers = { ...HEADERS, "retry-after": String(READINESS_MEMORY_SECONDS) };
  return Response.json({ status: "not_ready", ...parts }, { status: 503, headers });
}
