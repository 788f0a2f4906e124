// The load generator's process: autocannon against one address, a fixed number of requests.
// It reports latency in microseconds and every answer's status; what CPU the server used is read by the caller.

import autocannon from "autocannon";
import { answerCalls } from "./processes.ts";

export type LoadRequest = { path: string; headers: Record<string, string> };

export type LoadCall = {
  origin: string;
  /** Spread evenly over the connections, each of which repeats its share in order. */
  requests: LoadRequest[];
  connections: number;
  amount: number;
};

export type LoadReply = {
  statuses: Record<string, number>;
  errors: number;
  seconds: number;
  /** One per answer, in milliseconds, in order of arrival. */
  latenciesMilliseconds: Float64Array;
  bytes: number;
};

function load({ origin, requests, connections, amount }: LoadCall): Promise<LoadReply> {
  const { promise, resolve, reject } = Promise.withResolvers<LoadReply>();
  const statuses: Record<string, number> = {};
  const latenciesMilliseconds = new Float64Array(amount);
  let answers = 0;
  let bytes = 0;
  let errors = 0;
  let opened = 0;
  const startedAt = performance.now();
  let lastAt = startedAt;
  const instance = autocannon(
    {
      url: origin,
      connections,
      amount,
      timeout: 30,
      // How often it looks whether it is done, in milliseconds.
      sampleInt: 20,
      // A list given as an option is cloned deeply for each connection: slow with 10,000 requests.
      setupClient(client) {
        const first = opened++ % connections;
        const own = requests.filter((_, index) => index % connections === first % requests.length);
        client.setRequests(own.map((request) => ({ ...request })));
      },
    },
    (error) => {
      if (error) return reject(error);
      resolve({
        statuses,
        errors,
        seconds: (lastAt - startedAt) / 1000,
        latenciesMilliseconds: latenciesMilliseconds.subarray(0, answers),
        bytes,
      });
    },
  );
  instance.on("response", (_client, status, size, milliseconds) => {
    statuses[status] = (statuses[status] ?? 0) + 1;
    if (answers < amount) latenciesMilliseconds[answers++] = milliseconds;
    bytes += size;
    lastAt = performance.now();
  });
  instance.on("reqError", () => errors++);
  return promise;
}

answerCalls(load);
