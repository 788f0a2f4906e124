// Starts, once for the projects workerd and node, what their tests talk to; the function it gives back ends it.
import { execFileSync } from "node:child_process";
import type { TestProject } from "vitest/node";
import { startUpstreams } from "../../../dev/local-stack.ts";
import type {} from "../provided.ts";
import { startFaultProxyServer } from "./fault-proxy-server.ts";

export default async function setup({ vitest, provide }: TestProject): Promise<(() => Promise<void>) | undefined> {
  if (!vitest.projects.some(({ name }) => name === "workerd" || name === "node")) return undefined;
  // The pool wants the Worker's static files in place.
  execFileSync(process.execPath, ["docs/build.ts"], { cwd: `${import.meta.dirname}/../../..` });
  const stack = await startUpstreams();
  const proxies = await startFaultProxyServer();
  const { variables, ownerDatabaseUrl } = stack;
  provide("localStack", { variables, ownerDatabaseUrl, faultProxyServer: proxies.url });
  return async () => {
    await proxies.close();
    await stack.close();
  };
}
