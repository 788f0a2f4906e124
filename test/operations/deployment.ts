// The local stack in the role of production: the real Worker under wrangler, its log lines, and a way to break the database
// and the key set.
import { type ServedStack, startServedStack } from "../../dev/served-stack.ts";
import type { Fault } from "../stack/lane-protocol.ts";
import { type OpenLane, startUnreliableUpstream } from "../stack/unreliable-upstream.ts";

export interface Deployment extends ServedStack {
  /** Everything that the Worker has logged. */
  lines: string[];
  /** From the next request on; `none` heals. */
  breakDatabase(fault: Fault): Promise<void>;
  breakKeySet(fault: Fault): Promise<void>;
}

/** `variables` are settings of the Worker, in addition to the stack's or in their place. */
export async function startDeployment(variables: Record<string, string> = {}): Promise<Deployment> {
  const upstream = await startUnreliableUpstream();
  let database: OpenLane | undefined;
  let keySet: OpenLane | undefined;
  const lines: string[] = [];
  try {
    const served = await startServedStack({
      signal: AbortSignal.timeout(60_000),
      log: (line) => lines.push(line),
      async chooseSettings({ variables: { NEON_FETCH_ENDPOINT, JWKS_URL } }) {
        database = upstream.openLane(NEON_FETCH_ENDPOINT);
        keySet = upstream.openLane(JWKS_URL);
        return { NEON_FETCH_ENDPOINT: database.url, JWKS_URL: keySet.url, ...variables };
      },
    });
    return {
      ...served,
      lines,
      breakDatabase: async (fault) => database?.fail(fault),
      breakKeySet: async (fault) => keySet?.fail(fault),
      async close() {
        await served.close();
        await upstream.close();
      },
    };
  } catch (error) {
    await upstream.close();
    throw error;
  }
}
