// The part of autocannon's interface that load.ts uses; the package brings no types.

declare module "autocannon" {
  import type { EventEmitter } from "node:events";

  type Request = { path: string; headers: Record<string, string> };

  interface Client {
    setRequests(requests: Request[]): void;
  }

  interface Options {
    url: string;
    connections: number;
    amount: number;
    timeout: number;
    sampleInt: number;
    setupClient(client: Client): void;
  }

  interface Instance extends EventEmitter {
    on(
      event: "response",
      listener: (client: Client, status: number, bytes: number, milliseconds: number) => void,
    ): this;
    on(event: "reqError", listener: (error: Error) => void): this;
  }

  export default function autocannon(options: Options, callback: (error: Error | null) => void): Instance;
}
