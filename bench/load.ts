// Load over kept-alive connections, by autocannon or by wrk. README.md says how their figures differ.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import autocannon from "autocannon";

const CONNECTIONS = 16;
const WRK_SECONDS = 1;
const TIMEOUT_MS = 60_000;

export type Client = "autocannon" | "wrk";

export interface Target {
  url: string;
  headers: Record<string, string>;
  /** Of every response. */
  status: number;
}

/**
 * Sends `amount` requests; wrk, which can't count, sends for a second instead. Returns how many requests got a response. Throws if a
 * response has another status (wrk: any above 399), or if there is none.
 */
export async function load(target: Target, amount: number, client: Client = "autocannon"): Promise<number> {
  return client === "wrk" ? loadByWrk(target) : loadByAutocannon(target, amount);
}

async function loadByAutocannon({ url, headers, status }: Target, amount: number): Promise<number> {
  const { statusCodeStats, errors, timeouts } = await autocannon({ url, headers, amount, connections: CONNECTIONS });
  const statuses = Object.entries(statusCodeStats ?? {}).map(([code, { count }]) => `${count} × ${code}`);
  if (statuses.join() === `${amount} × ${status}`) return amount;
  throw new Error(`${url}: ${statuses.join(", ")}, ${errors} errors, ${timeouts} of them timeouts`);
}

async function loadByWrk({ url, headers: { host, ...headers } }: Target): Promise<number> {
  // wrk adds a second Host unless it is written like this.
  const fields = Object.entries({ ...headers, Host: host }).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
  const output = await runWrk(["-t1", `-c${CONNECTIONS}`, `-d${WRK_SECONDS}s`, ...fields, url]);
  const amount = Number(/^ *(\d+) requests in/m.exec(output)?.[1]);
  if (amount > 0 && !/Non-2xx|Socket errors/.test(output)) return amount;
  throw new Error(`${url}:\n${output}`);
}

async function runWrk(args: string[]): Promise<string> {
  return (await promisify(execFile)("wrk", args, { timeout: TIMEOUT_MS })).stdout;
}

/** Returns wrk's version, or undefined if it isn't installed. */
export async function findWrk(): Promise<string | undefined> {
  // `wrk -v` prints its version and its options, and exits with 1.
  const output = await runWrk(["-v"]).catch((error: { stdout?: string }) => error.stdout ?? "");
  return /^(wrk \S+)/.exec(output)?.[1];
}
