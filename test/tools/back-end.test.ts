// examples/python/app.py and webhooks.py as they stand, with a real PostgreSQL and the real Worker: from the POST to the webhook to the lookup, with
// forged tokens, a killed worker and a repeated webhook. Only the crew is a stand-in.
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type Loopback, listenOnLoopback } from "../../dev/loopback.ts";
import { end, start } from "../support/node/child-process.ts";
import { type LocalStack, startLocalStack } from "../../dev/local-stack.ts";
import { type SigningKey, formatKeySet, makeKey, signToken } from "../support/signing.ts";

const ROOT = join(import.meta.dirname, "../..");
/** Debian's, because its packages are Debian's, too. */
const PYTHON = "/usr/bin/python3";
const PATIENCE = { timeout: 30_000, interval: 100 };
const AUDIENCE = "https://api.example.com";
const SECRET = randomBytes(24);

interface Webhook {
  headers: Record<string, string>;
  body: string;
}

const isInstalled = spawnSync(PYTHON, ["-c", "import fastapi, httpx, jwt, psycopg, uvicorn"]).status === 0;

describe.skipIf(!isInstalled && !process.env["CI"])("examples/python/app.py, which needs FastAPI", () => {
  const started: { close(): unknown }[] = [];
  let key: SigningKey;
  let issuer: string;
  let folder: string;
  let environment: Record<string, string>;
  let localStack: LocalStack;
  let sqlUrl: string;
  let backEnd: string;
  let worker: ChildProcess;
  /** What the receiver got, and its next statuses for webhooks about a run; otherwise it responds 204. */
  const webhooks: Webhook[] = [];
  const responses = new Map<string, (number | Promise<number>)[]>();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "crew-run-reader-"));
    const serve = async (listener: Parameters<typeof createServer>[1]): Promise<string> => {
      const loopback: Loopback = await listenOnLoopback(createServer(listener as never));
      started.push(loopback);
      return loopback.url;
    };
    key = await makeKey("RS256");
    const another = await makeKey("ES256");
    issuer = await serve((_, response) => response.end(formatKeySet([another.jwk, key.jwk])));
    const receiver = await serve(async (request, response) => {
      const webhook = { headers: request.headers as Webhook["headers"], body: await text(request) };
      webhooks.push(webhook);
      const [, statuses] = [...responses].find(([id]) => webhook.body.includes(id)) ?? [];
      response.writeHead((await statuses?.shift()) ?? 204).end();
    });

    // Not killed, because it has a server to end: it ends with its standard input, even if this process dies.
    const postgres = runPython(["test/tools/python/serve_postgres.py"], {}, spawn);
    started.push({ close: () => stop(postgres) });
    const addresses = JSON.parse(await findLine(postgres.stdout, /^\{.*/)) as Record<"databaseUrl" | "sqlUrl", string>;
    ({ sqlUrl } = addresses);
    const trusted = { JWT_ISSUER: issuer, JWT_AUDIENCE: AUDIENCE, JWKS_URL: `${issuer}/keys` };
    localStack = await startLocalStack({
      chooseSettings: () => ({
        ...trusted,
        NEON_FETCH_ENDPOINT: sqlUrl,
        DATABASE_URL: "postgresql://crew_runs_reader:password@127.0.0.1/postgres",
      }),
    });
    started.push(localStack);
    environment = {
      ...trusted,
      API: localStack.url,
      WRITER_DATABASE_URL: addresses.databaseUrl,
      WEBHOOK_URL: receiver,
      WEBHOOK_SECRET: `whsec_${SECRET.toString("base64")}`,
      HOLD: folder,
      PYTHONPATH: "examples/python:test/tools/python",
    };
    const server = runPython(["-m", "uvicorn", "app:app", "--port=0"], environment);
    started.push({ close: () => end(server) });
    [, backEnd = ""] = /(http:\S+)/.exec(await findLine(server.stderr, /running on http/)) ?? [];
    worker = startWorker();
  });

  afterAll(async () => {
    if (worker !== undefined) await end(worker);
    for (const part of started.toReversed()) await part.close();
    await rm(folder, { recursive: true, force: true });
  });

  function startWorker(): ChildProcess {
    return runPython(["examples/python/app.py"], environment);
  }

  async function query(sql: string): Promise<(string | null)[][]> {
    const response = await fetch(sqlUrl, {
      method: "POST",
      headers: { "neon-connection-string": "postgresql://postgres@127.0.0.1/postgres" },
      body: JSON.stringify({ query: sql, params: [] }),
    });
    const { rows, message } = (await response.json()) as { rows: (string | null)[][]; message: string };
    expect(message).toBe("");
    return rows;
  }

  const claims = () => ({ iss: issuer, aud: AUDIENCE });
  const post = (authorization: string | undefined, topic: string) =>
    fetch(`${backEnd}/reports`, {
      method: "POST",
      headers: { "content-type": "application/json", ...(authorization !== undefined && { authorization }) },
      body: JSON.stringify({ topic }),
    });
  const read = async (location: string, sub: string) => {
    const headers = { authorization: `Bearer ${await signToken(key, { ...claims(), sub })}` };
    const response = await fetch(location, { headers });
    return { status: response.status, run: (await response.json()) as Record<string, unknown> };
  };

  /** Posts as the owner. Returns the run's address and id. */
  async function order(topic: string): Promise<{ location: string; id: string }> {
    const response = await post(`Bearer ${await signToken(key, { ...claims(), sub: "owner" })}`, topic);
    expect(response.status).toBe(202);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    const { id } = (await response.json()) as { id: string };
    const location = response.headers.get("location") ?? "";
    expect(location).toBe(`${localStack.url}/api/crew-runs/${id}`);
    return { location, id };
  }

  const waitForStatus = (location: string, status: string) =>
    vi.waitFor(async () => {
      const { run } = await read(location, "owner");
      expect(run["status"]).toBe(status);
      return run;
    }, PATIENCE);

  const findWebhooks = (id: string) => webhooks.filter(({ body }) => body.includes(id));

  function expectSigned({ headers, body }: Webhook, id: string): void {
    const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
    const signature = createHmac("sha256", SECRET).update(signed).digest("base64");
    expect(headers["webhook-signature"]).toBe(`v1,${signature}`);
    expect(headers["webhook-id"]).toBe(`run_${id}`);
    expect(JSON.parse(body)).toEqual({ type: "crew_run.ended", timestamp: expect.any(String), data: { id } });
  }

  test("a run is accepted, executed, announced by a signed webhook, and read by its owner only", async () => {
    const hold = join(folder, "trams");
    await writeFile(hold, "");
    const { location, id } = await order("trams");
    const running = await waitForStatus(location, "running");
    expect(running).toMatchObject({ owner_id: "owner", crew_type: "report", task_input: { topic: "trams" } });
    expect((await read(location, "somebody else")).status).toBe(404);
    expect(findWebhooks(id)).toEqual([]);
    await rm(hold);
    await vi.waitFor(() => expect(findWebhooks(id)).toHaveLength(1), PATIENCE);
    for (const webhook of findWebhooks(id)) expectSigned(webhook, id);
    expect((await read(location, "owner")).run).toMatchObject({ status: "completed", result: "# trams" });
  });

  test("a missing or forged token starts no run", async () => {
    const good = claims();
    const foreign = await makeKey("RS256", { kid: key.jwk.kid });
    const nowSeconds = Math.floor(Date.now() / 1000);
    const unsigned = (await signToken(key, good)).split(".");
    const none = Buffer.from(JSON.stringify({ alg: "none", kid: key.jwk.kid })).toString("base64url");
    const forged = {
      missing: undefined,
      "no token": "Bearer worthless",
      "another scheme": `Basic ${btoa("owner:password")}`,
      "another key": `Bearer ${await signToken(foreign, good)}`,
      "an unknown key": `Bearer ${await signToken(await makeKey("RS256"), good)}`,
      unsigned: `Bearer ${none}.${unsigned[1]}.`,
      "signed with the public key": `Bearer ${await new SignJWT({ ...good, sub: "owner", exp: nowSeconds + 300 })
        .setProtectedHeader({ alg: "HS256", kid: key.jwk.kid ?? "" })
        .sign(Buffer.from(JSON.stringify(key.jwk)))}`,
      "another issuer": `Bearer ${await signToken(key, { ...good, iss: "https://issuer.example.com" })}`,
      "another audience": `Bearer ${await signToken(key, { ...good, aud: "https://another.example.com" })}`,
      expired: `Bearer ${await signToken(key, { ...good, exp: nowSeconds - 60 })}`,
      "without expiry": `Bearer ${await signToken(key, { ...good, exp: undefined })}`,
      "without subject": `Bearer ${await signToken(key, { ...good, sub: undefined })}`,
    };
    const [before] = await query("select count(*) from crew_runs");
    for (const [name, authorization] of Object.entries(forged)) {
      const response = await post(authorization, "forged");
      expect({ name, status: response.status }).toEqual({ name, status: 401 });
      expect(response.headers.get("www-authenticate")).toMatch(/^Bearer/);
    }
    expect((await query("select count(*) from crew_runs"))[0]).toEqual(before);
  });

  test("a killed worker costs its run, which is given up, but no pending one", async () => {
    await writeFile(join(folder, "ships"), "");
    const ships = await order("ships");
    await waitForStatus(ships.location, "running");
    await end(worker);
    const trains = await order("trains");
    expect((await read(trains.location, "owner")).run["status"]).toBe("pending");
    const earlier = "created_at = now() - interval '2 hours', started_at = now() - interval '2 hours'";
    await query(`update crew_runs set ${earlier} where id = '${ships.id}'`);
    worker = startWorker();
    const ended = await waitForStatus(trains.location, "completed");
    expect(ended["result"]).toBe("# trains");
    const abandoned = await waitForStatus(ships.location, "failed");
    expect(abandoned["error"]).toBe("The run was abandoned.");
    await vi.waitFor(() => expect(findWebhooks(ships.id)).toHaveLength(1), PATIENCE);
  });

  test("the run of a stopped worker fails at once", async () => {
    await writeFile(join(folder, "planes"), "");
    const { location } = await order("planes");
    await waitForStatus(location, "running");
    worker.kill("SIGTERM");
    await once(worker, "exit", { signal: AbortSignal.timeout(PATIENCE.timeout) });
    const { run } = await read(location, "owner");
    expect(run).toMatchObject({ status: "failed", error: "The crew stopped with SystemExit." });
    worker = startWorker();
  });

  test("a webhook that failed, or whose sender died, is sent again with its id until it is delivered", async () => {
    const { promise: response, resolve: respond } = Promise.withResolvers<number>();
    const hold = join(folder, "bicycles");
    await writeFile(hold, "");
    const { id } = await order("bicycles");
    responses.set(id, [500, response]);
    await rm(hold);
    const isDue = () => query(`update crew_run_webhooks set next_attempt_at = now() where run_id = '${id}'`);
    await vi.waitFor(() => expect(findWebhooks(id)).toHaveLength(1), PATIENCE);
    await isDue();
    // The receiver has this one, but the sender dies before it knows.
    await vi.waitFor(() => expect(findWebhooks(id)).toHaveLength(2), PATIENCE);
    await end(worker);
    respond(204);
    worker = startWorker();
    await isDue();
    await vi.waitFor(() => expect(findWebhooks(id)).toHaveLength(3), PATIENCE);
    for (const webhook of findWebhooks(id)) expectSigned(webhook, id);
    await vi.waitFor(async () => {
      const [[delivered]] = (await query(`select delivered_at from crew_run_webhooks where run_id = '${id}'`)) as [
        [string],
      ];
      expect(delivered).not.toBe(null);
    }, PATIENCE);
    await isDue();
    const next = await order("another");
    await vi.waitFor(() => expect(findWebhooks(next.id)).toHaveLength(1), PATIENCE);
    expect(findWebhooks(id)).toHaveLength(3);
  });
});

function runPython(args: string[], environment: Record<string, string>, run: typeof start = start) {
  const env = { PATH: process.env["PATH"], PYTHONUNBUFFERED: "1", ...environment };
  const child = run(PYTHON, args, { cwd: ROOT, env, stdio: "pipe" }) as ChildProcessWithoutNullStreams;
  child.stderr.pipe(process.stderr);
  child.stdout.resume();
  return child;
}

/** Waits for a line of the output that matches. */
async function findLine(output: Readable, pattern: RegExp): Promise<string> {
  const lines = createInterface({ input: output });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const timer = setTimeout(() => reject(new Error(`no line ${pattern}`)), PATIENCE.timeout);
  lines.on("line", (line) => pattern.test(line) && resolve(line));
  lines.on("close", () => reject(new Error(`the output ended without a line ${pattern}`)));
  return promise.finally(() => clearTimeout(timer));
}

/** Ends its standard input, which is its sign to clean up. */
async function stop(child: ChildProcess): Promise<void> {
  const gone = once(child, "exit");
  child.stdin?.end();
  await gone;
}
