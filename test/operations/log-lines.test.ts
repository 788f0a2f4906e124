// The log as its pages tell it: each line of docs/troubleshooting.md and docs/logging.md is made again by its fault, on the
// real Worker. What changes from run to run (ids, milliseconds) is not compared.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Fault } from "../stack/lane-protocol.ts";
import { type Deployment, startDeployment } from "./deployment.ts";
import { type Signer, startSigner } from "./signer.ts";

type Line = Record<string, unknown>;

const completed = "11111111-1111-4111-8111-111111111111";
const running = "33333333-3333-4333-8333-333333333333";
const foreign = "66666666-6666-4666-8666-666666666666";
const broken = "aaaaaaaa-0000-4000-8000-000000000000";
const volatile = new Set(["request_id", "ms", "db_ms", "waited_ms", "colo", "version"]);
/** After a failed fetch of the key set: BACKOFF_SECONDS of src/auth/key-set.ts. */
const keySetBackOffMs = 3_100;

let deployment: Deployment;
let strict: Deployment;
let misconfigured: Deployment;
let locked: Deployment;
const deployments: Deployment[] = [];
let signer: Signer;
let bearer: { authorization: string };

before(async () => {
  signer = await startSigner("owner");
  // A short patience, so that time-outs cost the test a second.
  const patience = { DATABASE_ATTEMPT_TIMEOUT_MS: "300", REQUEST_TIMEOUT_MS: "1500" };
  deployment = await start(patience);
  strict = await start({ ...signer.variables, REQUIRED_SCOPE: "crew-runs:read", LOG_SUBJECT: "plain" });
  misconfigured = await start({ JWKS_URL: "http://issuer.example.com/jwks", MAX_WAIT_SECONDS: "61" });
  locked = await start({ DATABASE_URL: "postgresql://crew_runs_reader:wrong@127.0.0.1/postgres" });
  bearer = { authorization: `Bearer ${await deployment.stack.authorizationServer.fetchToken("owner")}` };
  await deployment.stack.database.exec(
    `insert into crew_runs (id, correlation_id, owner_id, status, crew_config) values ('${broken}', '', 'owner', 'pending', '{}')`,
  );
});

after(async () => {
  for (const started of deployments) await started.close();
  await signer.close();
});

async function start(variables: Record<string, string>): Promise<Deployment> {
  const started = await startDeployment(variables);
  deployments.push(started);
  return started;
}

/** Sends a request and gives its line. */
async function request(
  { url, lines }: Deployment,
  path: string,
  headers: Record<string, string>,
  method = "GET",
): Promise<Line> {
  const id = crypto.randomUUID();
  const response = await fetch(url + path, { method, headers: { ...headers, "x-request-id": id } });
  await response.arrayBuffer();
  for (let attempt = 0; attempt < 100; attempt++) {
    const line = lines.find((each) => each.includes(id));
    if (line !== undefined) return JSON.parse(line) as Line;
    await sleep(20);
  }
  throw new Error(`no line for ${method} ${path}`);
}

const readRun = (id: string, headers: Record<string, string> = {}) =>
  request(deployment, `/api/crew-runs/${id}`, { ...bearer, ...headers });

async function readWithFault(fault: Fault): Promise<Line> {
  await deployment.breakDatabase(fault);
  try {
    return await readRun(running);
  } finally {
    await deployment.breakDatabase({ kind: "none" });
  }
}

async function readWithSql(breakIt: string, mendIt: string): Promise<Line> {
  await deployment.stack.database.exec(breakIt);
  try {
    return await readRun(running);
  } finally {
    await deployment.stack.database.exec(mendIt);
  }
}

async function readWithToken(token: string): Promise<Line> {
  return request(strict, `/api/crew-runs/${running}`, { authorization: `Bearer ${token}` });
}

/** While no key is known: the key set must not have been fetched yet. */
async function readWithKeySet(fault: Fault): Promise<Line> {
  await deployment.breakKeySet(fault);
  await sleep(keySetBackOffMs);
  return readRun(running);
}

const status = (code: number, text = "", contentType = "text/plain"): Fault => ({
  kind: "status",
  status: code,
  text,
  contentType,
});

interface Documented {
  heading: string;
  members: Line;
}

function readPage(page: string): Documented[] {
  const documented: Documented[] = [];
  let heading = "";
  for (const line of page.split("\n")) {
    if (line.startsWith("## ")) heading = line.slice(3);
    else if (line.startsWith("{")) documented.push({ heading, members: JSON.parse(line) as Line });
    const fragment = /^\| `("(?:why|db_faults)":.*?)` +\|/.exec(line)?.[1];
    if (fragment !== undefined) documented.push({ heading, members: JSON.parse(`{${fragment}}`) as Line });
  }
  return documented;
}

function expectLine(actual: Line, { members }: Documented): void {
  for (const [name, value] of Object.entries(members)) {
    if (volatile.has(name)) assert.equal(typeof actual[name], typeof value, `${name} of ${JSON.stringify(actual)}`);
    else assert.deepEqual(actual[name], value, `${name} of ${JSON.stringify(actual)}`);
  }
}

const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), "utf8");

/** By heading, and in the order of the page. */
const faults: Record<string, (() => Promise<Line>)[]> = {
  "Everything is a 500": [() => request(misconfigured, `/api/crew-runs/${running}`, {})],
  "Nobody is let in": [() => request(deployment, `/api/crew-runs/${running}`, {})],
  "A token is refused": [
    () => readWithToken("x"),
    async () => readWithToken(await signer.sign({ iss: `${signer.variables.JWT_ISSUER}/` })),
    async () => readWithToken(await signer.sign({ aud: "https://other.example.com" })),
    async () => readWithToken(await signer.sign({ exp: Math.floor(Date.now() / 1_000) - 60 })),
    async () => readWithToken(await signer.sign({ nbf: Math.floor(Date.now() / 1_000) + 60 })),
    async () => readWithToken(await signer.sign({ sub: undefined })),
    async () => readWithToken(await signer.sign({ nonce: "n" })),
    async () => readWithToken(await signer.sign({}, { typ: "dpop+jwt" })),
    () => readWithToken("opaque"),
    async () => readWithToken((await signer.sign()).replace(/^[^.]+/, btoa(`{"alg":"HS256"}`).replace(/=+$/, ""))),
    async () => readWithToken(await signer.sign({}, { kid: "rotated-out" })),
    async () => readWithToken((await signer.sign()).replace(/.{8}(?=.{8}$)/, "AAAAAAAA")),
  ],
  "A good token is a 403": [async () => readWithToken(await signer.sign())],
  "A run that exists is a 404": [
    async () =>
      request(strict, `/api/crew-runs/${foreign}`, {
        authorization: `Bearer ${await signer.sign({ scope: "crew-runs:read" })}`,
      }),
  ],
  "An id is a 422": [() => readRun("no-uuid")],
  "A browser may not call": [
    () =>
      request(
        deployment,
        `/api/crew-runs/${running}`,
        { origin: "https://app.example.com", "access-control-request-method": "GET" },
        "OPTIONS",
      ),
  ],
  "One run is a 500": [() => readRun(broken)],
  "Runs are a 503, the database": [
    () => readWithFault({ kind: "drop" }),
    async () =>
      request(locked, `/api/crew-runs/${running}`, {
        authorization: `Bearer ${await locked.stack.authorizationServer.fetchToken("owner")}`,
      }),
    () => readWithSql("alter table crew_runs rename to gone", "alter table gone rename to crew_runs"),
    () =>
      readWithSql("revoke select on crew_runs from crew_runs_reader", "grant select on crew_runs to crew_runs_reader"),
    () =>
      readWithSql(
        "alter table crew_runs rename column error to failure",
        "alter table crew_runs rename column failure to error",
      ),
    () => readWithFault({ kind: "drop" }),
    () => readWithFault({ kind: "hang" }),
    () => readWithFault(status(500, "Control plane request failed")),
    () =>
      readWithFault(status(400, `{"message":"the database system is starting up","code":"57P03"}`, "application/json")),
    () => readWithFault({ kind: "truncated" }),
  ],
  "Answers are slow": [() => readWithFault({ kind: "hang", times: 1 })],
  "A corrected run shows its old state": [
    async () => {
      await readRun(completed);
      return readRun(completed);
    },
  ],
  "/ready": [
    async () => {
      await deployment.breakDatabase({ kind: "drop" });
      const line = await request(deployment, "/ready", {});
      await deployment.breakDatabase({ kind: "none" });
      return line;
    },
  ],
};

const keySetFaults: Fault[] = [
  { kind: "drop" },
  { kind: "drop" },
  status(404),
  status(302),
  status(200, "{}"),
  status(200, `{"keys":[]}`),
];

describe("docs/troubleshooting.md", () => {
  // First, while the Worker knows no key.
  test("Runs are a 503, the keys", async () => {
    const documented = (await readPage(await read("docs/troubleshooting.md"))).filter(({ heading }) =>
      heading.endsWith("the keys"),
    );
    assert.equal(documented.length, keySetFaults.length);
    for (const [index, fault] of keySetFaults.entries()) {
      const expected = documented[index];
      assert.ok(expected !== undefined);
      expectLine(await readWithKeySet(fault), expected);
    }
    await deployment.breakKeySet({ kind: "none" });
    await sleep(keySetBackOffMs);
    assert.equal((await readRun(running))["status"], 200);
  });

  for (const [heading, makeLines] of Object.entries(faults)) {
    test(heading, async () => {
      const documented = readPage(await read("docs/troubleshooting.md")).filter((each) => each.heading === heading);
      assert.equal(documented.length, makeLines.length, "a line that the test does not make, or the other way round");
      for (const [index, makeLine] of makeLines.entries()) {
        const expected = documented[index];
        assert.ok(expected !== undefined);
        expectLine(await makeLine(), expected);
      }
    });
  }

  test("has no line that is not made here", async () => {
    const headings = new Set(readPage(await read("docs/troubleshooting.md")).map(({ heading }) => heading));
    headings.delete("Runs are a 503, the keys");
    assert.deepEqual([...headings].toSorted(), Object.keys(faults).toSorted());
  });
});

describe("docs/logging.md", () => {
  test("has a row for each member that the Worker writes, and no other", async () => {
    const page = await read("docs/logging.md");
    const documented = [...page.matchAll(/^\| `(\w+)` +\|/gm)].map(([, name]) => name);
    const notes = (await read("src/trace.ts")).matchAll(/"(\w+)"/g);
    const fixed = /JSON\.stringify\(\{(.*?)\.\.\.notes/s.exec(await read("src/request.ts"))?.[1] ?? "";
    const names = [...notes, ...fixed.matchAll(/^ +(\w+)\??[:,]/gm)].map(([, name]) => name);
    assert.deepEqual(documented.toSorted(), [...new Set(names)].toSorted());
  });

  test("has examples that the Worker writes again, to the member", async () => {
    const [traced, kept, waited, repeated] = readPage(await read("docs/logging.md"));
    assert.ok(traced !== undefined && kept !== undefined && waited !== undefined && repeated !== undefined);
    await readRun(running);
    const made = [
      await readRun(running, { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" }),
      await readRun(completed).then(() => readRun(completed)),
      await readRun(running, { prefer: "wait=2" }),
      await readWithFault({ kind: "drop", times: 1 }),
    ];
    for (const [index, example] of [traced, kept, waited, repeated].entries()) {
      const line = made[index] ?? {};
      expectLine(line, example);
      assert.deepEqual(Object.keys(line).toSorted(), Object.keys(example.members).toSorted());
    }
  });

  test("no line holds a token, a password or what a record holds", async () => {
    const lines = deployments.flatMap((each) => each.lines).join("\n");
    const secrets = [
      bearer.authorization.split(".")[1],
      bearer.authorization.split(".")[2],
      new URL(deployment.stack.variables.DATABASE_URL).password,
      "wrong@",
      "issuer.example.com/jwks",
      "tram",
    ];
    for (const secret of secrets) assert.ok(secret !== undefined && !lines.includes(secret), secret);
  });
});
