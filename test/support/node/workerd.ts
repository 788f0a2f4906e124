// Starts a bundle under bare workerd on a free loopback port: no proxy, no dev server. The data-center cache is whatever
// server the caller names. What is sent to the Worker, and what is measured, is left to others.
import { rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { Bundle } from "./bundle.ts";
import { end, start } from "./child-process.ts";

// The binary itself: unless workerd's install script has run, bin/workerd is a script that passes no further descriptors on.
const { default: PROGRAM } = createRequire(import.meta.url)("workerd") as { default: string };

export interface Workerd {
  readonly pid: number;
  readonly origin: string;
  end(): Promise<void>;
}

interface WorkerdOptions {
  bundle: Bundle;
  /** Text bindings. */
  variables: Record<string, string>;
  /** `host:port` of a server that plays the data-center cache. Without it there is no such cache. */
  cacheAddress?: string;
  v8Flags?: string[];
}

/** Cap'n Proto's text form takes the escapes of C strings, which are JSON's for all but control characters. */
function quote(text: string): string {
  return JSON.stringify(text).replaceAll(/\\u00([0-9a-f]{2})/g, String.raw`\x$1`);
}

function describeWorker({ bundle, variables, cacheAddress = "", v8Flags = [] }: WorkerdOptions): string {
  const modules = bundle.modules.map((name) => `(name = ${quote(name)}, esModule = embed ${quote(name)})`);
  const bindings = Object.entries(variables).map(([name, text]) => `(name = ${quote(name)}, text = ${quote(text)})`);
  const cacheService = `(name = "cache", external = (address = ${quote(cacheAddress)}, http = ())),`;
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  v8Flags = [${v8Flags.map(quote).join(", ")}],
  services = [
    (name = "worker", worker = (
      modules = [${modules.join(", ")}],
      compatibilityDate = ${quote(bundle.compatibilityDate)},
      compatibilityFlags = [${bundle.compatibilityFlags.map(quote).join(", ")}],
      bindings = [${bindings.join(", ")}],
      ${cacheAddress && `cacheApiOutbound = "cache",`}
      globalOutbound = "loopback",
    )),
    ${cacheAddress && cacheService}
    (name = "loopback", network = (allow = ["local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "worker")],
);
`;
}

let configurations = 0;

/** Starts workerd and waits until it listens. What the Worker logs is thrown away. */
export async function startWorkerd(options: WorkerdOptions): Promise<Workerd> {
  const path = join(options.bundle.directory, `workerd-${configurations++}.capnp`);
  await writeFile(path, describeWorker(options));
  const child = start(PROGRAM, ["serve", path, "config", "--control-fd=3"], {
    stdio: ["ignore", "ignore", "pipe", "pipe"],
  });
  let complaints = "";
  child.stderr?.on("data", (chunk: Buffer) => (complaints = (complaints + chunk).slice(-4_000)));
  const port = await readPort(child.stdio[3] as Readable).finally(() => rm(path));
  if (port === undefined || child.pid === undefined) throw new Error(`workerd did not start:\n${complaints}`);
  return { pid: child.pid, origin: `http://127.0.0.1:${port}`, end: () => end(child) };
}

/** The port from workerd's control messages, one JSON object per line; undefined if it ends without one. */
async function readPort(control: Readable): Promise<number | undefined> {
  for await (const line of createInterface(control)) {
    const { socket, port } = JSON.parse(line) as { socket?: string; port?: number };
    if (socket === "http") return port;
  }
  return undefined;
}
