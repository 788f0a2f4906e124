// The whole product on free ports of the loopback interface, for tests that come from outside: the stack with its seeded
// runs, and the Worker under wrangler. Guarantees that a start that fails leaves nothing running.
import { once } from "node:events";
import { createServer } from "node:net";
import { type Stack, startStack } from "../../dev/stack.ts";
import { startWorkerProcess } from "../../dev/worker-process.ts";

export interface ServedStack {
  /** The Worker's address. */
  url: string;
  stack: Stack;
  close(): Promise<void>;
}

/** Starts it; the signal gives the start up. */
export async function startServedStack(signal: AbortSignal): Promise<ServedStack> {
  const port = await findFreePort();
  const redirectUri = `http://127.0.0.1:${port}/docs`;
  const stack = await startStack({ seed: true, extraRedirectUris: [redirectUri] });
  try {
    const { authorizationServer } = stack;
    const variables = {
      ...stack.variables,
      AUTHORIZATION_ENDPOINT: authorizationServer.authorizationEndpoint,
      TOKEN_ENDPOINT: authorizationServer.tokenEndpoint,
      DOCS_CLIENT_ID: authorizationServer.publicClientId,
    };
    const worker = await startWorkerProcess({ port, variables, log: () => {}, signal });
    const close = async () => {
      await worker.stop();
      await stack.close();
    };
    return { url: worker.url, stack, close };
  } catch (error) {
    await stack.close();
    throw error;
  }
}

async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  await once(server.close(), "close");
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return address.port;
}
