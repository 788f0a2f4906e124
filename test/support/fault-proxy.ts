// Opens fault proxies for tests in workerd, at the server of node/fault-proxy-server.ts.
import { inject } from "vitest";
import type { FaultProxy, FaultProxyState, Upstream } from "./fault-proxy-protocol.ts";

/** Opens a fault proxy for this test, to the given address or with a fixed response (200 and JSON by default). */
export async function openFaultProxy(upstream: Upstream): Promise<FaultProxy> {
  const { id, url } = await send<{ id: string; url: string }>("POST", "", upstream);
  const readState = () => send<FaultProxyState>("GET", `/${id}`);
  const fail: FaultProxy["fail"] = async (fault) => void (await send("PUT", `/${id}/fault`, fault));
  return {
    url,
    fail,
    heal: () => fail({ kind: "none" }),
    serve: async (response) => void (await send("PUT", `/${id}/response`, response)),
    received: async () => (await readState()).received,
    held: async () => (await readState()).held,
    unfinished: async () => (await readState()).unfinished,
    requests: async () => (await readState()).requests,
  };
}

/** A fault proxy in front of the local stack's database. */
export const openDatabaseProxy = (): Promise<FaultProxy> =>
  openFaultProxy(inject("localStack").variables.NEON_FETCH_ENDPOINT);

async function send<T>(method: string, path: string, value?: unknown): Promise<T> {
  const response = await fetch(`${inject("localStack").faultProxyServer}/proxies${path}`, {
    method,
    ...(value !== undefined && { body: JSON.stringify(value) }),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  return response.json<T>();
}
