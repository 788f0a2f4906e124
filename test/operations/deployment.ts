// The local stack in the role of production: the real Worker under wrangler, its log lines, and a way to break what it needs.
import { once } from "node:events";
import { createServer } from "node:net";
import { type Stack, startStack } from "../../dev/stack.ts";
import { type WorkerProcess, startWorkerProcess } from "../../dev/worker-process.ts";
import type { Fault, LaneAddress } from "../stack/lane-protocol.ts";
import { type UnreliableUpstream, startUnreliableUpstream } from "../stack/unreliable-upstream.ts";

export interface Deployment {
  stack: Stack;
  origin: string;
  /** Everything that the Worker has logged. */
  lines: string[];
  /** From the next request on; `none` heals. */
  breakDatabase(fault: Fault): Promise<void>;
  breakKeySet(fault: Fault): Promise<void>;
  close(): Promise<void>;
}

/** @param variables settings of the Worker, in addition to the stack's or in their place */
export async function startDeployment(variables: Record<string, string> = {}): Promise<Deployment> {
  const [stack, upstream] = await Promise.all([startStack({ seed: true }), startUnreliableUpstream()]);
  const closeRest = async () => {
    await upstream.close();
    await stack.close();
  };
  const database = await openLane(upstream, stack.variables.NEON_FETCH_ENDPOINT);
  const keySet = await openLane(upstream, stack.variables.JWKS_URL);
  const lines: string[] = [];
  try {
    const worker = await startWorker(
      { ...stack.variables, NEON_FETCH_ENDPOINT: database.url, JWKS_URL: keySet.url, ...variables },
      (line) => void lines.push(line),
    );
    return {
      stack,
      origin: worker.url,
      lines,
      breakDatabase: (fault) => breakLane(upstream, database, fault),
      breakKeySet: (fault) => breakLane(upstream, keySet, fault),
      async close() {
        await worker.stop();
        await closeRest();
      },
    };
  } catch (error) {
    await closeRest();
    throw error;
  }
}

/** wrangler takes a port, not "any": between the search and its use another process may have taken it. */
async function startWorker(variables: Record<string, string>, log: (line: string) => void): Promise<WorkerProcess> {
  for (let attempt = 1; ; attempt++) {
    const port = await findFreePort();
    try {
      return await startWorkerProcess({ port, variables, log, signal: AbortSignal.timeout(60_000) });
    } catch (error) {
      if (attempt === 3 || !String(error).includes("Address already in use")) throw error;
    }
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

async function openLane({ url }: UnreliableUpstream, target: string): Promise<LaneAddress> {
  const response = await fetch(`${url}/lanes`, { method: "POST", body: JSON.stringify({ target }) });
  return (await response.json()) as LaneAddress;
}

async function breakLane({ url }: UnreliableUpstream, { id }: LaneAddress, fault: Fault): Promise<void> {
  await fetch(`${url}/lanes/${id}/fault`, { method: "PUT", body: JSON.stringify(fault) });
}
