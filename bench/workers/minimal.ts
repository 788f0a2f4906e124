// A minimal Worker that we wrote for comparison, with the same libraries: it handles the normal case of the contract, without caches or
// hardening.

import { neon, neonConfig } from "@neondatabase/serverless";
import { Hono } from "hono";
import { createRemoteJWKSet, type JWTVerifyGetKey, jwtVerify } from "jose";
import { z } from "zod";

type Settings = Record<"DATABASE_URL" | "NEON_FETCH_ENDPOINT" | "JWT_ISSUER" | "JWT_AUDIENCE" | "JWKS_URL", string>;

const Agent = z.object({
  id: z.string().nullable().default(null),
  role: z.string(),
  goal: z.string(),
  backstory: z.string(),
  verbose: z.boolean().default(false),
  allow_delegation: z.boolean().default(false),
  tools: z.array(z.string()).default([]),
  use_default_mcps: z.boolean().default(true),
});

const Task = z.object({
  description: z.string(),
  agent_index: z.number().default(0),
  expected_output: z.string().default(""),
  tools: z.array(z.string()).default([]),
});

const CrewConfig = z.object({
  id: z.string().nullable().default(null),
  agents: z.array(Agent),
  tasks: z.array(Task),
  verbose: z.boolean().default(false),
  process: z.string().default("sequential"),
});

const CrewRun = z.object({
  id: z.string(),
  correlation_id: z.string(),
  owner_id: z.string(),
  status: z.enum(["pending", "running", "completed", "failed"]),
  created_at: z.coerce.date(),
  crew_type: z.string().nullable(),
  crew_config: CrewConfig.nullable(),
  task_input: z.record(z.string(), z.unknown()).nullable(),
  result: z.string().nullable(),
  error: z.string().nullable(),
  started_at: z.coerce.date().nullable(),
  completed_at: z.coerce.date().nullable(),
});

let keySet: JWTVerifyGetKey | undefined;

const app = new Hono<{ Bindings: Settings }>();

app.get("/api/crew-runs/:run_id", async (c) => {
  const token = c.req.header("Authorization")?.replace(/^Bearer /, "");
  if (!token) return c.json({ detail: "Not authenticated" }, 401);
  keySet ??= createRemoteJWKSet(new URL(c.env.JWKS_URL));
  let subject: string | undefined;
  let isAdmin = false;
  try {
    const { payload } = await jwtVerify(token, keySet, {
      issuer: c.env.JWT_ISSUER,
      audience: c.env.JWT_AUDIENCE,
    });
    subject = payload.sub;
    isAdmin = String(payload["scope"]).split(" ").includes("crew-runs:admin");
  } catch {
    return c.json({ detail: "Could not validate credentials" }, 401);
  }
  const id = z.uuid().safeParse(c.req.param("run_id"));
  if (!id.success) return c.json({ detail: id.error.issues }, 422);
  if (c.env.NEON_FETCH_ENDPOINT) neonConfig.fetchEndpoint = c.env.NEON_FETCH_ENDPOINT;
  const sql = neon(c.env.DATABASE_URL);
  const [row] = await sql`select * from crew_runs where id = ${id.data}`;
  if (!row || (row["owner_id"] !== subject && !isAdmin)) {
    return c.json({ detail: "Run not found" }, 404);
  }
  return c.json(CrewRun.parse(row));
});

export default app;
