// The middleware that lets a request with a good access token through, and tells the rest who reads.
import { createMiddleware } from "hono/factory";
import type { AppEnv } from "../service.ts";

export const authenticate = createMiddleware<AppEnv>(async (c, next) => {
  const { service, trace } = c.var;
  c.set("access", await service.admit(c.req.header("authorization") ?? "", trace));
  await next();
});
