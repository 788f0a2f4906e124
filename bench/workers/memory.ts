// The limit for a kept run: a bare hono route that returns the run's bytes from memory.
// It learns them once, from the benchmark, and checks nothing.

import { Hono } from "hono";

const bodies = new Map<string, Uint8Array>();
const app = new Hono<{ Bindings: { BODIES_URL: string } }>();

app.get("/api/crew-runs/:run_id", async (c) => {
  const id = c.req.param("run_id");
  let body = bodies.get(id);
  if (body === undefined) {
    const answer = await fetch(`${c.env.BODIES_URL}/${id}`);
    body = new Uint8Array(await answer.arrayBuffer());
    bodies.set(id, body);
  }
  return new Response(body, { headers: { "content-type": "application/json" } });
});

export default app;
