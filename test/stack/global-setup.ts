// Starts, in Node and once for all test files, what the tests in workerd talk to; the function it gives back ends it.
import { execFileSync } from "node:child_process";
import type { TestProject } from "vitest/node";
import { startStack } from "../../dev/stack.ts";
import type {} from "./addresses.ts";
import { startUnreliableUpstream } from "./unreliable-upstream.ts";

export default async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  // The pool wants the Worker's static files in place.
  execFileSync(process.execPath, ["docs/build.ts"], { cwd: `${import.meta.dirname}/../..` });
  const stack = await startStack();
  const upstream = await startUnreliableUpstream(stack.variables.NEON_FETCH_ENDPOINT);
  const { tokenEndpoint, clients } = stack.authorizationServer;
  provide("stack", {
    variables: stack.variables,
    ownerDatabaseUrl: stack.ownerDatabaseUrl,
    tokenEndpoint,
    clients,
    unreliableUpstream: upstream.url,
  });
  return async () => {
    await upstream.close();
    await stack.close();
  };
}
