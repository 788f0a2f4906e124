// V8's inspector in workerd, over a WebSocket: what it is asked is the caller's matter.

import { once } from "node:events";
import { createServer } from "node:net";

export type Inspector = { send(method: string, parameters?: object): Promise<unknown>; close(): void };

/** A port of the loopback interface that was free a moment ago. */
export async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}

/** Connects to the Worker in a workerd that was started with this address. */
export async function connectInspector(address: string): Promise<Inspector> {
  const answer = await fetch(`http://${address}/json`);
  const targets = (await answer.json()) as { id: string; webSocketDebuggerUrl: string }[];
  const target = targets.find(({ id }) => id.includes("worker")) ?? targets[0];
  if (target === undefined) throw new Error("workerd's inspector offers no target");
  const socket = new WebSocket(target.webSocketDebuggerUrl);
  await once(socket, "open", { signal: AbortSignal.timeout(5_000) });
  const waiting = new Map<number, PromiseWithResolvers<unknown>>();
  let lastId = 0;
  socket.addEventListener("message", ({ data }) => {
    const message = JSON.parse(String(data)) as { id?: number; result?: unknown; error?: object };
    const call = waiting.get(message.id ?? 0);
    if (message.error) call?.reject(new Error(JSON.stringify(message.error)));
    else call?.resolve(message.result);
  });
  socket.addEventListener("close", () => {
    for (const call of waiting.values()) call.reject(new Error("the inspector hung up"));
  });
  return {
    send(method, parameters = {}) {
      const call = Promise.withResolvers<unknown>();
      const timer = setTimeout(() => call.reject(new Error(`${method} took over 30 s`)), 30_000);
      waiting.set(++lastId, call);
      socket.send(JSON.stringify({ id: lastId, method, params: parameters }));
      return call.promise.finally(() => clearTimeout(timer));
    },
    close: () => socket.close(),
  };
}
