// Clients as others write them, against the real Worker and the local issuer: a strict OAuth library that gets nothing but the
// API's address, a generated client, and every sample of the pages for clients as it stands there.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { build } from "esbuild";
import * as oauth from "oauth4webapi";
import { generate } from "openapi-typescript-codegen";
import { type TestContext, afterAll, beforeAll, describe, expect, test } from "vitest";
import { listenOnLoopback } from "../../dev/loopback.ts";
import { parseRun, waitForRun } from "../../examples/typescript/wait-for-run.ts";
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
});

afterAll(async () => {
  await localStack?.close();
  await rm(folder, { recursive: true, force: true });
});

const addressOf = (id: string) => `${localStack.url}/api/crew-runs/${id}`;

/** The text that the owner gets. */
async function readText(id: string): Promise<string> {
  return (await fetch(addressOf(id), { headers: { authorization: `Bearer ${token}` } })).text();
}

describe("oauth4webapi", () => {
  // The loopback has no TLS.
  const insecure = { [oauth.allowInsecureRequests]: true };
  const read = (accessToken: string) =>
    oauth.protectedResourceRequest(accessToken, "GET", new URL(addressOf(COMPLETED)), undefined, null, insecure);

  test("finds the issuer from the API's address, gets a token for the API, and reads a run", async () => {
    const resourceUrl = new URL(localStack.url);
    const found = await oauth.resourceDiscoveryRequest(resourceUrl, insecure);
    const { resource, authorization_servers } = await oauth.processResourceDiscoveryResponse(resourceUrl, found);
    const issuer = new URL(authorization_servers?.[0] ?? "");
    const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure));
    const { id, secret } = localStack.authorizationServer.clients.owner;
    const [client, authentication] = [{ client_id: id }, oauth.ClientSecretPost(secret)];
    const granted = await oauth.clientCredentialsGrantRequest(server, client, authentication, { resource }, insecure);
    const { access_token } = await oauth.processClientCredentialsResponse(server, client, granted);
    const response = await read(access_token);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ id: COMPLETED });
  });

  test("reads the challenge of a worthless token, which leads back to the metadata", async () => {
    const error = await read("worthless").catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(oauth.WWWAuthenticateChallengeError);
    expect((error as oauth.WWWAuthenticateChallengeError).cause[0]?.parameters).toMatchObject({
      error: "invalid_token",
      resource_metadata: `${localStack.url}/.well-known/oauth-protected-resource`,
    });
  });
});

test("a client generated from the OpenAPI document compiles strictly, and reads what the Worker sends", async () => {
  const directory = join(import.meta.dirname, "generated-client");
  const output = join(directory, "dist");
  const input = (await fetch(`${localStack.url}/openapi.json`).then((response) => response.json())) as object;
  await generate({ input, output, useOptions: true, useUnionTypes: true });
  const compiler = join(import.meta.dirname, "../../node_modules/typescript/bin/tsc");
  const compiled = await launch([process.execPath, compiler, "-p", directory], directory).ended;
  expect(compiled).toMatchObject({ code: 0, stdout: "" });
  const outfile = join(folder, "client.mjs");
  await build({ entryPoints: [join(directory, "client.ts")], outfile, bundle: true, format: "esm", platform: "node" });
  const { stdout } = await launch([process.execPath, outfile, localStack.url, token, COMPLETED, FOREIGN], folder).ended;
  expect(JSON.parse(stdout)).toEqual({
    description: expect.stringMatching(new RegExp(`^${COMPLETED} has a result of \\d\\d characters$`)),
    inputKeys: expect.arrayContaining(["city", "ticket"]),
    roles: ["Researcher"],
    code: "run_not_found",
    health: "ok",
    ready: "ok",
  });
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

/** How the reader completes a sample, and what the program then prints for the completed example. */
const SHORT_SAMPLES: Record<string, [complete: (code: string) => Program, output: RegExp]> = {
  "get-run, Read a run, curl": [sh, new RegExp(`^{"id":"${COMPLETED}"`)],
  "get-run, Read a run, JavaScript": [node, /^completed # Trams/],
  "get-run, Read a run, Python": [python, /^completed # Trams/],
  "get-run, Read a run, Go": [
    (code) => go(["encoding/json", "errors", "fmt", "net/http", "os"], code),
    /^completed # Trams/,
  ],
  "get-run, Exact numbers, JavaScript": [
    (code) => node(`const response = new Response(process.env.TEXT);\n${code}console.log(JSON.stringify(run));`),
    /"budget":"1250000.0","ticket":"9007199254740993"/,
  ],
  "get-run, Exact numbers, Python": [
    (code) =>
      python(`import io, json, os\nresponse = io.StringIO(os.environ["TEXT"])\n${code}print(run["task_input"])`),
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
  "authentication, Where to get a token, sh": [
    sh,
    /^{"resource":"http.*,"resource_name":"Crew runs","authorization_servers":\["http/,
  ],
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
    const start = await install(
      complete(findSample(name).replaceAll("https://api.example.com", localStack.url)),
      folder,
    );
    const { ended } = await start({ TOKEN: token, URL: addressOf(COMPLETED), TEXT: await readText(COMPLETED) });
    const { stdout, stderr } = await ended;
    expect(stdout, stderr).toMatch(output);
  });
}

interface Loop {
  needs: string;
  program: (code: string) => Program;
  /** What the program says when it is canceled. */
  canceled: RegExp;
}

const LOOPS: Record<string, Loop> = {
  JavaScript: {
    needs: "node",
    program: (code) => {
      const main = `
        import { waitForRun } from "./wait-for-run.js";
        const { TOKEN_URL, URL: url, TIME_LIMIT } = process.env;
        const canceled = new AbortController();
        process.once("SIGINT", () => canceled.abort());
        const getToken = async (isRefused) => {
          const response = await fetch(TOKEN_URL + isRefused);
          if (!response.ok) throw new Error("no token");
          return response.text();
        };
        const options = { timeoutSeconds: Number(TIME_LIMIT), signal: canceled.signal };
        const { status, text } = await waitForRun(url, getToken, options);
        process.stdout.write(status + "\\n" + text);`;
      return node(main, { "wait-for-run.js": code });
    },
    canceled: /AbortError/,
  },
  Python: {
    needs: "python3",
    program: (code) => {
      const main = `
import os, signal, threading, urllib.request
from wait_for_run import wait_for_run
def get_token(refused):
    return urllib.request.urlopen(os.environ["TOKEN_URL"] + str(refused).lower()).read().decode()
cancel = threading.Event()
signal.signal(signal.SIGINT, lambda *_: cancel.set())
status, text = wait_for_run(os.environ["URL"], get_token, int(os.environ["TIME_LIMIT"]), cancel)
print(status, text, sep="\\n", end="")`;
      return python(main, { "wait_for_run.py": code });
    },
    canceled: /InterruptedError: canceled/,
  },
  Go: {
    needs: "go",
    program: (code) => {
      const imports = ["context", "errors", "fmt", "io", "net/http", "os", "os/signal", "strconv", "time"];
      const main = `seconds, _ := strconv.Atoi(os.Getenv("TIME_LIMIT"))
ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
defer stop()
ctx, end := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
defer end()
getToken := func(refused bool) (string, error) {
	response, err := http.Get(fmt.Sprint(os.Getenv("TOKEN_URL"), refused))
	if err != nil || response.StatusCode != 200 {
		return "", errors.Join(err, errors.New("no token"))
	}
	token, err := io.ReadAll(response.Body)
	return string(token), err
}
status, text, err := WaitForRun(ctx, os.Getenv("URL"), getToken)
if err == nil {
	fmt.Printf("%d\\n%s", status, text)
}
return err
`;
      return go(imports, main, { "loop.go": code.replace("package crewruns", "package main") });
    },
    canceled: /context canceled/,
  },
  curl: {
    needs: "curl",
    program: (code) =>
      sh(`${code}
        get_token() { curl -sSf "$TOKEN_URL$([ -n "$1" ] && echo true || echo false)"; }
        wait_for_run "$URL" "$TIME_LIMIT" && echo "$status" && cat run.json`),
    canceled: /^$/,
  },
};

/** The token that the issuer gave to the owner. */
const VALID = "valid";

/**
 * A server in front of the Worker: meets requests with these faults, one each, and passes the later ones on. Under `/token?` it
 * gives the programs their tokens, the last one after another was refused; without any, it fails. `log` has what each request got.
 */
async function openFront({ onTestFinished }: TestContext, tokens: string[], faults: string[] = []) {
  const log: string[] = [];
  const left = [...faults];
  let given = tokens[0];
  const server = createServer(async ({ url = "", headers, socket }, response) => {
    if (url.startsWith("/token?")) {
      if (url.endsWith("true")) given = tokens.at(-1);
      return void response.writeHead(given === undefined ? 500 : 200).end(given === VALID ? token : given);
    }
    // As Cloudflare does.
    if (headers["user-agent"]?.includes("urllib")) return void response.writeHead(403).end();
    const fault = left.shift();
    if (fault === undefined) {
      const { authorization = "", prefer } = headers;
      const passed = { authorization, prefer: String(prefer), "accept-encoding": "identity" };
      const answer = await fetch(`${localStack.url}${url}`, { headers: passed });
      const retryAfter = answer.headers.get("retry-after");
      log.push([answer.status, retryAfter].join(" ").trim());
      response.writeHead(answer.status, retryAfter === null ? {} : { "retry-after": retryAfter });
      return void response.end(await answer.text());
    }
    log.push(fault);
    const [status, retryAfter] = fault.split(" ");
    if (fault === "drop") socket.destroy();
    // Half of a finished run, as it seems.
    else if (fault === "cut") response.writeHead(200, { "content-length": 100 }).write("{", () => socket.destroy());
    else if (fault !== "hang")
      response.writeHead(Number(status), retryAfter ? { "retry-after": retryAfter } : {}).end();
  });
  const { url, close } = await listenOnLoopback(server);
  onTestFinished(close);
  return { url, log };
}

const TIME_IS_UP = { stdout: /^$/, stderr: /the run isn't finished.*last response: 503/i };
const INVALID_TOKEN = { stdout: /^401\n\{.*"code":"invalid_token"/ };

/** What ends the loop before the run is finished; what the requests get, the faults first; and what the program prints. */
const ENDS: {
  when: string;
  runId?: string;
  tokens?: string[];
  faults?: string[];
  log?: string[];
  seconds?: number;
  stdout: RegExp;
  stderr?: RegExp;
}[] = [
  {
    when: "after a 404",
    runId: FOREIGN,
    log: ["404"],
    stdout: /^404\n\{"detail":"Run not found","code":"run_not_found"/,
  },
  { when: "after a 401 if there is no other token", tokens: ["worthless"], log: ["401"], ...INVALID_TOKEN },
  { when: "after a 401 of another token", tokens: ["worthless", "new"], log: ["401", "401"], ...INVALID_TOKEN },
  { when: "without a token", tokens: [], log: [], stdout: /^$/ },
  { when: "when the time is up in a pause", faults: ["503 60"], seconds: 6, ...TIME_IS_UP },
  { when: "when the time is up in a request", faults: ["503 1", "hang"], seconds: 6, ...TIME_IS_UP },
];

describe.concurrent("the loop", () => {
  const starts = new Map<string, Awaited<ReturnType<typeof install>>>();

  beforeAll(async () => {
    for (const [language, { program, needs }] of Object.entries(LOOPS)) {
      if (isMissing(needs)) continue;
      starts.set(language, await install(program(findSample(`polling, Polling, ${language}`)), folder));
    }
  }, COMPILE_TIMEOUT_MS);

  for (const [language, { needs, canceled }] of Object.entries(LOOPS)) {
    const options = { skip: isMissing(needs) };

    const startLoop = async ({ url }: { url: string }, id: string, seconds = 600) => {
      const env = { URL: `${url}/api/crew-runs/${id}`, TOKEN_URL: `${url}/token?refused=`, TIME_LIMIT: `${seconds}` };
      return starts.get(language)?.(env) ?? expect.fail(`${language} isn't installed`);
    };

    test(
      `in ${language} survives lost connections, failures and an expired token, and polls at once after each full wait`,
      options,
      async (context) => {
        const task_input = `{"n": 9007199254740993.0}`;
        const id = await insertRunBy(localStack.database, { status: "running", task_input });
        const front = await openFront(context, ["expired", VALID], ["drop", "503 1", "cut", "502"]);
        const { ended } = await startLoop(front, id);
        await untilLogged(front, 7, ended);
        await updateRunBy(localStack.database, id, FINISH);
        const body = await readText(id);
        expect(body).toContain(task_input);
        expect(await ended).toMatchObject({ code: 0, stdout: `200\n${body}` });
        expect(front.log.slice(0, 7)).toEqual(["drop", "503 1", "cut", "502", "401", "200 0", "200 0"]);
        expect(front.log.at(-1)).toBe("200");
      },
    );

    test.for(ENDS)(`in ${language} ends $when`, options, async (end, context) => {
      const { runId = COMPLETED, tokens = [VALID], faults = [], log = faults, seconds, stdout, stderr } = end;
      const front = await openFront(context, tokens, faults);
      const ended = await (await startLoop(front, runId, seconds)).ended;
      expect(ended.stdout).toMatch(stdout);
      if (stderr !== undefined) expect(ended.stderr).toMatch(stderr);
      // A response that ends the loop is what it returns; anything else is an error.
      expect(ended.code === 0).toBe(ended.stdout !== "");
      expect(front.log).toEqual(log);
    });

    test(`in ${language} ends when it is canceled`, options, async (context) => {
      const id = await insertRunBy(localStack.database, { status: "running" });
      const front = await openFront(context, [VALID]);
      const { ended, interrupt } = await startLoop(front, id);
      await untilLogged(front, 1, ended);
      interrupt();
      const { code, stdout, stderr } = await ended;
      expect([code === 0, stdout]).toEqual([false, ""]);
      expect(stderr).toMatch(canceled);
    });
  }
});

/** Waits until so many requests have got something, while the program runs. */
async function untilLogged({ log }: { log: string[] }, count: number, ended: Promise<unknown>): Promise<void> {
  const end = new AbortController();
  void ended.then(() => end.abort());
  while (log.length < count && !end.signal.aborted) await sleep(20);
}

test("the file of the loop works as it is, with its types", async () => {
  const outcome = await waitForRun(addressOf(COMPLETED), async () => token);
  const { status, crew_config } = parseRun(outcome);
  expect([status, crew_config?.agents[0]?.role]).toEqual(["completed", "Researcher"]);
  expect(outcome.text).toContain("9007199254740993");
  const missing = await waitForRun(addressOf(FOREIGN), async () => token);
  expect(() => parseRun(missing)).toThrow(/^404 .*run_not_found/);
  const signal = AbortSignal.abort(new Error("canceled"));
  await expect(waitForRun(addressOf(COMPLETED), async () => token, { signal })).rejects.toThrow("canceled");
});

/** The receivers, which import the loop, by language. */
const RECEIVERS: Record<string, (loop: string, receiver: string) => Program> = {
  JavaScript: (loop, receiver) =>
    node(`${receiver}console.log(JSON.stringify(await readRun(process.env.RUN_ID)));`, { "wait-for-run.js": loop }),
  Python: (loop, receiver) =>
    python(`${receiver}print(json.dumps(read_run(os.environ["RUN_ID"])))`, { "wait_for_run.py": loop }),
};

test.for(Object.entries(RECEIVERS))(
  "the receiver in %s gets a token for the audience and reads the run; with the admin scope, any run; a 404 is an error",
  async ([language, complete], context) => {
    const loop = findSample(`polling, Polling, ${language}`);
    const start = await install(complete(loop, findSample(`webhooks, Read the run, ${language}`)), folder);
    const { clients, tokenEndpoint } = localStack.authorizationServer;
    const forms: string[] = [];
    const server = createServer(async (request, response) => {
      const body = await text(request);
      forms.push(body);
      const headers = { "content-type": "application/x-www-form-urlencoded" };
      response.end(await (await fetch(tokenEndpoint, { method: "POST", headers, body })).text());
    });
    const { url, close } = await listenOnLoopback(server);
    context.onTestFinished(close);
    const receive = async (client: "owner" | "admin", runId: string) => {
      const { id, secret } = clients[client];
      const settings = { API: localStack.url, TOKEN_ENDPOINT: url, CLIENT_ID: id, CLIENT_SECRET: secret };
      return (await start({ ...settings, AUDIENCE: localStack.url, RUN_ID: runId })).ended;
    };
    expect(JSON.parse((await receive("owner", COMPLETED)).stdout)).toMatchObject({ id: COMPLETED });
    expect(JSON.parse((await receive("admin", FOREIGN)).stdout)).toMatchObject({ id: FOREIGN });
    expect(new URLSearchParams(forms[0]).get("audience")).toBe(localStack.url);
    const missing = { code: 1, stderr: expect.stringMatching(/404 .*run_not_found/) };
    expect(await receive("owner", FOREIGN)).toMatchObject(missing);
  },
);

test("every sample of the pages runs in a test above", () => {
  const loops = Object.keys(LOOPS).map((language) => `polling, Polling, ${language}`);
  const receivers = Object.keys(RECEIVERS).map((language) => `webhooks, Read the run, ${language}`);
  expect([...SAMPLES.keys()].toSorted()).toEqual([...Object.keys(SHORT_SAMPLES), ...loops, ...receivers].toSorted());
});
