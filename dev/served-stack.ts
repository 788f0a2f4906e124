// The local stack with its seeded runs and the Worker under wrangler, whose address is the audience of the tokens. `npm run dev`,
// `npm run smoke -- --local` and tests from outside start it. Guarantees that a failed or aborted start leaves nothing running.
import { createServer } from "node:http";
import { listenOnLoopback } from "./loopback.ts";
import { type Stack, startStack } from "./stack.ts";
import { startWorkerProcess } from "./worker-process.ts";

export interface Ports {
  worker: number;
  sql: number;
  authorizationServer: number;
}

interface ServedStackOptions {
  /** Aborts the start. */
  signal: AbortSignal;
  /** Free ports if left out or 0. */
  ports?: Ports;
  /** A folder for the database; in memory if left out. */
  dataDirectory?: string | undefined;
  /** Gets each line that the Worker logs, and one for each step of the start. */
  log?: (line: string) => void;
  /** Settings of the Worker, in addition to the stack's or in their place. */
  chooseSettings?: (stack: Stack) => Promise<Record<string, string>>;
}

export interface ServedStack {
  /** The Worker's address, without a trailing slash. */
  url: string;
  stack: Stack;
  /** Rejects when the Worker ends by itself; never resolves. */
  ended: Promise<never>;
  close(): Promise<void>;
}

/** Starts stack and Worker. Throws Node's listen error (`code`, `port`) for a taken port. */
export async function startServedStack(options: ServedStackOptions): Promise<ServedStack> {
  const { signal, ports, dataDirectory, log = () => {} } = options;
  log("starting: database, SQL endpoint, authorization server");
  const port = ports?.worker ? await checkPort(ports.worker) : await findFreePort();
  const stack = await startStack({ audience: `http://127.0.0.1:${port}`, ports, dataDirectory, seed: true });
  try {
    signal.throwIfAborted();
    log("starting: Worker (wrangler dev)");
    const variables = {
      ...stack.variables,
      DOCS_CLIENT_ID: stack.authorizationServer.publicClientId,
      ...(await options.chooseSettings?.(stack)),
    };
    const worker = await startWorkerProcess({ port, variables, log, signal });
    const close = async () => {
      await worker.stop();
      await stack.close();
    };
    return { url: worker.url, stack, ended: worker.ended, close };
  } catch (error) {
    await stack.close();
    throw error;
  }
}

/** Gives the port back. Throws the listen error if it cannot be used: wrangler's own error would come late and be long. */
async function checkPort(port: number): Promise<number> {
  await (await listenOnLoopback(createServer(), port)).close();
  return port;
}

/** Below the ports that the system assigns, so that no process takes it between this search and its use. */
async function findFreePort(): Promise<number> {
  for (;;) {
    const port = await checkPort(20_000 + Math.floor(Math.random() * 12_000)).catch(() => undefined);
    if (port !== undefined) return port;
  }
}
