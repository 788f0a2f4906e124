// The log as its pages show it: each line of docs/troubleshooting.md and docs/logging.md is made again by its fault, on the
// real Worker. What changes from run to run (ids, milliseconds) is not compared.
import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { setTimeout as sleep } from "node:timers/promises";
import type { Fault } from "../support/fault-proxy-protocol.ts";
import { type FaultProxyServer, startFaultProxyServer } from "../support/node/fault-proxy-server.ts";
import { type LocalStack, startLocalStack } from "../support/node/local-stack.ts";
import { makeKey } from "../support/signing.ts";
import { type TestIssuer, openIssuerAt } from "../support/test-issuer.ts";

type Line = Record<string, unknown>;

const COMPLETED = "11111111-1111-4111-8111-111111111111";
const RUNNING = "33333333-3333-4333-8333-333333333333";
const FOREIGN = "66666666-6666-4666-8666-666666666666";
const BROKEN = "aaaaaaaa-0000-4000-8000-000000000000";
/** Members that change from run to run. */
const VOLATILE = new Set(["request_id", "ms", "db_ms", "waited_ms", "cf_ray", "version"]);
/** After a failed fetch of the key set: BACKOFF_SECONDS of src/auth/key-set.ts. */
const KEY_SET_BACK_OFF_MS = 3_100;
const LINE_TIMEOUT_MS = 2_000;
const DROP: Fault = { kind: "drop" };

let localStack: LocalStack;
/** Trusts the signer, whose tokens have the mistakes that an honest issuer does not make. */
let strict: LocalStack;
let misconfigured: LocalStack;
let locked: LocalStack;
const localStacks: LocalStack[] = [];
let proxies: FaultProxyServer;
let signer: TestIssuer;
let token: string;

beforeAll(async () => {
  proxies = await startFaultProxyServer();
  signer = await openIssuerAt(proxies.open, [await makeKey("ES256")]);
  const start = async (variables: Record<string, string>) => {
    const started = await startLocalStack(variables);
    localStacks.push(started);
    return started;
  };
  // A short patience, so that time-outs cost the test a second.
  const patience = { DATABASE_ATTEMPT_TIMEOUT_MS: "300", REQUEST_TIMEOUT_MS: "1500" };
  localStack = await start({ ...patience, READY_CHECKS_DATABASE: "true" });
  strict = await start({ ...signer.variables, REQUIRED_SCOPE: "crew-runs:read", LOG_SUBJECT: "plain" });
  misconfigured = await start({ JWKS_URL: "http://issuer.example.com/jwks", MAX_WAIT_SECONDS: "61" });
  locked = await start({ DATABASE_URL: "postgresql://crew_runs_reader:wrong@127.0.0.1/postgres" });
  token = await localStack.authorizationServer.fetchToken("owner");
  await localStack.database.exec(
    `insert into crew_runs (id, correlation_id, owner_id, status, crew_config) values ('${BROKEN}', '', 'owner', 'pending', '{}')`,
  );
});

afterAll(async () => {
  for (const started of localStacks) await started.close();
  await proxies.close();
});

/** Sends a request and gives its line. */
async function request({ url, lines }: LocalStack, path: string, headers = {}, method = "GET"): Promise<Line> {
  const id = crypto.randomUUID();
  await (
    await fetch(url + path, { method, headers: { "cf-ray": "8f3a1b2c3d4e5f60-DFW", ...headers, "x-request-id": id } })
  ).arrayBuffer();
  for (const deadlineMs = Date.now() + LINE_TIMEOUT_MS; Date.now() < deadlineMs; await sleep(20)) {
    const line = lines.find((each) => each.includes(id));
    if (line !== undefined) return JSON.parse(line) as Line;
  }
  throw new Error(`no line for ${method} ${path}`);
}

const read = (worker: LocalStack, id: string, bearer: string, headers = {}) =>
  request(worker, `/api/crew-runs/${id}`, { authorization: `Bearer ${bearer}`, ...headers });
const readRun = (id: string, headers = {}) => read(localStack, id, token, headers);

async function readSigned(claims = {}, header = {}, id = RUNNING): Promise<Line> {
  return read(strict, id, await signer.sign(claims, { header }));
}

async function withFault(fault: Fault, ask = () => readRun(RUNNING)): Promise<Line> {
  await localStack.databaseProxy.fail(fault);
  return ask().finally(() => localStack.databaseProxy.fail({ kind: "none" }));
}

async function withSql(breakIt: string, mendIt: string): Promise<Line> {
  await localStack.database.exec(breakIt);
  return readRun(RUNNING).finally(() => localStack.database.exec(mendIt));
}

function answer(status: number, text = "", contentType = "text/plain"): Fault {
  return { kind: "status", status, text, contentType };
}

interface Documented {
  heading: string;
  members: Line;
}

/** The lines of a page, and the parts of lines in the first column of its tables. */
async function readPage(name: string): Promise<Documented[]> {
  const documented: Documented[] = [];
  let heading = "";
  for (const line of (await readText(`docs/${name}`)).split("\n")) {
    if (line.startsWith("## ")) heading = line.slice(3);
    const fragment = /^\| `("(?:why|db_faults)":.*?)` +\|/.exec(line)?.[1];
    const json = line.startsWith("{") ? line : fragment && `{${fragment}}`;
    if (json !== undefined) documented.push({ heading, members: JSON.parse(json) as Line });
  }
  return documented;
}

const readText = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), "utf8");

function expectLine(actual: Line, { members }: Documented): void {
  for (const [name, value] of Object.entries(members)) {
    if (VOLATILE.has(name)) expect(typeof actual[name], `${name} of ${JSON.stringify(actual)}`).toBe(typeof value);
    else expect(actual[name], `${name} of ${JSON.stringify(actual)}`).toEqual(value);
  }
}

const nowSeconds = Math.floor(Date.now() / 1_000);

/** By heading, and in the order of the page. */
const FAULTS: Record<string, (() => Promise<Line>)[]> = {
  "Every request is a 500": [() => request(misconfigured, `/api/crew-runs/${RUNNING}`)],
  "Every request is a 401": [() => request(localStack, `/api/crew-runs/${RUNNING}`)],
  "A token is refused": [
    () => read(strict, RUNNING, "x"),
    () => readSigned({ iss: `${signer.variables.JWT_ISSUER}/` }),
    () => readSigned({ aud: "https://other.example.com" }),
    () => readSigned({ exp: nowSeconds - 60 }),
    () => readSigned({ nbf: nowSeconds + 600 }),
    () => readSigned({ sub: undefined }),
    () => readSigned({ nonce: "n" }, { typ: "JWT" }),
    () => readSigned({}, { typ: "dpop+jwt" }),
    () => read(strict, RUNNING, "opaque"),
    async () =>
      read(strict, RUNNING, (await signer.sign()).replace(/^[^.]+/, btoa(`{"alg":"HS256"}`).replace(/=+$/, ""))),
    () => readSigned({}, { kid: "rotated-out" }),
    async () => read(strict, RUNNING, (await signer.sign()).replace(/.{8}(?=.{8}$)/, "AAAAAAAA")),
  ],
  "A valid token gets a 403": [() => readSigned({ scope: undefined })],
  "An existing run is a 404": [() => readSigned({ scope: "crew-runs:read" }, {}, FOREIGN)],
  "An id is a 422": [() => readRun("no-uuid")],
  "A browser's request is blocked": [
    () => {
      const headers = { origin: "https://app.example.com", "access-control-request-method": "GET" };
      return request(localStack, `/api/crew-runs/${RUNNING}`, headers, "OPTIONS");
    },
  ],
  "One run is a 500": [() => readRun(BROKEN)],
  "Runs are a 503: the database": [
    () => withFault(DROP),
    async () => read(locked, RUNNING, await locked.authorizationServer.fetchToken("owner")),
    () => withSql("alter table crew_runs rename to gone", "alter table gone rename to crew_runs"),
    () => withSql("revoke select on crew_runs from crew_runs_reader", "grant select on crew_runs to crew_runs_reader"),
    () => withSql("alter table crew_runs rename error to failure", "alter table crew_runs rename failure to error"),
    () => withFault(DROP),
    () => withFault({ kind: "hang" }),
    () => withFault(answer(500, "Control plane request failed")),
    () => withFault(answer(402, `{"message":"Your account or project has exceeded the compute time quota."}`)),
    () => withFault(answer(400, `{"message":"the database system is starting up","code":"57P03"}`, "application/json")),
    () => withFault({ kind: "truncated" }),
  ],
  "Responses are slow": [() => withFault({ kind: "hang", times: 1 })],
  "A corrected run shows its old state": [() => readRun(COMPLETED).then(() => readRun(COMPLETED))],
  "/ready": [() => withFault(DROP, () => request(localStack, "/ready"))],
};

const KEY_SET_FAULTS = [DROP, DROP, answer(404), answer(302), answer(200, "{}"), answer(200, `{"keys":[]}`)];
const KEY_SET_HEADING = "Runs are a 503: the keys";

async function expectDocumented(heading: string, makeLines: (() => Promise<Line>)[]): Promise<void> {
  const documented = (await readPage("troubleshooting.md")).filter((each) => each.heading === heading);
  expect(documented.length, "lines on the page, and lines that this test makes").toBe(makeLines.length);
  for (const [index, expected] of documented.entries()) expectLine((await makeLines[index]?.()) ?? {}, expected);
}

describe("docs/troubleshooting.md", () => {
  // First, while the Worker knows no key.
  test(KEY_SET_HEADING, async () => {
    const readAfter = async (fault: Fault) => {
      await localStack.keySetProxy.fail(fault);
      await sleep(KEY_SET_BACK_OFF_MS);
      return readRun(RUNNING);
    };
    await expectDocumented(
      KEY_SET_HEADING,
      KEY_SET_FAULTS.map((fault) => () => readAfter(fault)),
    );
    expect((await readAfter({ kind: "none" }))["status"]).toBe(200);
  });

  for (const [heading, makeLines] of Object.entries(FAULTS)) test(heading, () => expectDocumented(heading, makeLines));

  test("has no line that is not made here", async () => {
    const headings = new Set((await readPage("troubleshooting.md")).map(({ heading }) => heading));
    expect([...headings].toSorted()).toEqual([...Object.keys(FAULTS), KEY_SET_HEADING].toSorted());
  });
});

describe("docs/logging.md", () => {
  test("has a row for each member that the Worker writes, and no other", async () => {
    const documented = [...(await readText("docs/logging.md")).matchAll(/^\| `(\w+)` +\|/gm)].map(([, name]) => name);
    const notes = (await readText("src/trace.ts")).matchAll(/"(\w+)"/g);
    const fixed = /JSON\.stringify\(\{(.*?)\.\.\.notes/s.exec(await readText("src/http/request-log.ts"))?.[1] ?? "";
    const names = [...notes, ...fixed.matchAll(/^ +(\w+)\??[:,]/gm)].map(([, name]) => name);
    expect(documented.toSorted()).toEqual([...new Set(names)].toSorted());
  });

  test("has examples that the Worker writes again, to the member", async () => {
    const examples = await readPage("logging.md");
    await readRun(RUNNING);
    const made = [
      await readRun(RUNNING, { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" }),
      await readRun(COMPLETED).then(() => readRun(COMPLETED)),
      await readRun(RUNNING, { prefer: "wait=2" }),
      await withFault({ kind: "drop", times: 1 }),
    ];
    expect(examples.length).toBe(made.length);
    for (const [index, example] of examples.entries()) {
      const line = made[index] ?? {};
      expectLine(line, example);
      expect(Object.keys(line).toSorted()).toEqual(Object.keys(example.members).toSorted());
    }
  });

  test("no line contains a token, a password or a value of a record", () => {
    const lines = localStacks.flatMap((each) => each.lines).join("\n");
    const [, claims = "", signature = ""] = token.split(".");
    const { password } = new URL(localStack.variables.DATABASE_URL);
    for (const secret of [claims, signature, password, "wrong@", "issuer.example.com/jwks", "tram"]) {
      expect(lines, secret).not.toContain(secret);
    }
  });
});
