// The loops of docs/polling.md as they stand there, against the real Worker: each polls an unfinished run, meets an
// outage of the database, and ends with the finished run. With `Prefer: wait` they poll again at once after a full wait.
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { listenOnLoopback } from "../../dev/loopback.ts";
import { type LocalStack, startLocalStack } from "../support/node/local-stack.ts";
import { FINISH, insertRunBy, updateRunBy } from "../support/runs.ts";

const PROGRAM_TIMEOUT_MS = 30_000;

const execute = promisify(execFile);
const page = await readFile(`${import.meta.dirname}/../../docs/polling.md`, "utf8");
let localStack: LocalStack;
let folder: string;
let token: string;

beforeAll(async () => {
  localStack = await startLocalStack();
  folder = await mkdtemp(join(tmpdir(), "crew-run-reader-"));
  token = await localStack.authorizationServer.fetchToken("owner");
});

afterAll(async () => {
  await localStack?.close();
  await rm(folder, { recursive: true, force: true });
});

/** The reader's part: the address and the headers before the loop, a use of the response after it. */
const PROGRAMS: Record<string, (url: string, headers: object, loop: string) => string[]> = {
  JavaScript: (url, headers, loop) => [
    process.execPath,
    "--input-type=module",
    "--eval",
    `const url = "${url}", headers = ${JSON.stringify(headers)};\n${loop}\nconsole.log(await response.text());`,
  ],
  Python: (url, headers, loop) => [
    "python3",
    "-c",
    `url, headers = "${url}", ${JSON.stringify(headers)}\n${loop}\nprint(response.read().decode())`,
  ],
  curl: (_url, _headers, loop) => ["sh", "-c", `${loop}\ncat run.json`],
  Browser: (url, _headers, loop) => [
    process.execPath,
    "--input-type=module",
    "--eval",
    `${loop}\nconst getToken = async () => process.env.TOKEN, signal = AbortSignal.timeout(${PROGRAM_TIMEOUT_MS});
     console.log((await waitForRun("${url}", getToken, signal)).text);`,
  ],
};

const findLoop = (language: string): string =>
  new RegExp(`^\`\`\`\\w+ ${language}\n(.*?)^\`\`\``, "ms").exec(page)?.[1] ?? "";

/** Runs the page's loop for the run, and gives what it ends with. */
async function poll(language: string, id: string, preference: Record<string, string> = {}): Promise<unknown> {
  const url = `${localStack.url}/api/crew-runs/${id}`;
  const headers = { authorization: `Bearer ${token}`, ...preference };
  const [command = "", ...words] = PROGRAMS[language]?.(url, headers, findLoop(language)) ?? [];
  const cwd = await mkdtemp(join(folder, "program-"));
  const env = { PATH: process.env["PATH"], TOKEN: token, URL: url };
  const { stdout } = await execute(command, words, { cwd, env, timeout: PROGRAM_TIMEOUT_MS });
  return JSON.parse(stdout);
}

/** The log lines of the run's requests, in their order. */
const listRequests = (id: string) =>
  localStack.lines.filter((line) => line.includes(id)).map((line) => JSON.parse(line) as Record<string, number>);

for (const language of Object.keys(PROGRAMS)) {
  test(`the loop in ${language} waits for Retry-After, through an outage too, and ends with the finished run`, async () => {
    const id = await insertRunBy(localStack.database, { status: "running" });
    await localStack.databaseProxy.fail({ kind: "drop", times: 3 });
    const [run] = await Promise.all([
      poll(language, id),
      sleep(7_000).then(() => updateRunBy(localStack.database, id, FINISH)),
    ]);
    expect([(run as { id: string }).id, (run as { status: string }).status]).toEqual([id, "completed"]);
    const [first, ...later] = listRequests(id);
    expect(first?.["status"]).toBe(503);
    // Five seconds after the outage, then one or two at most: the run is young.
    expect(later.length >= 1 && later.length <= 4, `${later.length} requests`).toBe(true);
    expect(new Set(later.map(({ status }) => status))).toEqual(new Set([200]));
  });
}

for (const language of ["JavaScript", "Python"]) {
  test(`with Prefer: wait the loop in ${language} polls again after each full wait`, async () => {
    const id = await insertRunBy(localStack.database, { status: "running" });
    const polling = poll(language, id, { prefer: "wait=1" });
    // The time-out of the program bounds this.
    while (listRequests(id).length < 3) await Promise.race([sleep(50), polling]);
    await updateRunBy(localStack.database, id, FINISH);
    expect(((await polling) as { status: string }).status).toBe("completed");
    for (const { status, waited_ms } of listRequests(id).slice(0, 3)) {
      expect(status).toBe(200);
      expect(waited_ms).toBeGreaterThanOrEqual(1_000);
    }
  });
}

test("the loop for browsers survives a lost connection, takes a token per request, and ends when it is cancelled", async () => {
  const path = join(folder, "loop.mjs");
  await writeFile(path, `${findLoop("Browser")}\nexport { waitForRun };`);
  const { waitForRun } = (await import(path)) as {
    waitForRun(url: string, getToken: () => Promise<string>, signal: AbortSignal): Promise<unknown>;
  };
  const tokens: string[] = [];
  const canceled = new AbortController();
  const server = createServer(({ headers, socket }, response) => {
    tokens.push(headers.authorization ?? "");
    if (tokens.length === 1) socket.destroy();
    else if (tokens.length === 2) response.end("{}");
    else canceled.abort(new Error("canceled"));
  });
  const { url, close } = await listenOnLoopback(server);
  try {
    const getToken = async () => `token-${tokens.length}`;
    expect(await waitForRun(url, getToken, canceled.signal)).toEqual({ status: 200, text: "{}" });
    expect(tokens).toEqual(["Bearer token-0", "Bearer token-1"]);
    await expect(waitForRun(url, getToken, canceled.signal)).rejects.toThrow("canceled");
  } finally {
    await close();
  }
});
