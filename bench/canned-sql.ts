// The upstream's process, cheap enough not to be in the way: an SQL endpoint that replays what the real one answered to
// the same statement, a key set, the bodies for the memory Worker, and a stand-in for the data centre's cache.
// It counts calls by Worker. It knows no SQL: each Worker's own statement is put to real Postgres once.

import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { answerCalls } from "./processes.ts";
import { copyPattern, firstCopyOf } from "./runs.ts";

export type UpstreamCall =
  | { kind: "start"; sqlEndpoint: string; keySet: string }
  | { kind: "keepBody"; id: string; body: Uint8Array }
  | { kind: "readCalls"; worker: string };

export type UpstreamReply = {
  origin: string;
  cacheAddress: string;
  /** Since the last `readCalls` for this Worker. */
  sqlCalls: number;
  keySetCalls: number;
  /** The body of the Worker's last call of the SQL endpoint. */
  lastStatement: string;
};

type Calls = Pick<UpstreamReply, "sqlCalls" | "keySetCalls" | "lastStatement">;

const calls = new Map<string, Calls>();
const bodies = new Map<string, Uint8Array>();
const replies = new Map<string, Buffer>();
const cached = new Map<string, { status: number; headers: string[]; body: Buffer }>();
const started = { origin: "", cacheAddress: "", sqlEndpoint: "", keySet: "" };

function callsOf(worker: string): Calls {
  let entry = calls.get(worker);
  if (entry === undefined) {
    entry = { sqlCalls: 0, keySetCalls: 0, lastStatement: "" };
    calls.set(worker, entry);
  }
  return entry;
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function send(response: ServerResponse, body: Uint8Array | string, headers = {}): void {
  response.writeHead(200, {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(body),
    ...headers,
  });
  response.end(body);
}

/** The reply to a statement, from real Postgres the first time; a copy's is that of the first copy, with its own id. */
async function findReply(statement: string, headers: IncomingMessage["headers"]): Promise<Buffer | string> {
  const copy = copyPattern.exec(statement)?.[0];
  const original = copy === undefined ? statement : statement.replaceAll(copy, firstCopyOf(copy));
  // The same statement is answered in another form when the driver asks for objects, or for parsed values.
  const form = `${headers["neon-array-mode"]} ${headers["neon-raw-text-output"]}`;
  let reply = replies.get(form + original);
  if (reply === undefined) {
    const neonHeaders = Object.entries(headers).filter(([name]) => name.startsWith("neon-"));
    const answer = await fetch(started.sqlEndpoint, {
      method: "POST",
      body: original,
      headers: Object.fromEntries(neonHeaders.map(([name, value]) => [name, String(value)])),
    });
    if (!answer.ok) throw new Error(`the database refused ${original}: ${await answer.text()}`);
    reply = Buffer.from(await answer.arrayBuffer());
    replies.set(form + original, reply);
  }
  return copy === undefined ? reply : reply.toString().replaceAll(firstCopyOf(copy), copy);
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const [, service, name = ""] = (request.url ?? "").split("/");
  if (service === "sql") {
    const statement = (await readBody(request)).toString();
    const entry = callsOf(name);
    entry.sqlCalls++;
    entry.lastStatement = statement;
    send(response, await findReply(statement, request.headers));
  } else if (service === "keys") {
    callsOf(name).keySetCalls++;
    send(response, started.keySet, { "cache-control": "public, max-age=600" });
  } else {
    const body = bodies.get(name);
    if (body === undefined) throw new Error(`no body is kept for ${name}`);
    send(response, body);
  }
}

/**
 * The cache API as workerd speaks it to its cache service: PUT carries a whole HTTP response, GET asks for it and is
 * told by `cf-cache-status` whether it hit. Nothing ever expires here.
 */
async function serveCache(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const key = `${request.headers.host}${request.url}`;
  if (request.method === "PUT") {
    const message = await readBody(request);
    const end = message.indexOf("\r\n\r\n");
    const [statusLine = "", ...headers] = message.subarray(0, end).toString("latin1").split("\r\n");
    const status = Number(statusLine.split(" ")[1]);
    cached.set(key, { status, headers, body: message.subarray(end + 4) });
    response.writeHead(204).end();
    return;
  }
  const entry = cached.get(key);
  if (entry === undefined) {
    response.writeHead(504, { "cf-cache-status": "MISS" }).end();
    return;
  }
  const headers = entry.headers.flatMap((line) => {
    const colon = line.indexOf(":");
    return /^(content-length|transfer-encoding)$/i.test(line.slice(0, colon))
      ? []
      : [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  response.writeHead(entry.status, [
    ...headers,
    "cf-cache-status",
    "HIT",
    "content-length",
    String(entry.body.byteLength),
  ]);
  response.end(entry.body);
}

async function listen(server: Server): Promise<string> {
  server.keepAliveTimeout = 0;
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const serverOf = (answer: (request: IncomingMessage, response: ServerResponse) => Promise<void>) =>
  createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      console.error(error);
      response.writeHead(500).end();
    });
  });

answerCalls<UpstreamCall, UpstreamReply>(async (call) => {
  if (call.kind === "start") {
    started.sqlEndpoint = call.sqlEndpoint;
    started.keySet = call.keySet;
    started.origin = `http://${await listen(serverOf(serve))}`;
    started.cacheAddress = await listen(serverOf(serveCache));
  } else if (call.kind === "keepBody") {
    bodies.set(call.id, call.body);
  }
  const worker = call.kind === "readCalls" ? call.worker : "";
  const counted = callsOf(worker);
  calls.delete(worker);
  return { origin: started.origin, cacheAddress: started.cacheAddress, ...counted };
});
