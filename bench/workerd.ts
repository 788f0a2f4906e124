// Starts a bundle under bare workerd on a free loopback port: no proxy, no dev server, no data-centre cache
// unless the address of one is given. What is sent to it, and what is measured, is left to others.

import { readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type { Bundle } from "./bundle.ts";
import { end, start } from "./processes.ts";

const program = createRequire(import.meta.url).resolve("workerd/bin/workerd");

export type Workerd = { readonly pid: number; readonly origin: string; end(): Promise<void> };

export type WorkerdOptions = {
  bundle: Bundle;
  /** Text bindings, over those of the bundle's own configuration. */
  variables: Record<string, string>;
  /** `host:port` of a service that plays the data centre's cache. */
  cacheAddress?: string;
  /** `host:port` on which V8's inspector listens. */
  inspectorAddress?: string;
};

// Cap'n Proto's text form takes the escapes of C strings; ASCII in JSON's spelling is a subset but for \u.
const quote = (text: string): string => JSON.stringify(text).replaceAll(/\\u00([0-9a-f]{2})/g, String.raw`\x$1`);

const moduleKinds: Record<string, string> = {
  js: "esModule",
  mjs: "esModule",
  cjs: "commonJsModule",
  wasm: "wasm",
  json: "json",
  txt: "text",
  html: "text",
  bin: "data",
};

function describeModule(name: string): string {
  const kind = moduleKinds[name.slice(name.lastIndexOf(".") + 1)];
  if (kind === undefined) throw new Error(`do not know what kind of module ${name} is`);
  return `(name = ${quote(name)}, ${kind} = embed ${quote(name)})`;
}

function describeWorker({ bundle, variables, cacheAddress }: WorkerdOptions): string {
  const bindings = Object.entries({ ...bundle.variables, ...variables }).map(
    ([name, value]) => `(name = ${quote(name)}, text = ${quote(value)})`,
  );
  if (bundle.assetsBinding !== undefined) {
    bindings.push(`(name = ${quote(bundle.assetsBinding)}, service = "no-assets")`);
  }
  const cache = cacheAddress === undefined ? "" : `cacheApiOutbound = "cache",`;
  const cacheService =
    cacheAddress === undefined ? "" : `(name = "cache", external = (address = ${quote(cacheAddress)}, http = ())),`;
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "worker", worker = (
      modules = [${bundle.modules.map(describeModule).join(", ")}],
      compatibilityDate = ${quote(bundle.compatibilityDate)},
      compatibilityFlags = [${bundle.compatibilityFlags.map(quote).join(", ")}],
      bindings = [${bindings.join(", ")}],
      ${cache}
      globalOutbound = "loopback",
    )),
    ${cacheService}
    (name = "no-assets", worker = (
      serviceWorkerScript = "addEventListener('fetch', e => e.respondWith(new Response(null, { status: 404 })))",
      compatibilityDate = ${quote(bundle.compatibilityDate)},
    )),
    (name = "loopback", network = (allow = ["local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "worker")],
);
`;
}

let configurations = 0;

/** Starts workerd and waits until its socket listens. What the Worker logs goes to /dev/null. */
export async function startWorkerd(options: WorkerdOptions): Promise<Workerd> {
  const name = `workerd-${process.pid}-${configurations++}.capnp`;
  const path = join(options.bundle.directory, name);
  await writeFile(path, describeWorker(options));
  const inspector = options.inspectorAddress === undefined ? [] : [`--inspector-addr=${options.inspectorAddress}`];
  const child = start(
    program,
    ["serve", path, "config", "--control-fd=3", ...inspector],
    ["ignore", "ignore", "pipe", "pipe"],
  );
  let complaints = "";
  child.stderr?.on("data", (chunk: Buffer) => (complaints = (complaints + chunk).slice(-4000)));
  try {
    const port = await readPort(child.stdio[3] as Readable);
    if (port === undefined || child.pid === undefined) {
      throw new Error(`workerd did not start ${options.bundle.name}:\n${complaints}`);
    }
    return { pid: child.pid, origin: `http://127.0.0.1:${port}`, end: () => end(child) };
  } catch (error) {
    await end(child);
    throw error;
  } finally {
    await rm(path);
  }
}

/** The port from workerd's control messages, one JSON object a line; undefined when it ends without one. */
function readPort(control: Readable): Promise<number | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
  const timer = setTimeout(() => reject(new Error("workerd took over 20 s to start")), 20_000);
  let text = "";
  control.on("data", (chunk: Buffer) => {
    text += chunk.toString();
    const match = /"socket":"http","port":(\d+)/.exec(text);
    if (match) resolve(Number(match[1]));
  });
  control.on("close", () => resolve(undefined));
  return promise.finally(() => clearTimeout(timer));
}

/** workerd's version, as it says it. */
export async function readWorkerdVersion(): Promise<string> {
  const path = createRequire(import.meta.url).resolve("workerd/package.json");
  return (JSON.parse(await readFile(path, "utf8")) as { version: string }).version;
}
