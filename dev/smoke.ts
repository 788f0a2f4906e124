// `npm run smoke`: black-box checks of a deployment, by nothing but HTTP, the same for the local stack and for production.
// Guarantees that it only reads, prints no token, and that the exit code is 1 if anything is wrong.
import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { type Finding, bad, formatFinding, hint, isHealthy, ok, summarize } from "./checklist.ts";
import { describeFetchError } from "./doctor/issuer.ts";

export interface SmokeTarget {
  /** Such as `https://runs.example.com`. */
  origin: string;
  /** Without it, only what needs no token is checked. */
  token?: string | undefined;
  /** A run that the token may read. */
  runId?: string | undefined;
  /** Of somebody who may not read that run. */
  strangerToken?: string | undefined;
}

interface Answer {
  status: number;
  headers: Headers;
  text: string;
  json: Record<string, unknown>;
}

const timeoutMs = 15_000;
const recordKeys =
  "id correlation_id owner_id status created_at crew_type crew_config task_input result error started_at completed_at";

class Mismatch extends Error {}

function expect(condition: boolean, reason: string): void {
  if (!condition) throw new Mismatch(reason);
}

class Smoke {
  readonly #target: SmokeTarget;
  readonly answers: Answer[] = [];

  constructor(target: SmokeTarget) {
    this.#target = target;
  }

  async get(path: string, init: { method?: string; headers?: Record<string, string> } = {}): Promise<Answer> {
    const signal = AbortSignal.timeout(timeoutMs);
    const response = await fetch(this.#target.origin + path, { redirect: "manual", signal, ...init });
    const text = await response.text();
    const answer = { status: response.status, headers: response.headers, text, json: parseObject(text) };
    this.answers.push(answer);
    return answer;
  }

  /** Also expects what every error answer has. */
  async getRefusal(status: number, code: string, ...request: Parameters<Smoke["get"]>): Promise<Answer> {
    const answer = await this.get(...request);
    expect(answer.status === status, `${answer.status}, not ${status}`);
    const { detail, code: given, request_id: requestId } = answer.json;
    expect(detail !== undefined && given === code, `the body's code is ${String(given)}, not ${code}`);
    expect(requestId === answer.headers.get("x-request-id"), "the body's request_id is not the header's");
    expect(answer.headers.get("cache-control") === "no-store", "errors must not be stored");
    return answer;
  }
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

async function check(text: string, remedy: string, run: () => Promise<void>): Promise<Finding> {
  try {
    await run();
    return ok(text);
  } catch (error) {
    const reason = error instanceof Mismatch ? error.message : describeFetchError(error);
    return bad(`${text}: ${reason}`, remedy);
  }
}

/** Yields each finding as soon as it is known. Sends about 30 requests, one after the other. */
export async function* smoke(target: SmokeTarget): AsyncGenerator<Finding> {
  const session = new Smoke(target);
  yield* checkService(session);
  yield* checkDocuments(session, target);
  yield* checkRefusals(session, target);
  yield* target.token === undefined
    ? [hint("no run was read", "Give it one: --token … --run …")]
    : checkRuns(session, target, target.token);
  yield await check(
    "every answer has a request id, its timing and the security headers",
    "Does something in front of the Worker remove headers, or answer in its place?",
    async () => checkHeaders(session.answers, target.origin),
  );
}

async function* checkService(session: Smoke): AsyncGenerator<Finding> {
  yield await check("/health says that the Worker runs", "Is this the Worker's address?", async () => {
    const { status, json } = await session.get("/health");
    expect(status === 200 && json["status"] === "ok", `${status}`);
  });
  yield await check(
    "/ready reaches database and key set",
    "npm run doctor looks at both; docs/troubleshooting.md#ready goes on from the log.",
    async () => {
      const { status, text, json } = await session.get("/ready");
      expect(status === 200 && json["status"] === "ready", `${status} ${text.slice(0, 200)}`);
    },
  );
}

async function* checkDocuments(session: Smoke, { origin }: SmokeTarget): AsyncGenerator<Finding> {
  const remedy =
    "The documents are made by docs/build.ts and deployed with the Worker: [build] and [assets] in wrangler.toml.";
  yield await check("/openapi.json describes this deployment", remedy, async () => {
    const { status, json } = await session.get("/openapi.json");
    expect(status === 200, `${status}`);
    expect(String(json["openapi"]).startsWith("3.1."), `OpenAPI ${String(json["openapi"])}`);
    const servers = JSON.stringify(json["servers"]);
    expect(servers === JSON.stringify([{ url: origin }]), `servers is ${servers}`);
  });
  yield await check("/docs is a page under a strict policy", remedy, async () => {
    const { status, headers } = await session.get("/docs");
    expect(status === 200, `${status}`);
    expect(headers.get("content-type")?.startsWith("text/html") === true, "no page");
    const policy = headers.get("content-security-policy");
    expect(policy?.includes("default-src 'none'") === true, `its policy is ${policy}`);
  });
  yield await check("/llms.txt is an index", remedy, async () => {
    const { status, text } = await session.get("/llms.txt");
    expect(status === 200 && text.startsWith("# "), `${status} ${text.slice(0, 40)}`);
  });
  yield await check(
    "/.well-known/oauth-protected-resource names the authorization server",
    "It is made from JWT_ISSUER and JWT_AUDIENCE: a 500 here is a setting that is wrong (docs/settings.md).",
    async () => {
      const { status, json } = await session.get("/.well-known/oauth-protected-resource");
      expect(status === 200, `${status}`);
      expect(Array.isArray(json["authorization_servers"]), "no authorization_servers");
      expect(URL.canParse(String(json["resource"])), `resource is ${String(json["resource"])}`);
    },
  );
}

async function* checkRefusals(session: Smoke, { origin, token }: SmokeTarget): AsyncGenerator<Finding> {
  const path = `/api/crew-runs/${randomUUID()}`;
  const metadata = `resource_metadata="${origin}/.well-known/oauth-protected-resource"`;
  const remedy = "Do not put this deployment into service: it does not keep strangers out as it should.";

  yield await check("no credentials are refused, without an error code", remedy, async () => {
    const { headers } = await session.getRefusal(401, "not_authenticated", path);
    const challenge = headers.get("www-authenticate") ?? "";
    expect(challenge.startsWith("Bearer ") && !challenge.includes("error="), `the challenge is ${challenge}`);
    expect(challenge.includes(metadata), `the challenge does not name ${metadata}`);
  });
  const forged = listForgedCredentials(token);
  yield await check(`${forged.length} kinds of worthless tokens are refused`, remedy, async () => {
    for (const [kind, credential] of forged) {
      const { headers } = await session
        .getRefusal(401, "invalid_token", path, { headers: { authorization: `Bearer ${credential}` } })
        .catch((error: unknown) => {
          throw error instanceof Mismatch ? new Mismatch(`${kind}: ${error.message}`) : error;
        });
      const challenge = headers.get("www-authenticate") ?? "";
      expect(challenge.includes(`error="invalid_token"`), `${kind}: the challenge is ${challenge}`);
    }
  });
  yield await check("a token in the query is no credential", remedy, async () => {
    await session.getRefusal(401, "not_authenticated", `${path}?access_token=${token ?? "x.y.z"}`);
  });
  yield await check("credentials come before the run id", remedy, async () => {
    await session.getRefusal(401, "not_authenticated", "/api/crew-runs/no-uuid");
  });

  const routing = "Is this the Worker's address, with no prefix and nothing that rewrites paths?";
  yield await check("an unknown path is a 404", routing, async () => {
    await session.getRefusal(404, "not_found", `/${randomUUID()}`);
  });
  yield await check("another method is a 405", routing, async () => {
    const { headers } = await session.getRefusal(405, "method_not_allowed", path, { method: "POST" });
    expect(headers.get("allow") === "GET", `Allow is ${headers.get("allow")}`);
  });
  yield await check("a request id that the client sends is kept", routing, async () => {
    const id = `smoke-${randomUUID()}`;
    const { headers } = await session.get("/health", { headers: { "x-request-id": id } });
    expect(headers.get("x-request-id") === id, `it is ${headers.get("x-request-id")}`);
  });
}

/** With a real token, also what becomes of it when a part is changed. */
function listForgedCredentials(token: string | undefined): [kind: string, credential: string][] {
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { iss: "https://issuer.invalid", aud: "none", sub: "nobody", exp: 4_102_444_800 };
  const unsigned: [string, string][] = [
    ["garbage", "garbage"],
    ["unsigned", `${encode({ alg: "none" })}.${encode(claims)}.`],
    ["signed with a secret", `${encode({ alg: "HS256" })}.${encode(claims)}.${"A".repeat(43)}`],
    ["of another issuer", `${encode({ alg: "RS256", kid: "x" })}.${encode(claims)}.${"A".repeat(342)}`],
  ];
  const [header, payload, signature] = token?.split(".") ?? [];
  if (header === undefined || payload === undefined || signature === undefined) return unsigned;
  // Inside, where a character carries no padding bits.
  const changed = (signature.startsWith("A") ? "B" : "A") + signature.slice(1);
  const admin = encode({ ...parseObject(Buffer.from(payload, "base64url").toString()), scope: "crew-runs:admin" });
  return [
    ...unsigned,
    ["with another signature", `${header}.${payload}.${changed}`],
    ["with other claims", `${header}.${admin}.${signature}`],
    ["without a signature", `${header}.${payload}.`],
  ];
}

async function* checkRuns(session: Smoke, target: SmokeTarget, token: string): AsyncGenerator<Finding> {
  const headers = { authorization: `Bearer ${token}` };
  const tokenRemedy = `The challenge's error_description says what is wrong with the token, the log line's "why" more
precisely: docs/troubleshooting.md#a-token-is-refused`;

  yield await check("a run that is not there is a 404", tokenRemedy, async () => {
    await session.getRefusal(404, "run_not_found", `/api/crew-runs/${randomUUID()}`, { headers });
  });
  yield await check("an id that is no UUID is a 422", tokenRemedy, async () => {
    const { json } = await session.getRefusal(422, "invalid_run_id", "/api/crew-runs/no-uuid", { headers });
    const [entry] = Array.isArray(json["detail"]) ? (json["detail"] as unknown[]) : [];
    const shape = JSON.stringify(Object.keys(entry ?? {}));
    expect(shape === `["type","loc","msg","input"]`, `the entry has ${shape}`);
  });
  if (target.runId === undefined) {
    yield hint("no run was read", "Name one that the token may read: --run …");
    return;
  }
  const path = `/api/crew-runs/${target.runId}`;
  let run: Answer | undefined;
  yield await check(
    "the run is a record of twelve keys",
    `${tokenRemedy}\nA 404: is the run the token's, or the token an admin's?`,
    async () => {
      run = await session.get(path, { headers });
      expect(run.status === 200, `${run.status} ${run.text.slice(0, 200)}`);
      const keys = Object.keys(run.json).join(" ");
      expect(keys === recordKeys, `its keys are ${keys}`);
      expect(run.json["id"] === target.runId?.toLowerCase(), `its id is ${String(run.json["id"])}`);
    },
  );
  if (run === undefined || run.status !== 200) return;
  yield* checkRepresentation(session, path, headers, run);
  if (target.strangerToken !== undefined) {
    const stranger = { authorization: `Bearer ${target.strangerToken}` };
    yield await check(
      "to a stranger the run is not there",
      "Is that token's scope ADMIN_SCOPE, or its subject the owner?",
      async () => {
        const foreign = await session.getRefusal(404, "run_not_found", path, { headers: stranger });
        const none = await session.getRefusal(404, "run_not_found", `/api/crew-runs/${randomUUID()}`, {
          headers: stranger,
        });
        expect(foreign.json["detail"] === none.json["detail"], "the two answers differ");
      },
    );
  }
}

async function* checkRepresentation(
  session: Smoke,
  path: string,
  headers: Record<string, string>,
  run: Answer,
): AsyncGenerator<Finding> {
  const remedy = "Does something in front of the Worker cache or rewrite answers? Answers with a token are private.";
  const etag = run.headers.get("etag");
  const isFinal = ["completed", "failed"].includes(String(run.json["status"]));

  yield await check("the answer is private, and says how long it is fresh", remedy, async () => {
    const cacheControl = run.headers.get("cache-control") ?? "";
    expect(cacheControl.startsWith("private, "), `Cache-Control is ${cacheControl}`);
    expect(run.headers.get("vary")?.includes("Authorization") === true, `Vary is ${run.headers.get("vary")}`);
    if (!isFinal) expect(run.headers.has("retry-after"), "an unfinished run has no Retry-After");
  });
  yield await check("its ETag makes the next answer a 304", remedy, async () => {
    expect(etag !== null, "there is no ETag");
    const again = await session.get(path, { headers: { ...headers, "if-none-match": etag ?? "" } });
    // What is still running may have changed meanwhile.
    if (!isFinal && again.status === 200 && !isSame(again.headers.get("etag"), etag)) return;
    expect(again.status === 304 && again.text === "", `${again.status}`);
  });
  yield await check("HEAD has the headers and no body", remedy, async () => {
    const head = await session.get(path, { method: "HEAD", headers });
    expect(head.status === 200 && head.text === "", `${head.status}`);
    const tag = head.headers.get("etag");
    expect(tag !== null && (!isFinal || isSame(tag, etag)), `its ETag is ${tag}`);
  });
  yield await check("other spellings of the id are the same run", remedy, async () => {
    const id = String(run.json["id"]);
    for (const spelling of [id.toUpperCase(), id.replaceAll("-", ""), `%7B${id}%7D`, `urn:uuid:${id}`]) {
      const { status, json } = await session.get(`/api/crew-runs/${spelling}`, { headers });
      expect(status === 200 && json["id"] === id, `${spelling}: ${status}`);
    }
  });
}

/** A tag turns weak where something on the way compresses the answer. */
function isSame(one: string | null, other: string | null): boolean {
  return one?.replace(/^W\//, "") === other?.replace(/^W\//, "");
}

function checkHeaders(answers: readonly Answer[], origin: string): void {
  expect(answers.length > 0, "there was none");
  const rules: [string, RegExp][] = [
    ["x-request-id", /^[\w.:-]{1,128}$/],
    ["x-content-type-options", /^nosniff$/],
    ["referrer-policy", /^no-referrer$/],
    ["server-timing", /total;dur=\d/],
    ...(origin.startsWith("https:") ? [["strict-transport-security", /max-age=\d{7}/] as [string, RegExp]] : []),
  ];
  for (const { headers, status } of answers) {
    for (const [name, rule] of rules) {
      const value = headers.get(name);
      expect(value !== null && rule.test(value), `a ${status} has ${name} ${value}`);
    }
  }
}

const help = `Usage: npm run smoke -- ORIGIN [--token TOKEN] [--run ID] [--stranger-token TOKEN]

Checks a deployment by about 30 requests that only read.

  ORIGIN                  such as https://runs.example.com
  --token TOKEN           an access token                              (SMOKE_TOKEN)
  --run ID                a run that it may read                       (SMOKE_RUN)
  --stranger-token TOKEN  a token of somebody who may not read the run (SMOKE_STRANGER_TOKEN)
  --help                  this text

Arguments are for everybody on the machine to see, in the list of processes: variables are not.
`;

async function main(): Promise<void> {
  const option = { type: "string" } as const;
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { token: option, run: option, "stranger-token": option, help: { type: "boolean" } },
  });
  const [address] = positionals;
  if (values.help === true || address === undefined) {
    process.stdout.write(help);
    process.exitCode = values.help === true ? 0 : 1;
    return;
  }
  const url = URL.parse(address);
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new Error(`${JSON.stringify(address)} is no http or https URL`);
  const findings: Finding[] = [];
  const target = {
    origin: url.origin,
    token: values.token ?? process.env["SMOKE_TOKEN"],
    runId: values.run ?? process.env["SMOKE_RUN"],
    strangerToken: values["stranger-token"] ?? process.env["SMOKE_STRANGER_TOKEN"],
  };
  for await (const finding of smoke(target)) {
    console.log(formatFinding(finding));
    findings.push(finding);
  }
  console.log(`\n${summarize(findings)}`);
  if (!isHealthy(findings)) process.exitCode = 1;
}

if (import.meta.main) {
  await main().catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  });
}
