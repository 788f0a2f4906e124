// Clients as others write them, against the real Worker and the local issuer: a strict OAuth library that gets nothing but the
// API's address, a generated client, and every sample of the pages for clients as it stands there.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import * as oauth from "oauth4webapi";
import { generate } from "openapi-typescript-codegen";
import { type TestContext, beforeAll, describe, expect, test, vi } from "vitest";
import { listenOnLoopback } from "../../dev/loopback.ts";
import { type LocalStack, startLocalStack } from "../../dev/local-stack.ts";
import {
  COMPILE_TIMEOUT_MS,
  type Program,
  go,
  install,
  isMissing,
  launch,
  node,
  python,
  sh,
} from "../support/node/program.ts";
import { FINISH, insertRunBy, updateRunBy } from "../support/runs.ts";

const COMPLETED = "11111111-1111-4111-8111-111111111111";
const FOREIGN = "66666666-6666-4666-8666-666666666666";

let localStack: LocalStack;
let folder: string;
let token: string;

beforeAll(async () => {
  // With short waits, each loop has several.
  localStack = await startLocalStack({ chooseSettings: () => ({ MAX_WAIT_SECONDS: "1" }) });
  folder = await mkdtemp(join(tmpdir(), "crew-run-reader-"));
  token = await localStack.authorizationServer.fetchToken("owner");
  return async () => {
    await localStack.close();
    await rm(folder, { recursive: true });
  };
});

const addressOf = (id: string) => `${localStack.url}/api/crew-runs/${id}`;

/** The text that the owner gets. */
async function readText(id: string): Promise<string> {
  return (await fetch(addressOf(id), { headers: { authorization: `Bearer ${token}` } })).text();
}

test("a strict OAuth library finds the issuer from a refusal, gets a token for the API, and reads a run", async () => {
  // The loopback has no TLS.
  const insecure = { [oauth.allowInsecureRequests]: true };
  const read = (accessToken: string) =>
    oauth.protectedResourceRequest(accessToken, "GET", new URL(addressOf(COMPLETED)), undefined, null, insecure);
  const error = await read("worthless").catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(oauth.WWWAuthenticateChallengeError);
  const [challenge] = (error as oauth.WWWAuthenticateChallengeError).cause;
  const resourceUrl = new URL(localStack.url);
  const found = await oauth.resourceDiscoveryRequest(resourceUrl, insecure);
  expect(challenge?.parameters).toMatchObject({ error: "invalid_token", resource_metadata: found.url });
  const { resource, authorization_servers } = await oauth.processResourceDiscoveryResponse(resourceUrl, found);
  const issuer = new URL(authorization_servers?.[0] ?? "");
  const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure));
  const { id, secret } = localStack.authorizationServer.clients.owner;
  const [client, authentication] = [{ client_id: id }, oauth.ClientSecretPost(secret)];
  const granted = await oauth.clientCredentialsGrantRequest(server, client, authentication, { resource }, insecure);
  const { access_token } = await oauth.processClientCredentialsResponse(server, client, granted);
  expect(await (await read(access_token)).json()).toMatchObject({ id: COMPLETED });
});

test("a client generated from the OpenAPI document compiles strictly, and reads what the Worker sends", async () => {
  const directory = join(import.meta.dirname, "generated-client");
  const output = join(directory, "dist");
  const input = (await fetch(`${localStack.url}/openapi.json`).then((response) => response.json())) as object;
  await generate({ input, output, useOptions: true, useUnionTypes: true });
  const compiler = join(import.meta.dirname, "../../node_modules/typescript/bin/tsc");
  const compiled = await launch([process.execPath, compiler, "-p", directory], directory).ended;
  expect(compiled).toMatchObject({ code: 0, stdout: "" });
  const { readBoth } = (await import(join(directory, "client.ts"))) as { readBoth(...args: string[]): Promise<object> };
  const both = await readBoth(localStack.url, token, COMPLETED, FOREIGN);
  expect(both).toEqual({ status: "completed", roles: ["Researcher"], isLong: true, code: "run_not_found" });
});

/** The samples of the pages for clients, by page, section and language. */
const SAMPLES = new Map<string, string>();
for (const page of ["get-run", "authentication", "polling", "webhooks", "errors"]) {
  const markdown = await readFile(join(import.meta.dirname, `../../docs/${page}.md`), "utf8");
  let title = "";
  for (const [, language, code = "", heading] of markdown.matchAll(/^```(.*)\n([^]*?)^```$|^#+ (.*)$/gm)) {
    title = heading ?? title;
    const [, label] = /^(?:sh|js|python|go)\b ?(.*)/.exec(language ?? "") ?? [];
    if (label !== undefined) SAMPLES.set([page, title, label || language].join(", "), code);
  }
}
const findSample = (name: string): string => SAMPLES.get(name) ?? expect.fail(`there is no sample ${name}`);

const TRAMS = /^completed # Trams/;
/** How the reader completes a sample, and what the program then prints for the completed example. */
const SHORT_SAMPLES: Record<string, [complete: (code: string) => Program, output: RegExp]> = {
  "get-run, Read a run, curl": [sh, new RegExp(`^{"id":"${COMPLETED}"`)],
  "get-run, Read a run, JavaScript": [node, TRAMS],
  "get-run, Read a run, Python": [python, TRAMS],
  "get-run, Read a run, Go": [(code) => go(["encoding/json", "errors", "fmt", "net/http", "os"], code), TRAMS],
  "get-run, Exact numbers, JavaScript": [
    (code) => node(`const response = new Response(process.env.TEXT);\n${code}console.log(JSON.stringify(run));`),
    /"budget":"1250000.0","ticket":"9007199254740993"/,
  ],
  "get-run, Exact numbers, Python": [
    (code) => python(`import io, json, os\nresponse = io.StringIO(os.environ["TEXT"])\n${code}print(run)`),
    /'budget': Decimal\('1250000.0'\), 'ticket': 9007199254740993/,
  ],
  "get-run, Exact numbers, Go": [
    (code) => {
      const response = `response := http.Response{Body: io.NopCloser(strings.NewReader(os.Getenv("TEXT")))}\n`;
      const use = `var run map[string]any\nerr := decoder.Decode(&run)\nfmt.Println(run["task_input"])\nreturn err\n`;
      return go(["encoding/json", "fmt", "io", "net/http", "os", "strings"], `${response}${code}${use}`);
    },
    /budget:1250000.0 .*ticket:9007199254740993/,
  ],
  "authentication, Where to get a token, sh": [sh, /^{"resource":"http.*"authorization_servers":\["http/],
  "polling, Using the loops, js": [
    (code) =>
      node(`${findSample("polling, Polling, JavaScript")}
const [url, getToken, cancelButton] = [process.env.URL, async () => process.env.TOKEN, {}];
${code}console.log(run.status)`),
    /^completed/,
  ],
  "polling, Long polls, sh": [sh, /^HTTP\/1.1 200/],
  "polling, Request only what is new, sh": [sh, /^HTTP\/1.1 304/],
};

for (const [name, [complete, output]] of Object.entries(SHORT_SAMPLES)) {
  const skip = name.endsWith("Go") && isMissing("go");
  test(`the sample works: ${name}`, { skip, timeout: COMPILE_TIMEOUT_MS }, async () => {
    const code = findSample(name).replaceAll("https://api.example.com", localStack.url);
    const start = await install(complete(code), folder);
    const { ended } = await start({ TOKEN: token, URL: addressOf(COMPLETED), TEXT: await readText(COMPLETED) });
    const { stdout, stderr } = await ended;
    expect(stdout, stderr).toMatch(output);
  });
}

/** Programs around the loops. They get their token from the variable TOKEN and, when that was refused, from RENEWED_TOKEN. */
const JAVASCRIPT = `
import { waitForRun } from "./wait-for-run.js";
const { env } = process;
const canceled = new AbortController();
process.once("SIGINT", () => canceled.abort());
const getToken = async (isRefused) =>
  env[isRefused ? "RENEWED_TOKEN" : "TOKEN"] ?? Promise.reject(new Error("no token"));
const options = { timeoutSeconds: Number(env.TIME_LIMIT), signal: canceled.signal };
const { status, text } = await waitForRun(env.URL, getToken, options);
process.stdout.write(status + "\\n" + text);
`;
const PYTHON = `
import os, signal, threading
from wait_for_run import wait_for_run
cancel = threading.Event()
signal.signal(signal.SIGINT, lambda *_: cancel.set())
get_token = lambda refused: os.environ["RENEWED_TOKEN" if refused else "TOKEN"]
status, text = wait_for_run(os.environ["URL"], get_token, int(os.environ["TIME_LIMIT"]), cancel)
print(status, text, sep="\\n", end="")
`;
const GO_IMPORTS = ["context", "errors", "fmt", "os", "os/signal", "time"];
const GO = `
limit, _ := time.ParseDuration(os.Getenv("TIME_LIMIT") + "s")
ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
defer stop()
ctx, end := context.WithTimeout(ctx, limit)
defer end()
getToken := func(refused bool) (string, error) {
	token, found := os.LookupEnv(map[bool]string{false: "TOKEN", true: "RENEWED_TOKEN"}[refused])
	if !found {
		return "", errors.New("no token")
	}
	return token, nil
}
status, text, err := WaitForRun(ctx, os.Getenv("URL"), getToken)
if err == nil {
	fmt.Printf("%d\\n%s", status, text)
}
return err
`;
const CURL = `
get_token() { printenv "\${1:+RENEWED_}TOKEN"; }
wait_for_run "$URL" "$TIME_LIMIT" && echo "$status" && cat run.json
`;

/** The loops: what they need, the complete program, and what it says when it is canceled. */
const LOOPS: Record<string, [needs: string, complete: (loop: string) => Program, canceled: RegExp]> = {
  JavaScript: ["node", (loop) => node(JAVASCRIPT, { "wait-for-run.js": loop }), /AbortError/],
  Python: ["python3", (loop) => python(PYTHON, { "wait_for_run.py": loop }), /InterruptedError: canceled/],
  Go: ["go", (loop) => go(GO_IMPORTS, GO, { "loop.go": loop.replace("crewruns", "main") }), /context canceled/],
  curl: ["curl", (loop) => sh(loop + CURL), /^$/],
};

const NOT_UTF_8 = Buffer.from("elsewhere \u{e9}", "latin1");

/**
 * A server in front of the Worker: meets requests with these faults, one each, and passes the later ones on. `log` has what each
 * request got: the fault, or status and Retry-After.
 */
async function openFront({ onTestFinished }: TestContext, faults: string[]) {
  const log: string[] = [];
  const left = [...faults];
  const server = createServer(async ({ url = "", headers, socket }, response) => {
    const respond = (status: number, retryAfter?: string | null, body: string | Buffer = "") => {
      if (retryAfter) response.setHeader("retry-after", retryAfter);
      response.writeHead(status).end(body);
    };
    // As Cloudflare does.
    if (headers["user-agent"]?.includes("urllib")) return respond(403);
    const fault = left.shift();
    if (fault !== undefined) {
      log.push(fault);
      if (fault === "drop") return void socket.destroy();
      // Half of a finished run, as it seems.
      if (fault === "cut")
        return void response.writeHead(200, { "content-length": 9 }).write("{", () => socket.destroy());
      if (fault === "no gzip") {
        response.writeHead(503, { "content-encoding": "gzip", "retry-after": "60" }).flushHeaders();
        return void setTimeout(() => response.end("This is no gzip."), 50);
      }
      const [status, retryAfter] = fault.split(" ");
      // To another host, as it seems.
      if (status === "302") response.setHeader("location", `http://localhost:${socket.localPort}${url}`);
      return fault === "hang" ? undefined : respond(Number(status), retryAfter, NOT_UTF_8);
    }
    const { authorization = "", prefer = "" } = headers;
    const answer = await fetch(localStack.url + url, { headers: { authorization, prefer: String(prefer) } });
    const retryAfter = answer.headers.get("retry-after");
    log.push(`${answer.status} ${retryAfter ?? ""}`.trim());
    respond(answer.status, retryAfter, await answer.text());
  });
  const { url, close } = await listenOnLoopback(server);
  onTestFinished(close);
  return { url, log };
}

interface Situation {
  runId?: string;
  /** The first and, when it was refused, the second. */
  tokens?: string[];
  faults?: string[];
  seconds?: number;
}

/** Go ends a request whose response isn't gzip. */
const TIME_IS_UP = /the run isn't finished.*last response: (503|0 gzip)/i;
const TIME_IS_UP_AFTER_408 = /the run isn't finished.*last response: 408/i;
const INVALID_TOKEN = /^401\n\{.*"code":"invalid_token"/;

/** What ends the loop before the run is finished; what the requests get, the faults first; and what the program prints. */
const ENDS: [when: string, situation: Situation, log: string[], output: RegExp][] = [
  ["after a 404", { runId: FOREIGN }, ["404"], /^404\n\{"detail":"Run not found","code":"run_not_found"/],
  ["after a 401 if there is no other token", { tokens: ["old", "old"] }, ["401"], INVALID_TOKEN],
  ["after a 401 of another token", { tokens: ["old", "new"] }, ["401", "401"], INVALID_TOKEN],
  ["without a token", { tokens: [] }, [], /no token|KeyError|^$/],
  ["when the time is up in a pause", { faults: ["503 60"], seconds: 6 }, ["503 60"], TIME_IS_UP],
  ["when the time is up in a request", { faults: ["503 1", "hang"], seconds: 6 }, ["503 1", "hang"], TIME_IS_UP],
  ["on time if it can't decompress", { faults: ["503 1", "no gzip"], seconds: 5 }, ["503 1", "no gzip"], TIME_IS_UP],
  ["later than a proxy's errors", { faults: ["429", "408"], seconds: 9 }, ["429", "408"], TIME_IS_UP_AFTER_408],
  ["at a redirect", { faults: ["302"] }, ["302"], /^302\nelsewhere/],
];

for (const [language, [needs, complete, canceled]] of Object.entries(LOOPS)) {
  describe.skipIf(isMissing(needs)).concurrent(`the loop in ${language}`, () => {
    let start: Awaited<ReturnType<typeof install>>;

    beforeAll(async () => {
      start = await install(complete(findSample(`polling, Polling, ${language}`)), folder);
    }, COMPILE_TIMEOUT_MS);

    async function startLoop(context: TestContext, situation: Situation) {
      const { runId = COMPLETED, tokens = [token], faults = [], seconds = 600 } = situation;
      const { url, log } = await openFront(context, faults);
      const [TOKEN, RENEWED_TOKEN] = tokens;
      const env = { URL: `${url}/api/crew-runs/${runId}`, TOKEN, RENEWED_TOKEN, TIME_LIMIT: `${seconds}` };
      return { ...(await start(env)), log };
    }

    /** Waits for so many requests. */
    const untilLogged = (log: string[], count: number) =>
      vi.waitFor(() => expect(log.length).toBeGreaterThanOrEqual(count), { timeout: 40_000 });

    test("survives lost connections, failures and expired tokens, and polls at once after each full wait", async (context) => {
      const task_input = `{"n": 9007199254740993.0}`;
      const runId = await insertRunBy(localStack.database, { status: "running", task_input });
      const faults = ["drop", "503 1", "cut", "502"];
      const { ended, log } = await startLoop(context, { runId, tokens: ["expired", token], faults });
      await untilLogged(log, 8);
      await updateRunBy(localStack.database, runId, FINISH);
      const body = await readText(runId);
      expect(body).toContain(task_input);
      expect(await ended).toMatchObject({ code: 0, stdout: `200\n${body}` });
      expect(log.slice(0, 8)).toEqual([...faults, "401", "200 0", "401", "200 0"]);
      expect(log.at(-1)).toBe("200");
    });

    test.for(ENDS)("ends %s", async ([, situation, expectedLog, output], context) => {
      const { ended, log } = await startLoop(context, situation);
      const { code, stdout, stderr } = await ended;
      expect(stdout || stderr).toMatch(output);
      // A response that ends the loop is what it returns; anything else is an error.
      expect(code === 0).toBe(stdout !== "");
      expect(log).toEqual(expectedLog);
    });

    test("ends when it is canceled", async (context) => {
      const runId = await insertRunBy(localStack.database, { status: "running" });
      const { ended, interrupt, log } = await startLoop(context, { runId });
      await untilLogged(log, 1);
      interrupt();
      const { code, stdout, stderr } = await ended;
      expect([code === 0, stdout]).toEqual([false, ""]);
      expect(stderr).toMatch(canceled);
    });
  });
}

test.for(["JavaScript", "Python"])("a redirect to another host gets no token, in %s", async (language, context) => {
  const { url, log } = await openFront(context, ["302"]);
  const name = `get-run, Read a run, ${language}`;
  const program = (SHORT_SAMPLES[name] ?? expect.fail())[0](findSample(name).replace("https://api.example.com", url));
  const start = await install(program, folder);
  const { ended } = await start({ TOKEN: token });
  await ended;
  expect(log).toEqual(["302", "401"]);
});

/** The receivers, which import the loop, by language. */
const RECEIVERS: Record<string, (loop: string, receiver: string) => Program> = {
  JavaScript: (loop, receiver) =>
    node(`${receiver}console.log(JSON.stringify(await readRun(process.env.RUN_ID)));`, { "wait-for-run.js": loop }),
  Python: (loop, receiver) =>
    python(`${receiver}print(json.dumps(read_run(os.environ["RUN_ID"])))`, { "wait_for_run.py": loop }),
};

test.for(Object.entries(RECEIVERS))(
  "the receiver in %s gets a token for the audience and reads the run; a 404 is an error",
  async ([language, complete], { onTestFinished }) => {
    const loop = findSample(`polling, Polling, ${language}`);
    const start = await install(complete(loop, findSample(`webhooks, Read the run, ${language}`)), folder);
    let form = "";
    const server = createServer(async (request, response) => {
      form = await text(request);
      response.end(JSON.stringify({ access_token: token }));
    });
    const { url, close } = await listenOnLoopback(server);
    onTestFinished(close);
    const grant = { CLIENT_ID: "receiver", CLIENT_SECRET: "&=+", AUDIENCE: "https://api.example.com" };
    const receive = async (RUN_ID: string) =>
      (await start({ API: localStack.url, TOKEN_ENDPOINT: url, RUN_ID, ...grant })).ended;
    expect(JSON.parse((await receive(COMPLETED)).stdout)).toMatchObject({ id: COMPLETED });
    expect(Object.fromEntries(new URLSearchParams(form))).toEqual({
      grant_type: "client_credentials",
      client_id: grant.CLIENT_ID,
      client_secret: grant.CLIENT_SECRET,
      audience: grant.AUDIENCE,
    });
    const missing = { code: 1, stderr: expect.stringMatching(/404 .*run_not_found/) };
    expect(await receive(FOREIGN)).toMatchObject(missing);
  },
);

test("every sample of the pages runs in a test above", () => {
  const tested = [SHORT_SAMPLES, LOOPS, RECEIVERS].flatMap((samples) => Object.keys(samples));
  expect([...SAMPLES.keys()]).toHaveLength(tested.length);
});
