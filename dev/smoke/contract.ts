// The contract as checks of a deployment from outside. Each title says what holds; a check throws where it does not.
// None of them writes anything.
import { randomUUID } from "node:crypto";
import { type Answer, Session, expect, parseObject } from "./session.ts";

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

/** By their titles; what a check gives is added to its title. */
type Checks = Record<string, () => Promise<string | void>>;

const METADATA_PATH = "/.well-known/oauth-protected-resource";
const READS = 20;
const CONNECTIONS = 5;

/** The checks that can be made with what is known of the deployment, in their order. */
export function listChecks({ origin, token, runIds = [], strangerToken }: SmokeTarget): Checks {
  const session = new Session(origin);
  const checks = { ...checkService(session), ...checkDocuments(session), ...checkStrangers(session, token) };
  if (token !== undefined) {
    Object.assign(checks, checkIds(session, token));
    for (const id of runIds) Object.assign(checks, checkRun(session, id, token));
    if (runIds.length > 0) Object.assign(checks, checkLayers(session, runIds, token));
  }
  const [id] = runIds;
  if (id !== undefined && strangerToken !== undefined) {
    Object.assign(checks, checkForeignRun(session, id, strangerToken));
  }
  return Object.assign(checks, checkHeaders(session));
}

const checkService = (session: Session): Checks => ({
  async "/health says that the Worker runs, under the request id that was sent"() {
    const id = `smoke-${randomUUID()}`;
    const { json, headers } = await session.read("/health", /^application\/json/, { headers: { "x-request-id": id } });
    expect("the status", json["status"], "ok");
    expect("X-Request-Id", headers.get("x-request-id"), id);
  },
  async "/ready reaches database and key set"() {
    expect("the status", (await session.read("/ready", /^application\/json/)).json["status"], "ready");
  },
  async "an unknown path is a JSON 404"() {
    for (const path of ["/nothing", "/docs/nothing", "/api", "/api/crew-runs", "/api/crew-runs/x/y"]) {
      await session.askInVain("not_found", path);
    }
  },
  async "another method is a 405 that names GET and HEAD"() {
    for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
      const { headers } = await session.askInVain("method_not_allowed", `/api/crew-runs/${randomUUID()}`, { method });
      expect("Allow", headers.get("allow"), "GET, HEAD");
    }
  },
  async "a page of an origin that nobody listed gets no grant"() {
    const headers = { origin: "https://smoke.invalid" };
    const answer = await session.askInVain("not_authenticated", `/api/crew-runs/${randomUUID()}`, { headers });
    expect("Access-Control-Allow-Origin", answer.headers.get("access-control-allow-origin"), null);
  },
});

const checkDocuments = (session: Session): Checks => ({
  async "/docs and its pages run nothing from elsewhere"() {
    for (const path of ["/docs", "/docs/errors"]) {
      const { headers } = await session.read(path, /^text\/html/);
      expect(`the policy of ${path}`, headers.get("content-security-policy"), /default-src 'none'/);
      expect(`X-Content-Type-Options of ${path}`, headers.get("x-content-type-options"), "nosniff");
    }
  },
  async "/openapi.json describes this deployment"() {
    const { json } = await session.read("/openapi.json", /^application\/json/);
    expect("openapi", json["openapi"], /^3\.1\./);
    const [server] = json["servers"] as { url: string }[];
    expect("the server", URL.parse(String(server?.url), session.origin)?.origin, session.origin);
  },
  async "/llms.txt is an index, and its links lead somewhere"() {
    const { text } = await session.read("/llms.txt", /^text\/plain/);
    expect("its first line", text.split("\n")[0], /^# ./);
    const links = [...text.matchAll(/\]\((\/[^)#]*)/g)].map(([, path]) => path ?? "");
    expect("the number of its links", `${links.length}`, /^[1-9]/);
    for (const path of links) expect(`the status of ${path}`, (await session.ask(path)).status, 200);
  },
  async [`${METADATA_PATH} says what this deployment is, and who issues its tokens`]() {
    const { json } = await session.read(METADATA_PATH, /^application\/json/);
    expect("resource", json["resource"], session.origin);
    const [issuer] = (json["authorization_servers"] ?? []) as string[];
    expect("the authorization server", issuer, /^https?:\/\/./);
  },
  async "the challenge of a 401 leads to metadata, and they back to it (RFC 9728)"() {
    const { headers } = await session.askInVain("not_authenticated", `/api/crew-runs/${randomUUID()}`);
    const [, address = ""] = /resource_metadata="([^"]+)"/.exec(headers.get("www-authenticate") ?? "") ?? [];
    expect("the origin of resource_metadata", URL.parse(address)?.origin, session.origin);
    const { json } = await session.read(address.slice(session.origin.length), /^application\/json/);
    const { origin, pathname } = new URL(String(json["resource"]));
    expect("where its resource leads", origin + METADATA_PATH + pathname.replace(/\/$/, ""), address);
  },
});

function checkStrangers(session: Session, token = "x.y.z"): Checks {
  const path = `/api/crew-runs/${randomUUID()}`;
  return {
    async "no credentials are a 401 whose challenge names no error, whatever the run id"() {
      for (const [tried, authorization] of [
        [path, undefined],
        [path, "Basic b3duZXI6c2VjcmV0"],
        [path, "Bearer"],
        [`${path}?access_token=${token}`, undefined],
        ["/api/crew-runs/no-uuid", undefined],
      ] as const) {
        const headers = authorization === undefined ? {} : { authorization };
        const answer = await session.askInVain("not_authenticated", tried, { headers });
        expect("the challenge", answer.headers.get("www-authenticate"), /^Bearer (?!.*error).*resource_metadata="/);
      }
    },
    async "a worthless token is a 401 whose challenge says so, whatever the run id"() {
      for (const worthless of forgeTokens(token)) {
        await session.askInVain("invalid_token", "/api/crew-runs/no-uuid", { token: worthless });
        const { headers } = await session.askInVain("invalid_token", path, { token: worthless });
        expect("the challenge", headers.get("www-authenticate"), /^Bearer error="invalid_token", error_description="./);
      }
    },
  };
}

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
      await session.askInVain("run_not_found", `/api/crew-runs/${id}`, { token });
    }
  },
  async "an id that is no UUID is a 422 that repeats it"() {
    for (const input of ["no-uuid", "11111111-1111-4111-8111-11111111111", "{11111111111141118111111111111111}"]) {
      const { status, headers, json } = await session.ask(`/api/crew-runs/${encodeURIComponent(input)}`, { token });
      expect("the status", status, 422);
      expect("the body", json, {
        detail: [{ type: "uuid_parsing", loc: ["path", "run_id"], msg: "Input should be a valid UUID", input }],
        code: "invalid_run_id",
        request_id: headers.get("x-request-id"),
      });
    }
  },
});

const isFinal = ({ json }: Pick<Answer, "json">) => json["status"] === "completed" || json["status"] === "failed";
/** A tag turns weak where something on the way compresses the answer. */
const readTag = ({ headers }: Answer) => headers.get("etag")?.replace(/^W\//, "");

function checkRun(session: Session, runId: string, token: string): Checks {
  const path = `/api/crew-runs/${runId}`;
  const name = `run ${runId.slice(0, 8)}`;
  const read = (headers = {}) => session.read(path, /^application\/json/, { token, headers });
  return {
    async [`${name} is a record of twelve keys`]() {
      const { json } = await read();
      expect("the list of keys", Object.keys(json), Object.keys(RECORD));
      for (const [key, form] of Object.entries(RECORD)) expect(key, JSON.stringify(json[key]), form);
      expect("id", json["id"], runId.toLowerCase());
    },
    async [`${name} is private, and says how long it is fresh`]() {
      const { headers, ...rest } = await read();
      const isFinished = isFinal(rest);
      expect("Cache-Control", headers.get("cache-control"), isFinished ? /^private, / : "private, no-cache");
      expect("Vary", headers.get("vary"), /authorization/i);
      expect("Retry-After", headers.get("retry-after"), isFinished ? null : /^([1-9]|[12]\d|30)$/);
    },
    async [`${name} is a 304 to whoever holds it`]() {
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
      const head = await session.read(path, /^application\/json/, { method: "HEAD", token });
      expect("the body", head.text, "");
      expect("ETag", readTag(head), readTag(await read()));
    },
    async [`${name} is found by every spelling of its id`]() {
      const id = runId.toLowerCase();
      const coded = `%${id.charCodeAt(0).toString(16)}${id.slice(1)}`;
      for (const spelling of [id.toUpperCase(), id.replaceAll("-", ""), `%7B${id}%7D`, `urn:uuid:${id}`, coded]) {
        const { json } = await session.read(`/api/crew-runs/${spelling}`, /^application\/json/, { token });
        expect("id", json["id"], id);
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
const OBJECT_OR_NULL = /^(\{|null$)/;
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
  task_input: OBJECT_OR_NULL,
  result: TEXT_OR_NULL,
  error: TEXT_OR_NULL,
  started_at: TIME_OR_NULL,
  completed_at: TIME_OR_NULL,
};

/** The layers that keep runs cannot be told apart from outside but by `Cache-Status`. */
const checkLayers = (session: Session, runIds: readonly string[], token: string): Checks => ({
  async [`${READS} reads of a finished run are one answer`]() {
    const read = (id: string) => session.read(`/api/crew-runs/${id}`, /^application\/json/, { token });
    for (const id of runIds) {
      if (!isFinal(await read(id))) continue;
      const answers: Answer[] = [];
      while (answers.length < READS) {
        answers.push(...(await Promise.all(Array.from({ length: CONNECTIONS }, () => read(id)))));
      }
      expect("the number of their tags", new Set(answers.map(readTag)).size, 1);
      const layers = Map.groupBy(answers, nameLayer);
      const count = (layer: string) => layers.get(layer)?.length ?? 0;
      return `${count("isolate")} from the isolate, ${count("data-centre")} from the data centre, ${count("database")} from the database`;
    }
    return "none of the given runs is finished";
  },
});

function nameLayer({ headers }: Answer): string {
  const status = headers.get("cache-status");
  expect("Cache-Status", status, /^crew-runs; (hit; detail=(isolate|data-centre)|fwd=uri-miss(; stored)?)$/);
  return /isolate|data-centre/.exec(String(status))?.[0] ?? "database";
}

const checkForeignRun = (session: Session, runId: string, token: string): Checks => ({
  async "to a stranger, a run that is there and one that is not are the same answer"() {
    // With one request id, to the byte.
    const headers = { "x-request-id": `smoke-${randomUUID()}` };
    const foreign = await session.askInVain("run_not_found", `/api/crew-runs/${runId}`, { token, headers });
    const absent = await session.askInVain("run_not_found", `/api/crew-runs/${randomUUID()}`, { token, headers });
    const compared = ({ headers: all }: Answer) =>
      [...all].filter(([name]) => !/^(date|server-timing|cf-|nel|report-to|alt-svc)/.test(name));
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
