// Load that costs little next to what it loads: kept-alive connections, a fixed number of requests, by autocannon. README.md says
// why that matters.
import autocannon from "autocannon";

const CONNECTIONS = 16;

export interface Target {
  url: string;
  headers: Record<string, string>;
  /** Of every response. */
  status: number;
}

/** Sends `amount` requests. Throws if a response has another status, or if there is none. */
export async function load({ url, headers, status }: Target, amount: number): Promise<void> {
  const { statusCodeStats, errors, timeouts } = await autocannon({ url, headers, amount, connections: CONNECTIONS });
  const statuses = Object.entries(statusCodeStats ?? {}).map(([code, { count }]) => `${count} × ${code}`);
  if (statuses.join() === `${amount} × ${status}`) return;
  throw new Error(`${url}: ${statuses.join(", ")}, ${errors} errors, ${timeouts} of them time-outs`);
}
