// The contract as checks of a deployment from outside. Each title says what holds; a check throws where it does not.
// None of them writes anything.
import { randomUUID } from "node:crypto";
import { type Finding, hint } from "../checklist.ts";
import { type Answer, Session, TIMEOUT_MS, expect, parseObject } from "./session.ts";

export interface SmokeTarget {
  /** Such as `https://runs.example.com`. */
  origin: string;
  /** Without it, only what needs no token is checked. */
  token?: string | undefined;
  /** Runs that `token` may read. */
  runIds?: readonly string[];
  /** Of somebody who may not read them. */
  strangerToken?: string | undefined;
}

/** By their titles. A text is added to the title; a finding takes its place. */
type Checks = Record<string, () => Promise<string | Finding | void>>;

/** Every other check would fail for the same reason. */
export class Misconfigured extends Error {}

const METADATA_PATH = "/.well-known/oauth-protected-resource";
const READS = 20;
const CONNECTIONS = 5;

/** The checks that can be made with what is known of the deployment, in their order. */
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
const isFinal = ({ json }: Answer) => json["status"] === "completed" || json["status"] === "failed";
/** A tag turns weak where something on the way compresses the answer. */
const readTag = ({ headers }: Answer) => headers.get("etag")?.replace(/^W\//, "");

const checkService = (session: Session): Checks => ({
  async "/health says that the Worker runs, under the request id that was sent"() {
    const id = `smoke-${randomUUID()}`;
    const { json, headers } = await session.read("/health", { headers: { "x-request-id": id } });
    expect("the status", json["status"], "ok");
    expect("X-Request-Id", headers.get("x-request-id"), id);
    const placement = headers.get("cf-placement");
    return placement === null ? undefined : `cf-placement is ${placement}`;
  },
  async "/ready reaches the key set, and the database if it checks that"() {
    const { status, json, text } = await session.ask("/ready");
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
      await session.askInVain("not_found", path);
    }
  },
  async "another method is a 405 that names GET and HEAD"() {
    for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
      const { headers } = await session.askInVain("method_not_allowed", pathOf(randomUUID()), { method });
      expect("Allow", headers.get("allow"), "GET, HEAD");
    }
  },
  async "a page of an unlisted origin may not read answers"() {
    const headers = { origin: "https://smoke.invalid" };
    const answer = await session.askInVain("not_authenticated", pathOf(randomUUID()), { headers });
    expect("Access-Control-Allow-Origin", answer.headers.get("access-control-allow-origin"), null);
  },
});

const checkDocuments = (session: Session): Checks => ({
  async "/docs and its pages run only scripts of their own"() {
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
    for (const path of links) expect(`the status of ${path}`, (await session.ask(path)).status, 200);
  },
  async [`${METADATA_PATH} names this deployment and the issuer of its tokens`]() {
    const { json } = await session.read(METADATA_PATH);
    expect("resource", json["resource"], session.origin);
    const [issuer] = (json["authorization_servers"] ?? []) as string[];
    expect("the authorization server", issuer, /^https?:\/\/./);
  },
  async "the challenge of a 401 leads to metadata, and the metadata back to it (RFC 9728)"() {
    const { headers } = await session.askInVain("not_authenticated", pathOf(randomUUID()));
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
      const answer = await session.askInVain("not_authenticated", tried, { headers });
      expect("the challenge", answer.headers.get("www-authenticate"), /^Bearer (?!.*error).*resource_metadata="/);
    }
  },
  async "a forged token is a 401 whose challenge says so, whatever the run id"() {
    for (const forged of forgeTokens(token)) {
      for (const id of ["no-uuid", randomUUID()]) {
        const { headers } = await session.askInVain("invalid_token", pathOf(id), { token: forged });
        expect("the challenge", headers.get("www-authenticate"), /^Bearer error="invalid_token", error_description="./);
      }
    }
  },
});

/** Tokens that a change has made worthless: an unsigned one, one with another signature, one with more rights. */
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
  async "a run that does not exist is a 404, whatever the version of its UUID"() {
    for (const id of [randomUUID(), "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"]) {
      await session.askInVain("run_not_found", pathOf(id), { token });
    }
  },
  async "an id that is no UUID is a 422 that repeats it"() {
    for (const input of ["no-uuid", "11111111-1111-4111-8111-11111111111", "{11111111111141118111111111111111}"]) {
      const { status, headers, json } = await session.ask(pathOf(encodeURIComponent(input)), { token });
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
    async [`${name} is private, and says how long it is fresh`]() {
      const answer = await read();
      const { headers } = answer;
      expect("Cache-Control", headers.get("cache-control"), isFinal(answer) ? /^private, / : "private, no-cache");
      expect("Vary", headers.get("vary"), /authorization/i);
      expect("Retry-After", headers.get("retry-after"), isFinal(answer) ? null : /^([1-9]|[12]\d|30)$/);
    },
    async [`${name} is a 304 to a client that has it`]() {
      const known = await read();
      expect("ETag", readTag(known), /^"[^"]+"$/);
      for (const condition of [`${readTag(known)}`, `"other", W/${readTag(known)}`, "*"]) {
        const answer = await session.ask(path, { token, headers: { "if-none-match": condition } });
        expect(`the status for ${condition}`, answer.status, 304);
        expect("its body", answer.text, "");
        expect("its ETag", readTag(answer), readTag(known));
      }
      await read({ "if-none-match": `"other"` });
    },
    async [`${name} has the same headers and no body by HEAD`]() {
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
      const answer = await read({ prefer: "wait=1" });
      expect("Preference-Applied", answer.headers.get("preference-applied"), isFinal(answer) ? null : "wait=1");
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

/** Where an answer came from can be told from outside by `Cache-Status` alone. */
const checkLayers = (session: Session, runIds: readonly string[], token: string): Checks => ({
  async [`${READS} reads of a finished run are one answer`]() {
    const read = (id: string) => session.read(pathOf(id), { token });
    for (const id of runIds) {
      if (!isFinal(await read(id))) continue;
      const answers: Answer[] = [];
      while (answers.length < READS) {
        answers.push(...(await Promise.all(Array.from({ length: CONNECTIONS }, () => read(id)))));
      }
      expect("the number of their tags", new Set(answers.map(readTag)).size, 1);
      const layers = answers.map(nameLayer);
      const count = (layer: string) => layers.filter((each) => each === layer).length;
      return `${count("isolate")} from the isolate, ${count("data-center")} from the data centre, ${count("database")} from the database`;
    }
    throw new Error("none of the given runs has finished; docs/deploy.md, step 7, inserts one that has");
  },
});

function nameLayer({ headers }: Answer): string {
  const status = headers.get("cache-status");
  expect("Cache-Status", status, /^crew-runs; (hit; detail=(isolate|data-center)|fwd=uri-miss(; stored)?)$/);
  return /isolate|data-center/.exec(String(status))?.[0] ?? "database";
}

const checkForeignRun = (session: Session, runId: string, token: string): Checks => ({
  async "a stranger gets the same answer for a run that exists and one that does not"() {
    // With one request id, to the byte.
    const request = { token, headers: { "x-request-id": `smoke-${randomUUID()}` } };
    const foreign = await session.askInVain("run_not_found", pathOf(runId), request);
    const absent = await session.askInVain("run_not_found", pathOf(randomUUID()), request);
    const compared = ({ headers }: Answer) =>
      [...headers].filter(([name]) => !/^(date|server-timing|cf-|nel|report-to|alt-svc)/.test(name));
    expect("the body", foreign.text, absent.text);
    expect("the list of headers", compared(foreign), compared(absent));
  },
});

const checkHeaders = ({ answers, origin }: Session): Checks => ({
  async "every answer has a request id, its timing and the security headers"() {
    const forms: Record<string, RegExp> = {
      "x-request-id": /^[\w.:-]{1,128}$/,
      "server-timing": /total;dur=\d/,
      "x-content-type-options": /^nosniff$/,
      "referrer-policy": /^no-referrer$/,
      ...(origin.startsWith("https:") && { "strict-transport-security": /max-age=\d{7}/ }),
    };
    expect("whether there was an answer", answers.length > 0, true);
    for (const { headers, status } of answers) {
      for (const [name, form] of Object.entries(forms)) expect(`${name} of a ${status}`, headers.get(name), form);
    }
  },
});
