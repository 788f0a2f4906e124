// The local stack as tests in Node use it: the real Worker under `wrangler dev`, its log lines, and fault proxies in front of
// its database and its key set.
import * as dev from "../../../dev/local-stack.ts";
import type { FaultProxy } from "../fault-proxy-protocol.ts";
import { startFaultProxyServer } from "./fault-proxy-server.ts";

const START_TIMEOUT_MS = 60_000;

export interface LocalStack extends dev.LocalStack {
  /** Every line that the Worker has logged. */
  lines: string[];
  databaseProxy: FaultProxy;
  keySetProxy: FaultProxy;
}

/** `variables` are settings of the Worker, in addition to the local stack's or in their place. */
export async function startLocalStack(variables: Record<string, string> = {}): Promise<LocalStack> {
  const proxies = await startFaultProxyServer();
  const lines: string[] = [];
  const opened = { databaseProxy: proxies.open(""), keySetProxy: proxies.open("") };
  try {
    const served = await dev.startLocalStack({
      signal: AbortSignal.timeout(START_TIMEOUT_MS),
      log: (line) => lines.push(line),
      async chooseSettings({ variables: { NEON_FETCH_ENDPOINT, JWKS_URL } }) {
        opened.databaseProxy = proxies.open(NEON_FETCH_ENDPOINT);
        opened.keySetProxy = proxies.open(JWKS_URL);
        const { databaseProxy, keySetProxy } = opened;
        return { NEON_FETCH_ENDPOINT: databaseProxy.url, JWKS_URL: keySetProxy.url, ...variables };
      },
    });
    return {
      ...served,
      ...opened,
      lines,
      async close() {
        await served.close();
        await proxies.close();
      },
    };
  } catch (error) {
    await proxies.close();
    throw error;
  }
}
