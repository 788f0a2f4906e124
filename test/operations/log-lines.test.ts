// The log as its pages tell it: each line of docs/troubleshooting.md and docs/logging.md is made again by its fault, on the
// real Worker. What changes from run to run (ids, milliseconds) is not compared.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Fault } from "../stack/lane-protocol.ts";
import { type Deployment, startDeployment } from "./deployment.ts";
import { type Signer, startSigner } from "./signer.ts";

type Line = Record<string, unknown>;

const COMPLETED = "11111111-1111-4111-8111-111111111111";
const RUNNING = "33333333-3333-4333-8333-333333333333";
const FOREIGN = "66666666-6666-4666-8666-666666666666";
const BROKEN = "aaaaaaaa-0000-4000-8000-000000000000";
/** Members whose values differ from run to run. */
const VOLATILE = new Set(["request_id", "ms", "db_ms", "waited_ms", "colo", "version"]);
/** After a failed fetch of the key set: BACKOFF_SECONDS of src/auth/key-set.ts. */
const KEY_SET_BACK_OFF_MS = 3_100;

const TROUBLESHOOTING = await read("docs/troubleshooting.md");
const LOGGING = await read("docs/logging.md");

let deployment: Deployment;
let strict: Deployment;
let misconfigured: Deployment;
let signer: Signer;
let bearer: { authorization: string };

before(async () => {
  signer = await startSigner("owner");
  // A short patience, so that time-outs cost the test a second.
  deployment = await startDeployment({ DATABASE_ATTEMPT_TIMEOUT_MS: "300", REQUEST_TIMEOUT_MS: "1500" });
  strict = await startDeployment({ ...signer.variables, REQUIRED_SCOPE: "crew-runs:read", LOG_SUBJECT: "plain" });
  misconfigured = await startDeployment({ JWKS_URL: "http://issuer.example.com/jwks", MAX_WAIT_SECONDS: "61" });
  bearer = { authorization: `Bearer ${await deployment.stack.authorizationServer.fetchToken("owner")}` };
  await deployment.stack.database.exec(
    `insert into crew_runs (id, correlation_id, owner_id, status, crew_config) values ('${BROKEN}', '', 'owner', 'pending', '{}')`,
  );
});

after(async () => {
  for (const started of [deployment, strict, misconfigured]) await started?.close();
  await signer?.close();
});

function read(path: string): Promise<string> {
  return readFile(`${import.meta.dirname}/../../${path}`, "utf8");
}

/** Sends a request and gives its line. */
async function ask(to: Deployment, path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Line> {
  const id = crypto.randomUUID();
  const response = await fetch(to.url + path, { method, headers: { ...headers, "x-request-id": id } });
  await response.arrayBuffer();
  for (let attempt = 0; attempt < 100; attempt++) {
    const line = to.lines.find((each) => each.includes(id));
    if (line !== undefined) return JSON.parse(line) as Line;
    await sleep(20);
  }
  throw new Error(`no line for ${method} ${path}`);
}

const readRun = (id: string, headers: Record<string, string> = {}) =>
  ask(deployment, `/api/crew-runs/${id}`, { ...bearer, ...headers });

const readWithToken = (token: string) => ask(strict, `/api/crew-runs/${FOREIGN}`, { authorization: `Bearer ${token}` });

async function withFault(fault: Fault, makeLine = () => readRun(RUNNING)): Promise<Line> {
  await deployment.breakDatabase(fault);
  try {
    return await makeLine();
  } finally {
    await deployment.breakDatabase({ kind: "none" });
  }
}

async function withSql(breakIt: string, mendIt: string): Promise<Line> {
  await deployment.stack.database.exec(breakIt);
  try {
    return await readRun(RUNNING);
  } finally {
    await deployment.stack.database.exec(mendIt);
  }
}

/** While no key is known: the key set must not have been fetched yet. */
async function withKeySet(fault: Fault): Promise<Line> {
  await deployment.breakKeySet(fault);
  const line = await readRun(RUNNING);
  await sleep(KEY_SET_BACK_OFF_MS);
  return line;
}

const status = (code: number, text = "", contentType = "text/plain"): Fault => ({
  kind: "status",
  status: code,
  text,
  contentType,
});
const sqlError = (code: string, message: string): Fault =>
  status(400, JSON.stringify({ code, message }), "application/json");
const inSeconds = (seconds: number) => Math.floor(Date.now() / 1_000) + seconds;

/** The faults of docs/troubleshooting.md, by heading and in the order of the page. The first need a Worker without keys. */
const FAULTS: Record<string, (() => Promise<Line>)[]> = {
  "Runs are a 503, the keys": [
    () => withKeySet({ kind: "drop" }),
    () => withKeySet({ kind: "drop" }),
    () => withKeySet(status(404)),
    () => withKeySet(status(302)),
    () => withKeySet(status(200, "{}")),
    () => withKeySet(status(200, `{"keys":[]}`)),
  ],
  "Everything is a 500": [() => ask(misconfigured, `/api/crew-runs/${RUNNING}`)],
  "Nobody is let in": [() => ask(deployment, `/api/crew-runs/${RUNNING}`)],
  "A token is refused": [
    () => readWithToken("x"),
    async () => readWithToken(await signer.sign({ iss: `${signer.variables.JWT_ISSUER}/` })),
    async () => readWithToken(await signer.sign({ aud: "https://other.example.com" })),
    async () => readWithToken(await signer.sign({ exp: inSeconds(-60) })),
    async () => readWithToken(await signer.sign({ nbf: inSeconds(60) })),
    async () => readWithToken(await signer.sign({ sub: undefined })),
    async () => readWithToken(await signer.sign({ nonce: "n" })),
    async () => readWithToken(await signer.sign({}, { typ: "dpop+jwt" })),
    () => readWithToken("opaque"),
    async () => readWithToken((await signer.sign()).replace(/^[^.]+/, btoa(`{"alg":"HS256"}`).replace(/=+$/, ""))),
    async () => readWithToken(await signer.sign({}, { kid: "rotated-out" })),
    async () => readWithToken((await signer.sign()).replace(/.{8}(?=.{8}$)/, "AAAAAAAA")),
  ],
  "A good token is a 403": [async () => readWithToken(await signer.sign())],
  "A run that exists is a 404": [async () => readWithToken(await signer.sign({ scope: "crew-runs:read" }))],
  "An id is a 422": [() => readRun("no-uuid")],
  "A browser may not call": [
    () =>
      ask(
        deployment,
        `/api/crew-runs/${RUNNING}`,
        { origin: "https://app.example.com", "access-control-request-method": "GET" },
        "OPTIONS",
      ),
  ],
  "One run is a 500": [() => readRun(BROKEN)],
  "Runs are a 503, the database": [
    () => withFault({ kind: "drop" }),
    () => withFault(sqlError("28P01", "password authentication failed for user 'crew_runs_reader'")),
    () => withSql("alter table crew_runs rename to gone", "alter table gone rename to crew_runs"),
    () => withSql("revoke select on crew_runs from crew_runs_reader", "grant select on crew_runs to crew_runs_reader"),
    () =>
      withSql(
        "alter table crew_runs rename column error to failure",
        "alter table crew_runs rename column failure to error",
      ),
    () => withFault({ kind: "drop" }),
    () => withFault({ kind: "hang" }),
    () => withFault(status(500, "Control plane request failed")),
    () => withFault(sqlError("57P03", "the database system is starting up")),
    () => withFault({ kind: "truncated" }),
  ],
  "Answers are slow": [() => withFault({ kind: "hang", times: 1 })],
  "A corrected run shows its old state": [() => readRun(COMPLETED).then(() => readRun(COMPLETED))],
  "/ready": [() => withFault({ kind: "drop" }, () => ask(deployment, "/ready"))],
};

/** The lines of a page, and the fragments of its tables, by their headings. */
function listLines(page: string): Map<string, Line[]> {
  const lines = new Map<string, Line[]>();
  let heading = "";
  for (const text of page.split("\n")) {
    if (text.startsWith("## ")) heading = text.slice(3);
    const [json] = /^\{.*\}$/.exec(text) ?? [];
    const [, fragment] = /^\| `("(?:why|db_faults)":.*?)` +\|/.exec(text) ?? [];
    if (json === undefined && fragment === undefined) continue;
    lines.set(heading, [...(lines.get(heading) ?? []), JSON.parse(json ?? `{${fragment}}`) as Line]);
  }
  return lines;
}

function expectLine(actual: Line, documented: Line): void {
  for (const [name, value] of Object.entries(documented)) {
    if (VOLATILE.has(name)) assert.equal(typeof actual[name], typeof value, `${name} of ${JSON.stringify(actual)}`);
    else assert.deepEqual(actual[name], value, `${name} of ${JSON.stringify(actual)}`);
  }
}

for (const [heading, makeLines] of Object.entries(FAULTS)) {
  test(`docs/troubleshooting.md: ${heading}`, async () => {
    const documented = listLines(TROUBLESHOOTING).get(heading) ?? [];
    assert.equal(documented.length, makeLines.length, "as many lines on the page as faults in this test");
    await deployment.breakKeySet({ kind: "none" });
    for (const [index, makeLine] of makeLines.entries()) expectLine(await makeLine(), documented[index] ?? {});
  });
}

test("docs/troubleshooting.md has no line that is not made here", () => {
  assert.deepEqual([...listLines(TROUBLESHOOTING).keys()].toSorted(), Object.keys(FAULTS).toSorted());
});

test("docs/logging.md has a row for each member that the Worker writes, and no other", async () => {
  const documented = [...LOGGING.matchAll(/^\| `(\w+)` +\|/gm)].map(([, name]) => name);
  const notes = /interface Notes \{(.*?)\n\}/s.exec(await read("src/trace.ts"))?.[1] ?? "";
  const others = /JSON\.stringify\(\{(.*?)\.\.\.notes/s.exec(await read("src/request.ts"))?.[1] ?? "";
  const names = [notes, others].flatMap((text) => [...text.matchAll(/^ +(\w+)\??[:,]/gm)].map(([, name]) => name));
  assert.deepEqual(documented.toSorted(), [...new Set(names)].toSorted());
});

test("docs/logging.md has examples that the Worker writes again, to the member", async () => {
  const examples = [...listLines(LOGGING).values()].flat();
  await readRun(RUNNING);
  const made = [
    await readRun(RUNNING, { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" }),
    await readRun(COMPLETED).then(() => readRun(COMPLETED)),
    await readRun(RUNNING, { prefer: "wait=2" }),
    await withFault({ kind: "drop", times: 1 }),
  ];
  assert.equal(examples.length, made.length);
  for (const [index, line] of made.entries()) {
    const example = examples[index] ?? {};
    expectLine(line, example);
    assert.deepEqual(Object.keys(line).toSorted(), Object.keys(example).toSorted());
  }
});

test("no line holds a token, a password or what a record holds", () => {
  const lines = [deployment, strict, misconfigured].flatMap((each) => each.lines).join("\n");
  const [, claims, signature] = bearer.authorization.split(".");
  const { password } = new URL(deployment.stack.variables.DATABASE_URL);
  for (const secret of [claims, signature, password, "issuer.example.com/jwks", "tram"]) {
    assert.ok(secret !== undefined && !lines.includes(secret), secret);
  }
});
