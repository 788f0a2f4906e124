// The fixture of most tests: a Worker under test with its own issuer and database, and a client that reads runs.
import { expect, inject } from "vitest";
import { createApp } from "../../src/app.ts";
import { listLogLines } from "./console.ts";
import { countFetches, nameProxy } from "./counted-fetches.ts";
import { openDatabaseProxy, openFaultProxy } from "./fault-proxy.ts";
import type { FaultProxy, Upstream } from "./fault-proxy-protocol.ts";
import { type TestIssuer, type User, openIssuer } from "./issuer.ts";
import { type SigningKey, makeKey } from "./signing.ts";

export interface ReadResult {
  status: number;
  headers: Headers;
  body: string;
  /** The members of the request's one log line. */
  log: Record<string, unknown>;
  /** Queries and key fetches during the request. */
  queries: number;
  fetches: number;
}

interface ReadOptions {
  /** Whose token it sends, unless a token or a header says otherwise. */
  as?: User | "nobody";
  token?: string;
  headers?: Record<string, string>;
  method?: string;
  /** https://api.test by default. */
  origin?: string;
  /** Fires when the client leaves. */
  signal?: AbortSignal;
}

export interface Reader {
  app: {
    /** Waits for what the requests so far left to be finished later. */
    settle(): Promise<void>;
  };
  issuer: TestIssuer;
  /** In front of the local stack's database, or in its place. */
  database: FaultProxy;
  /** Reads a run, or a path that begins with a slash; by default a run that doesn't exist. */
  read(target?: string, options?: ReadOptions): Promise<ReadResult>;
  /** The same settings and upstreams in a new isolate, with changes. */
  restart(settings?: object): Reader;
}

interface ReaderOptions {
  /** In addition to the local stack's, or in their place; one that is undefined is left out. */
  settings?: object;
  /** Those that the issuer publishes; tokens are signed by the first. One ES256 key by default. */
  keys?: readonly SigningKey[];
  /** The local stack's by default. */
  database?: Upstream;
}

let defaultKey: Promise<SigningKey> | undefined;

export async function createReader({ settings = {}, keys, database }: ReaderOptions = {}): Promise<Reader> {
  const issuer = await openIssuer(keys ?? [await (defaultKey ??= makeKey("ES256"))]);
  const proxy = await (database === undefined ? openDatabaseProxy() : openFaultProxy(database));
  return startReader(issuer, proxy, settings);
}

function startReader(issuer: TestIssuer, database: FaultProxy, settings: object): Reader {
  const variables = { ...inject("localStack").variables, ...issuer.variables, NEON_FETCH_ENDPOINT: database.url };
  const all = Object.entries(nameProxy({ ...variables, ...settings }));
  const unfinished = new Set<Promise<unknown>>();
  const app = createApp(Object.fromEntries(all.filter(([, value]) => value !== undefined)), (work) => {
    unfinished.add(work);
    void work.finally(() => unfinished.delete(work));
  });
  const tokens: { [user in User]?: Promise<string> } = {};

  function tokenOf(sub: User): Promise<string> {
    const scope = sub === "admin" ? "crew-runs:admin" : "crew-runs:read";
    return (tokens[sub] ??= issuer.sign({ sub, scope, exp: Math.floor(Date.now() / 1_000) + 86_400 }));
  }

  async function read(target: string = crypto.randomUUID(), options: ReadOptions = {}): Promise<ReadResult> {
    const { as = "owner", method = "GET", origin = "https://api.test", signal } = options;
    const token = options.token ?? (as === "nobody" ? undefined : await tokenOf(as));
    const headers = { ...(token !== undefined && { authorization: `Bearer ${token}` }), ...options.headers };
    const path = target.startsWith("/") ? target : `/api/crew-runs/${target}`;
    const [queries, fetches] = [countFetches(database.url), countFetches(issuer.proxy.url)];
    const request = new Request(`${origin}${path}`, { method, headers, ...(signal && { signal }) });
    const response = await app.fetch(request);
    const body = await response.text();
    const [log, ...more] = listLogLines(response.headers.get("x-request-id"));
    expect(more).toEqual([]);
    if (log === undefined) throw new Error("a request without a log line");
    const { status, headers: received } = response;
    const sent = { queries: countFetches(database.url) - queries, fetches: countFetches(issuer.proxy.url) - fetches };
    return { status, headers: received, body, log, ...sent };
  }

  const settle = async () => {
    while (unfinished.size > 0) await Promise.all(unfinished);
  };
  return {
    app: { settle },
    issuer,
    database,
    read,
    restart: (changes = {}) => startReader(issuer, database, { ...settings, ...changes }),
  };
}
