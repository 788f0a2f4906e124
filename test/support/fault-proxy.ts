// Opens fault proxies.
import { inject } from "vitest";
import { type FaultProxy, type Upstream, openFaultProxyAt } from "./fault-proxy-protocol.ts";

/** Opens a fault proxy for this test, to the given address or with a fixed response (200 and JSON by default). */
export const openFaultProxy = (upstream: Upstream): Promise<FaultProxy> =>
  openFaultProxyAt(inject("localStack").faultProxyServer, upstream);

/** A fault proxy in front of the local stack's database. */
export const openDatabaseProxy = (): Promise<FaultProxy> =>
  openFaultProxy(inject("localStack").variables.NEON_FETCH_ENDPOINT);
