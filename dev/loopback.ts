// An HTTP server for this machine alone. The caller handles its requests.
import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

export interface Loopback {
  /** Such as http://127.0.0.1:8788. */
  url: string;
  /** Stops listening and ends open connections. */
  close(): Promise<void>;
}

/** Lets a server listen on 127.0.0.1, on a free port if it is 0. Throws Node's error (`code`, `port`) if it is taken. */
export async function listenOnLoopback(server: Server, port = 0): Promise<Loopback> {
  await once(server.listen(port, "127.0.0.1"), "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}
