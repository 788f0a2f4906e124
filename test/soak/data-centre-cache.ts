// A stand-in for a data centre's cache, as workerd speaks to it: PUT carries a whole HTTP response, GET asks for it and is
// told by `cf-cache-status` whether it hit. An entry lives for its max-age; the oldest go first where there are too many.
import { once } from "node:events";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";

interface Entry {
  status: number;
  headers: string[];
  body: Buffer;
  expiresMs: number;
}

const entriesLimit = 2_000;

export interface CacheServer {
  /** `host:port` */
  address: string;
  close(): Promise<void>;
}

export async function startCacheServer(): Promise<CacheServer> {
  const entries = new Map<string, Entry>();

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const key = `${request.headers.host}${request.url}`;
    if (request.method === "PUT") {
      entries.delete(key);
      entries.set(key, parse(await buffer(request)));
      const [oldest] = entries.keys();
      if (entries.size > entriesLimit && oldest !== undefined) entries.delete(oldest);
      response.writeHead(204).end();
      return;
    }
    const entry = entries.get(key);
    if (entry === undefined || entry.expiresMs < Date.now()) {
      response.writeHead(504, { "cf-cache-status": "MISS" }).end();
      return;
    }
    const length = String(entry.body.byteLength);
    response.writeHead(entry.status, [...entry.headers, "cf-cache-status", "HIT", "content-length", length]);
    response.end(entry.body);
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

function parse(message: Buffer): Entry {
  const end = message.indexOf("\r\n\r\n");
  const [statusLine = "", ...lines] = message.subarray(0, end).toString("latin1").split("\r\n");
  const pairs = lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1).trim()]);
  const headers = pairs.filter(([name = ""]) => !/^(content-length|transfer-encoding)$/i.test(name)).flat();
  const maxAgeSeconds = Number(/^cache-control: .*max-age=(\d+)/im.exec(lines.join("\n"))?.[1] ?? 0);
  return {
    status: Number(statusLine.split(" ")[1]),
    headers,
    body: Buffer.from(message.subarray(end + 4)),
    expiresMs: Date.now() + maxAgeSeconds * 1_000,
  };
}
