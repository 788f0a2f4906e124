// The upstreams of a Worker: an issuer's key set, SQL over HTTP, and the data-center cache. The first two respond after an
// artificial delay and record every call. A statement goes to Postgres once; its reply is replayed until it is forgotten, so the
// database costs next to nothing, and the benchmark knows nothing of the statement.
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import { buffer, text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { listenOnLoopback } from "../dev/loopback.ts";

interface Call {
  kind: "keys" | "sql";
  /** The statement with its parameters, as the driver writes it. */
  body: string;
  replyBytes: number;
}

export interface Upstream {
  keysUrl: string;
  sqlUrl: string;
  /** `host:port` of the cache. */
  cacheAddress: string;
  /** The time of a call, there and back. */
  delayMs: { keys: number; sql: number };
  calls: Call[];
  /** Call this after a row has changed. */
  forgetReplies(): void;
  emptyCache(): void;
  close(): Promise<void>;
}

/** `sqlUrl` is the endpoint in front of Postgres, `keySet` a JSON text. */
export async function startUpstream(sqlUrl: string, keySet: string): Promise<Upstream> {
  const calls: Call[] = [];
  const delayMs = { keys: 0, sql: 0 };
  const replies = new Map<string, Promise<Buffer>>();
  const cached = new Map<string, Buffer>();

  async function queryDatabase(body: string, headers: IncomingMessage["headers"]): Promise<Buffer> {
    const neonHeaders = Object.entries(headers).filter(([name]) => name.startsWith("neon-"));
    const reply = await fetch(sqlUrl, { method: "POST", body, headers: neonHeaders as [string, string][] });
    if (!reply.ok) throw new Error(`the database refused ${body}: ${await reply.text()}`);
    return Buffer.from(await reply.arrayBuffer());
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const kind = request.url === "/keys" ? "keys" : "sql";
    const body = await text(request);
    const call: Call = { kind, body, replyBytes: 0 };
    calls.push(call);
    await pause(delayMs[kind] / 2);
    let reply: Buffer | undefined = Buffer.from(keySet);
    if (kind === "sql") {
      const reading = replies.get(body) ?? queryDatabase(body, request.headers);
      replies.set(body, reading);
      reply = await reading;
    }
    call.replyBytes = reply.byteLength;
    await pause(delayMs[kind] / 2);
    response.writeHead(200, { "content-type": "application/json", "content-length": reply.byteLength }).end(reply);
  }

  /**
   * The protocol between workerd and its cache service: the body of a PUT is a whole HTTP response; GET returns it, and
   * `cf-cache-status` reports a hit or a miss. Nothing ever expires here.
   */
  async function serveCache(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const key = [request.headers["cf-cache-namespace"], request.headers.host, request.url].join(" ");
    if (request.method === "PUT") {
      cached.set(key, await buffer(request));
      response.writeHead(204).end();
      return;
    }
    const message = cached.get(key);
    if (message === undefined) {
      response.writeHead(504, { "cf-cache-status": "MISS" }).end();
      return;
    }
    const headEnd = message.indexOf("\r\n\r\n");
    const [, ...headerLines] = message.toString("latin1", 0, headEnd).split("\r\n");
    for (const line of headerLines) {
      const [name = "", value = ""] = line.split(/:\s*(.*)/s);
      if (!/^(content-length|transfer-encoding)$/i.test(name)) response.setHeader(name, value);
    }
    response.writeHead(200, { "cf-cache-status": "HIT" }).end(message.subarray(headEnd + 4));
  }

  const [upstream, cache] = await Promise.all([listen(serve), listen(serveCache)]);
  return {
    keysUrl: `${upstream.url}/keys`,
    sqlUrl: `${upstream.url}/sql`,
    cacheAddress: new URL(cache.url).host,
    delayMs,
    calls,
    forgetReplies: () => replies.clear(),
    emptyCache: () => cached.clear(),
    async close() {
      await Promise.all([upstream.close(), cache.close()]);
    },
  };
}

async function pause(milliseconds: number): Promise<void> {
  if (milliseconds > 0) await sleep(milliseconds);
}

async function listen(respond: (request: IncomingMessage, response: ServerResponse) => Promise<void>) {
  const server = createServer({ keepAliveTimeout: 0 }, (request, response) => {
    respond(request, response).catch((error: unknown) => {
      // The Worker was ended in the middle of its call.
      if (request.destroyed && !request.complete) return;
      console.error(error);
      response.writeHead(500).end();
    });
  });
  return listenOnLoopback(server);
}
