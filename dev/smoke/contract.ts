// The contract as checks of a deployment from outside. Each title is a promise; the check throws if it is broken.
// None of them writes anything.
import { randomUUID } from "node:crypto";
import { type Finding, hint } from "../checklist.ts";
import { type Received, Session, TIMEOUT_MS, expect, parseObject } from "./session.ts";

export interface SmokeTarget {
  /** Such as `https://runs.example.com`. */
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

/** The checks that are possible with these tokens and runs, in their order. */
export function listChecks({ origin, token, runIds = [], strangerToken }: SmokeTarget): Checks {
  const session = new Session(origin);
  const [first] = runIds;
  const checks = [checkService(session), checkDocuments(session), checkRefusals(session, token)];
  if (token !== undefined) {
    checks.push(checkIds(session, token), ...runIds.map((id) => checkRun(session, id, token)));
    if (first !== undefined) checks.push(checkLayers(session, runIds, token));
  }
  if (first !== undefined && strangerToken !== undefined) checks.push(checkForeignRun(session, first, strangerToken));
  return Object.assign({}, ...checks, checkHeaders(session)) as Checks;
}

const pathOf = (id: string) => `/api/crew-runs/${id}`;
const isFinal = ({ json }: Received) => json["status"] === "completed" || json["status"] === "failed";
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
    expect(`"key_set"`, json["key_set"], "ok");
    expect(`"database"`, json["database"], /^(ok|not_checked)$/);
    return `database ${String(json["database"])}`;
  },
  async "a client that calls itself Python-urllib gets in"() {
    const headers = { "user-agent": "Python-urllib/3.13" };
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const response = await fetch(`${session.origin}/health`, { headers, signal });
    const text = await response.text();
    if (response.status === 403 && text.includes("1010")) {
      const remedy =
        "Clients send a User-Agent of their own, or you turn the check off: docs/troubleshooting.md, error code 1010.";
      return hint("Cloudflare's Browser Integrity Check refuses Python's urllib before the Worker runs", remedy);
    }
    expect("the status", response.status, 200);
    expect("the body", parseObject(text), { status: "ok" });
    return undefined;
  },
  async "an unknown path is a JSON 404"() {
    for (const path of ["/nothing", "/docs/nothing", "/api", "/api/crew-runs", "/api/crew-runs/x/y"]) {
      await session.expectRefusal("not_found", path);
    }
  },
  async "another method is a 405 that allows GET and HEAD"() {
    for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
      const { headers } = await session.expectRefusal("method_not_allowed", pathOf(randomUUID()), { method });
      expect("Allow", headers.get("allow"), "GET, HEAD");
    }
  },
  async "a page of an unlisted origin may not read responses"() {
    const headers = { origin: "https://smoke.invalid" };
    const response = await session.expectRefusal("not_authenticated", pathOf(randomUUID()), { headers });
    expect("Access-Control-Allow-Origin", response.headers.get("access-control-allow-origin"), null);
  },
});

const checkDocuments = (session: Session): Checks => ({
  async "/docs and its pages run only the site's scripts"() {
    for (const path of ["/docs", "/docs/errors"]) {
      const { headers } = await session.read(path, {}, /^text\/html/);
      expect(`the policy of ${path}`, headers.get("content-security-policy"), /default-src 'none'/);
      expect(`X-Content-Type-Options of ${path}`, headers.get("x-content-type-options"), "nosniff");
    }
  },
  async "/openapi.json describes this deployment"() {
    const { json } = await session.read("/openapi.json");
    expect("openapi", json["openapi"], /^3\.1\./);
    const [server] = json["servers"] as { url: string }[];
    expect("the server", URL.parse(String(server?.url), session.origin)?.origin, session.origin);
  },
  async "/llms.txt is an index, and its links lead somewhere"() {
    const { text } = await session.read("/llms.txt", {}, /^text\/plain/);
    expect("its first line", text.split("\n")[0], /^# ./);
    const links = [...text.matchAll(/\]\((\/[^)#]*)/g)].map(([, path]) => path ?? "");
    expect("the number of its links", `${links.length}`, /^[1-9]/);
    for (const path of links) expect(`the status of ${path}`, (await session.send(path)).status, 200);
  },
  async [`${METADATA_PATH} names this deployment and the issuer of its tokens`]() {
    const { json } = await session.read(METADATA_PATH);
    // Spelled as the audience is.
    expect("resource", String(json["resource"]).replace(/\/$/, ""), session.origin);
    const [issuer] = (json["authorization_servers"] ?? []) as string[];
    expect("the authorization server", issuer, /^https?:\/\/./);
  },
  async "the challenge of a 401 leads to metadata, and the metadata back to it (RFC 9728)"() {
    const { headers } = await session.expectRefusal("not_authenticated", pathOf(randomUUID()));
    const [, address = ""] = /resource_metadata="([^"]+)"/.exec(headers.get("www-authenticate") ?? "") ?? [];
    expect("the origin of resource_metadata", URL.parse(address)?.origin, session.origin);
    const { json } = await session.read(address.slice(session.origin.length));
    const { origin, pathname } = new URL(String(json["resource"]));
    expect("where its resource leads", origin + METADATA_PATH + pathname.replace(/\/$/, ""), address);
  },
});

const checkRefusals = (session: Session, token = "x.y.z"): Checks => ({
  async "a request without a token is a 401 whose challenge names no error, whatever the run id"() {
    const path = pathOf(randomUUID());
    for (const [tried, headers] of [
      [path, {}],
      [path, { authorization: "Basic b3duZXI6c2VjcmV0" }],
      [path, { authorization: "Bearer" }],
      [`${path}?access_token=${token}`, {}],
      [pathOf("no-uuid"), {}],
    ] as const) {
      const response = await session.expectRefusal("not_authenticated", tried, { headers });
      expect("the challenge", response.headers.get("www-authenticate"), /^Bearer (?!.*error).*resource_metadata="/);
    }
  },
  async "a forged token is a 401 with invalid_token, whatever the run id"() {
    for (const forged of forgeTokens(token)) {
      for (const id of ["no-uuid", randomUUID()]) {
        const { headers } = await session.expectRefusal("invalid_token", pathOf(id), { token: forged });
        expect("the challenge", headers.get("www-authenticate"), /^Bearer error="invalid_token", error_description="./);
      }
    }
  },
});

/** Tokens with a change that invalidates them: an unsigned one, one with another signature, one with more rights. */
function forgeTokens(token: string): string[] {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const [header = "", payload = "", signature = ""] = token.split(".");
  const claims = parseObject(Buffer.from(payload, "base64url").toString());
  // The first character carries no padding bits.
  const changed = (signature.startsWith("A") ? "B" : "A") + signature.slice(1);
  return [
    "garbage",
    `${header}.${payload}.`,
    `${encode({ alg: "none" })}.${payload}.`,
    `${header}.${payload}.${changed}`,
    `${header}.${encode({ ...claims, scope: "crew-runs:admin" })}.${signature}`,
  ];
}

const checkIds = (session: Session, token: string): Checks => ({
  async "a run that doesn't exist is a 404, whatever the version of its UUID"() {
    for (const id of [randomUUID(), "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]) {
      await session.expectRefusal("run_not_found", pathOf(id), { token });
    }
  },
  async "an id that isn't a UUID is a 422 that repeats it"() {
    for (const input of ["no-uuid", "11111111-1111-4111-8111-11111111111", "{11111111111141118111111111111111}"]) {
      const { status, headers, json } = await session.send(pathOf(encodeURIComponent(input)), { token });
      expect("the status", status, 422);
      expect("the body", json, {
        detail: [{ type: "uuid_parsing", loc: ["path", "run_id"], msg: "Input should be a valid UUID", input }],
        code: "invalid_run_id",
        request_id: headers.get("x-request-id"),
      });
    }
  },
});

function checkRun(session: Session, runId: string, token: string): Checks {
  const path = pathOf(runId);
  const name = `run ${runId.slice(0, 8)}`;
  const read = (headers = {}, method = "GET") => session.read(path, { token, headers, method });
  return {
    async [`${name} is a record of twelve keys`]() {
      const { json } = await read();
      expect("the list of keys", Object.keys(json), Object.keys(RECORD));
      for (const [key, form] of Object.entries(RECORD)) expect(key, JSON.stringify(json[key]), form);
      expect("id", json["id"], runId.toLowerCase());
    },
    async [`${name} is private and has a lifetime`]() {
      const response = await read();
      const { headers } = response;
      expect("Cache-Control", headers.get("cache-control"), isFinal(response) ? /^private, / : "private, no-cache");
      expect("Vary", headers.get("vary"), /authorization/i);
      expect("Retry-After", headers.get("retry-after"), isFinal(response) ? null : /^([1-9]|[12]\d|30)$/);
    },
    async [`${name} is a 304 for a client that has it`]() {
      const known = await read();
      expect("ETag", readTag(known), /^"[^"]+"$/);
      for (const condition of [`${readTag(known)}`, `"other", W/${readTag(known)}`, "*"]) {
        const response = await session.send(path, { token, headers: { "if-none-match": condition } });
        expect(`the status for ${condition}`, response.status, 304);
        expect("its body", response.text, "");
        expect("its ETag", readTag(response), readTag(known));
      }
      await read({ "if-none-match": `"other"` });
    },
    async [`${name} has the same headers and no body with HEAD`]() {
      const head = await read({}, "HEAD");
      expect("the body", head.text, "");
      expect("ETag", readTag(head), readTag(await read()));
    },
    async [`${name} is found by every spelling of its id`]() {
      const id = runId.toLowerCase();
      const coded = `%${id.charCodeAt(0).toString(16)}${id.slice(1)}`;
      for (const spelling of [id.toUpperCase(), id.replaceAll("-", ""), `%7B${id}%7D`, `urn:uuid:${id}`, coded]) {
        expect("id", (await session.read(pathOf(spelling), { token })).json["id"], id);
      }
    },
    async [`${name} can be waited for, unless MAX_WAIT_SECONDS is 0`]() {
      const response = await read({ prefer: "wait=1" });
      expect("Preference-Applied", response.headers.get("preference-applied"), isFinal(response) ? null : "wait=1");
    },
  };
}

const TEXT = /^"/;
const TEXT_OR_NULL = /^("|null$)/;
const TIME = /^"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"$/;
const TIME_OR_NULL = new RegExp(`${TIME.source}|^null$`);
/** Keys in their order, and the form of their values as JSON. */
const RECORD: Record<string, RegExp> = {
  id: /^"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}"$/,
  correlation_id: TEXT,
  owner_id: TEXT,
  status: /^"(pending|running|completed|failed)"$/,
  created_at: TIME,
  crew_type: TEXT_OR_NULL,
  crew_config: /^(\{"agents":.*"tasks":.*"id":.*"verbose":.*"process":.*\}|null)$/s,
  task_input: /^(\{|null$)/,
  result: TEXT_OR_NULL,
  error: TEXT_OR_NULL,
  started_at: TIME_OR_NULL,
  completed_at: TIME_OR_NULL,
};

/** From outside, only `Cache-Status` shows where a response came from. */
const checkLayers = (session: Session, runIds: readonly string[], token: string): Checks => ({
  async [`${READS} reads of a finished run are equal`]() {
    const read = (id: string) => session.read(pathOf(id), { token });
    for (const id of runIds) {
      if (!isFinal(await read(id))) continue;
      const copies: Received[] = [];
      while (copies.length < READS) {
        copies.push(...(await Promise.all(Array.from({ length: CONNECTIONS }, () => read(id)))));
      }
      expect("the number of their tags", new Set(copies.map(readTag)).size, 1);
      const layers = copies.map(nameLayer);
      const count = (layer: string) => layers.filter((each) => each === layer).length;
      return `${count("isolate")} from the memory cache, ${count("data-center")} from the data-center cache, ${count("database")} from the database`;
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
    const compared = ({ headers }: Received) =>
      [...headers].filter(([name]) => !/^(date|server-timing|cf-|nel|report-to|alt-svc)/.test(name));
    expect("the body", foreign.text, absent.text);
    expect("the list of headers", compared(foreign), compared(absent));
  },
});

const checkHeaders = ({ responses, origin }: Session): Checks => ({
  async "every response has a request id, its timing and the security headers"() {
    const forms: Record<string, RegExp> = {
      "x-request-id": /^[\w.:-]{1,128}$/,
      "server-timing": /total;dur=\d/,
      "x-content-type-options": /^nosniff$/,
      "referrer-policy": /^no-referrer$/,
      ...(origin.startsWith("https:") && { "strict-transport-security": /max-age=\d{7}/ }),
    };
    expect("whether there was a response", responses.length > 0, true);
    for (const { headers, status } of responses) {
      for (const [name, form] of Object.entries(forms)) expect(`${name} of a ${status}`, headers.get(name), form);
    }
  },
});
