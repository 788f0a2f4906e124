// What a deployment can break, as checks from outside: its host, its settings, its database, anything in front of it. Each title
// is a promise; the check throws if it is broken. None of them writes anything. The rest of the contract is the Worker's tests'.
import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { type Finding, hint } from "../checklist.ts";
import { BLOCKED, type Received, Session, expect } from "./session.ts";

export interface SmokeTarget {
  /** Such as `https://api.example.com`. */
  origin: string;
  /** Without it, only what needs no token is checked. */
  token?: string | undefined;
  /** Runs that `token` may read. */
  runIds?: readonly string[];
  /** Of a user who may not read them. */
  strangerToken?: string | undefined;
}

/** By title. A text is added to the title; a finding replaces it. */
type Checks = Record<string, () => Promise<string | Finding | void>>;

/** Every other check would fail for the same reason. */
export class Misconfigured extends Error {}

const METADATA_PATH = "/.well-known/oauth-protected-resource";
const READS = 20;
const CONNECTIONS = 5;
const COPY_PAUSE_MS = 500;

/** The checks that are possible with these tokens and runs, in their order. */
export function listChecks({ origin, token, runIds = [], strangerToken }: SmokeTarget): Checks {
  const session = new Session(origin);
  const [first] = runIds;
  const checks = [checkService(session), checkRefusals(session, token)];
  if (token !== undefined) {
    for (const id of runIds) checks.push(checkRun(session, id, token));
    if (first !== undefined) checks.push(checkLayers(session, runIds, token));
  }
  if (first !== undefined && strangerToken !== undefined) checks.push(checkForeignRun(session, first, strangerToken));
  return Object.assign({}, ...checks, checkHeaders(session)) as Checks;
}

const pathOf = (id: string) => `/api/crew-runs/${id}`;
const isFinished = ({ json }: Received) => json["status"] === "completed" || json["status"] === "failed";
/** A tag turns weak if something on the way compresses the response. */
const readTag = ({ headers }: Received) => headers.get("etag")?.replace(/^W\//, "");

const checkService = (session: Session): Checks => ({
  async "/health shows that the Worker runs, under the client's request id"() {
    const id = `smoke-${randomUUID()}`;
    const { json, headers } = await session.read("/health", { headers: { "x-request-id": id } });
    expect("the status", json["status"], "ok");
    expect("X-Request-Id", headers.get("x-request-id"), id);
    const placement = headers.get("cf-placement");
    return placement === null ? undefined : `cf-placement is ${placement}`;
  },
  async "/ready reaches the key set, and the database if it checks that"() {
    const { status, json, text } = await session.send("/ready");
    if (json["settings"] === "misconfigured") throw new Misconfigured(`misconfigured: ${text}`);
    if (status === 503) throw new Error(text);
    expect("the status", status, 200);
    expect(`"status"`, json["status"], "ready");
    return `database ${String(json["database"])}`;
  },
  async "a client that calls itself Python-urllib gets in"() {
    const { status, text, json } = await session.send("/health", { headers: { "user-agent": "Python-urllib/3.13" } });
    if (text === BLOCKED) {
      const remedy =
        "Clients send a User-Agent of their own, or you turn the check off: docs/troubleshooting.md, error code 1010.";
      return hint("Cloudflare's Browser Integrity Check refuses Python's urllib before the Worker runs", remedy);
    }
    expect("the status", status, 200);
    expect("the body", json, { status: "ok" });
    return undefined;
  },
  async "the platform serves the documents, and the Worker every other path"() {
    const { headers } = await session.read("/docs", {}, /^text\/html/);
    expect("the policy of /docs", headers.get("content-security-policy"), /default-src 'none'/);
    const { json } = await session.read("/openapi.json");
    const [server] = (json["servers"] ?? []) as { url: string }[];
    expect("the server in /openapi.json", URL.parse(String(server?.url), session.origin)?.origin, session.origin);
    expect("the status of /docs/nothing", (await session.send("/docs/nothing")).status, 404);
    await session.expectRefusal("not_found", "/nothing");
  },
  async [`${METADATA_PATH} names this deployment and the issuer of its tokens`]() {
    const { json } = await session.read(METADATA_PATH);
    // Spelled as the audience is.
    expect("resource", String(json["resource"]).replace(/\/$/, ""), session.origin);
    const [issuer] = (json["authorization_servers"] ?? []) as string[];
    expect("the authorization server", issuer, /^https?:\/\/./);
  },
});

const checkRefusals = (session: Session, token = "x.y.z"): Checks => ({
  async "a request without a token is a 401 that leads to the metadata (RFC 9728)"() {
    const { headers } = await session.expectRefusal("not_authenticated", pathOf(randomUUID()));
    const challenge = headers.get("www-authenticate");
    expect("the challenge", challenge, /^Bearer (?!.*error).*resource_metadata="/);
    const [, address = ""] = /resource_metadata="([^"]+)"/.exec(String(challenge)) ?? [];
    expect("the origin of resource_metadata", URL.parse(address)?.origin, session.origin);
    expect("the status of resource_metadata", (await session.send(address.slice(session.origin.length))).status, 200);
  },
  async "a forged token is a 401 with invalid_token"() {
    const [header = "", payload = "", signature = ""] = token.split(".");
    // The first character carries no padding bits.
    const changed = (signature.startsWith("A") ? "B" : "A") + signature.slice(1);
    for (const forged of ["garbage", `${header}.${payload}.`, `${header}.${payload}.${changed}`]) {
      const { headers } = await session.expectRefusal("invalid_token", pathOf(randomUUID()), { token: forged });
      expect("the challenge", headers.get("www-authenticate"), /^Bearer error="invalid_token", error_description="./);
    }
  },
});

function checkRun(session: Session, runId: string, token: string): Checks {
  const path = pathOf(runId);
  const name = `run ${runId.slice(0, 8)}`;
  return {
    async [`${name} is a private record, and another id a 404`]() {
      const response = await session.read(path, { token });
      const { headers, json } = response;
      expect("id", json["id"], runId.toLowerCase());
      expect("the number of its fields", Object.keys(json).length, 12);
      expect("Cache-Control", headers.get("cache-control"), isFinished(response) ? /^private, / : "private, no-cache");
      expect("Vary", headers.get("vary"), /authorization/i);
      await session.expectRefusal("run_not_found", pathOf(randomUUID()), { token });
    },
    async [`${name} is a 304 for a client that has it`]() {
      const known = await session.read(path, { token });
      const headers = { "if-none-match": String(readTag(known)) };
      const response = await session.send(path, { token, headers });
      expect("the status", response.status, 304);
      expect("its ETag", readTag(response), readTag(known));
    },
    async [`${name} can be waited for, unless MAX_WAIT_SECONDS is 0`]() {
      const response = await session.read(path, { token, headers: { prefer: "wait=1" } });
      expect("Preference-Applied", response.headers.get("preference-applied"), isFinished(response) ? null : "wait=1");
    },
  };
}

/** From outside, only `Cache-Status` shows where a response came from. */
const checkLayers = (session: Session, runIds: readonly string[], token: string): Checks => ({
  async [`${READS} reads of a finished run are equal`]() {
    const read = (id: string) => session.read(pathOf(id), { token });
    for (const id of runIds) {
      const first = await read(id);
      if (!isFinished(first)) continue;
      // The Worker writes the copy after its response.
      await setTimeout(COPY_PAUSE_MS);
      const copies: Received[] = [];
      while (copies.length < READS) {
        copies.push(...(await Promise.all(Array.from({ length: CONNECTIONS }, () => read(id)))));
      }
      expect("the number of their tags", new Set(copies.map(readTag)).size, 1);
      const layers = copies.map(nameLayer);
      const count = (layer: string) => layers.filter((each) => each === layer).length;
      const counts = `${count("isolate")} from the memory cache, ${count("data-center")} from the data-center cache, ${count("database")} from the database`;
      if (first.headers.get("cache-control") === "private, no-cache") return `${counts}: the caches are off`;
      // A first read wrote the copy, so each isolate should have found it.
      if (count("data-center") === 0 && count("database") > 0) {
        const remedy =
          "docs/troubleshooting.md, Finished runs never come from the data center, has the possible causes.";
        return hint(`${READS} reads of a finished run: ${counts}; isolates don't share their copies`, remedy);
      }
      return count("isolate") === READS ? `${counts}, which shows nothing of the data-center cache` : counts;
    }
    throw new Error("none of the given runs has finished; docs/deploy.md, step 7, inserts one that has");
  },
});

function nameLayer({ headers }: Received): string {
  const status = headers.get("cache-status");
  expect("Cache-Status", status, /^crew-runs; (hit; detail=(isolate|data-center)|fwd=uri-miss(; stored)?)$/);
  return /isolate|data-center/.exec(String(status))?.[0] ?? "database";
}

const checkForeignRun = (session: Session, runId: string, token: string): Checks => ({
  async "a stranger gets the same response for this run and for one that doesn't exist"() {
    // With one request id, to the byte.
    const request = { token, headers: { "x-request-id": `smoke-${randomUUID()}` } };
    const foreign = await session.expectRefusal("run_not_found", pathOf(runId), request);
    const absent = await session.expectRefusal("run_not_found", pathOf(randomUUID()), request);
    expect("the body", foreign.text, absent.text);
  },
});

const checkHeaders = ({ responses, origin }: Session): Checks => ({
  async "every response has a request id and the security headers"() {
    const forms: Record<string, RegExp> = {
      "x-request-id": /^[\w.:-]{1,128}$/,
      "x-content-type-options": /^nosniff$/,
      ...(origin.startsWith("https:") && { "strict-transport-security": /max-age=\d{7}/ }),
    };
    expect("whether there was a response", responses.length > 0, true);
    for (const { headers, status } of responses) {
      for (const [name, form] of Object.entries(forms)) expect(`${name} of a ${status}`, headers.get(name), form);
    }
  },
});
