// examples/python/app.py and webhooks.py as they stand, with a real PostgreSQL and the real Worker: from the POST to the webhook to
// the lookup, with forged tokens, a killed worker and a repeated webhook. Only the crew is a stand-in.
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
import { listenOnLoopback } from "../../dev/loopback.ts";
import { end, start } from "../support/node/child-process.ts";
import { type LocalStack, startLocalStack } from "../../dev/local-stack.ts";
import { type SigningKey, formatKeySet, makeKey, signToken } from "../support/signing.ts";

const ROOT = join(import.meta.dirname, "../..");
/** Debian's, because its packages are Debian's, too. */
const PYTHON = "/usr/bin/python3";
const PATIENCE = { timeout: 30_000, interval: 100 };
const CLAIMS = { iss: "https://issuer.example.com", aud: "https://api.example.com" };
const SECRET = randomBytes(24);

const PYTHONPATH = "examples/python:test/tools/python";

interface Webhook {
  headers: Record<string, string>;
  body: string;
}

const NEEDED = "import fastapi, httpx, jwt, postgres_server, uvicorn";
const isInstalled = spawnSync(PYTHON, ["-c", NEEDED], { cwd: ROOT, env: { PYTHONPATH } }).status === 0;

describe.skipIf(!isInstalled && !process.env["CI"])("examples/python/app.py, which needs FastAPI", () => {
  const started: { close(): unknown }[] = [];
  let key: SigningKey;
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
    key = await makeKey("RS256");
    const keySet = formatKeySet([(await makeKey("ES256")).jwk, key.jwk]);
    // The issuer's keys, and the receiver of webhooks.
    const receiver = await listenOnLoopback(
      createServer(async (request, response) => {
        if (request.method === "GET") return void response.end(keySet);
        const webhook = { headers: request.headers as Webhook["headers"], body: await text(request) };
        webhooks.push(webhook);
        const [, statuses] = [...responses].find(([id]) => webhook.body.includes(id)) ?? [];
        response.writeHead((await statuses?.shift()) ?? 204).end();
      }),
    );
    started.push(receiver);

    // Not killed, because it has a server to end: it ends with its standard input, even if this process dies.
    const postgres = runPython(["test/tools/python/serve_postgres.py"], {}, spawn);
    started.push({
      close: async () => {
        const gone = once(postgres, "exit");
        postgres.stdin.end();
        await gone;
      },
    });
    const addresses = JSON.parse(await find(postgres.stdout, /^\{.*/)) as Record<"databaseUrl" | "sqlUrl", string>;
    ({ sqlUrl } = addresses);
    const trusted = { JWT_ISSUER: CLAIMS.iss, JWT_AUDIENCE: CLAIMS.aud, JWKS_URL: receiver.url };
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
      WEBHOOK_URL: receiver.url,
      WEBHOOK_SECRET: `whsec_${SECRET.toString("base64")}`,
      HOLD: folder,
      PYTHONPATH,
    };
    const server = runPython(["-m", "uvicorn", "app:app", "--port=0"], environment);
    started.push({ close: () => end(server) });
    backEnd = await find(server.stderr, /(?<=running on )http:\S+/);
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
    expect(response.status).toBe(200);
    return ((await response.json()) as { rows: (string | null)[][] }).rows;
  }

  const post = (authorization: string | undefined, topic: string) =>
    fetch(`${backEnd}/reports`, {
      method: "POST",
      headers: { "content-type": "application/json", ...(authorization !== undefined && { authorization }) },
      body: JSON.stringify({ topic }),
    });
  const read = async (location: string, sub: string) => {
    const headers = { authorization: `Bearer ${await signToken(key, { ...CLAIMS, sub })}` };
    const response = await fetch(location, { headers });
    return { status: response.status, run: (await response.json()) as Record<string, unknown> };
  };

  /** Posts as the owner. Returns the run's address and id. */
  async function order(topic: string): Promise<{ location: string; id: string }> {
    const response = await post(`Bearer ${await signToken(key, { ...CLAIMS, sub: "owner" })}`, topic);
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
    const foreign = await makeKey("RS256", { kid: key.jwk.kid });
    const nowSeconds = Math.floor(Date.now() / 1000);
    const unsigned = (await signToken(key, CLAIMS)).split(".");
    const none = Buffer.from(JSON.stringify({ alg: "none", kid: key.jwk.kid })).toString("base64url");
    const forged = {
      missing: undefined,
      "no token": "Bearer worthless",
      "another scheme": `Basic ${btoa("owner:password")}`,
      "another key": `Bearer ${await signToken(foreign, CLAIMS)}`,
      "an unknown key": `Bearer ${await signToken(await makeKey("RS256"), CLAIMS)}`,
      unsigned: `Bearer ${none}.${unsigned[1]}.`,
      "signed with the public key": `Bearer ${await new SignJWT({ ...CLAIMS, sub: "owner", exp: nowSeconds + 300 })
        .setProtectedHeader({ alg: "HS256", kid: key.jwk.kid ?? "" })
        .sign(Buffer.from(JSON.stringify(key.jwk)))}`,
      "another issuer": `Bearer ${await signToken(key, { ...CLAIMS, iss: "https://other.example.com" })}`,
      "another audience": `Bearer ${await signToken(key, { ...CLAIMS, aud: "https://another.example.com" })}`,
      expired: `Bearer ${await signToken(key, { ...CLAIMS, exp: nowSeconds - 60 })}`,
      "without expiry": `Bearer ${await signToken(key, { ...CLAIMS, exp: undefined })}`,
      "without subject": `Bearer ${await signToken(key, { ...CLAIMS, sub: undefined })}`,
    };
    const [before] = await query("select count(*) from crew_runs");
    for (const [name, authorization] of Object.entries(forged)) {
      const response = await post(authorization, "forged");
      expect({ name, status: response.status }).toEqual({ name, status: 401 });
      expect(response.headers.get("www-authenticate")).toMatch(/^Bearer/);
    }
    expect((await query("select count(*) from crew_runs"))[0]).toEqual(before);
  });

  test("the run of a stopped worker fails at once, that of a killed one is given up, and pending runs wait", async () => {
    const orderHeld = async (topic: string) => {
      await writeFile(join(folder, topic), "");
      const ordered = await order(topic);
      await waitForStatus(ordered.location, "running");
      return ordered;
    };
    const planes = await orderHeld("planes");
    worker.kill("SIGTERM");
    await once(worker, "exit", { signal: AbortSignal.timeout(PATIENCE.timeout) });
    const stopped = { status: "failed", error: "The crew stopped with SystemExit." };
    expect((await read(planes.location, "owner")).run).toMatchObject(stopped);
    worker = startWorker();
    const ships = await orderHeld("ships");
    await end(worker);
    const trains = await order("trains");
    expect((await read(trains.location, "owner")).run).toMatchObject({ status: "pending" });
    const earlier = "created_at = now() - interval '2 hours', started_at = now() - interval '2 hours'";
    await query(`update crew_runs set ${earlier} where id = '${ships.id}'`);
    worker = startWorker();
    expect(await waitForStatus(trains.location, "completed")).toMatchObject({ result: "# trains" });
    expect(await waitForStatus(ships.location, "failed")).toMatchObject({ error: "The run was abandoned." });
    await vi.waitFor(() => expect(findWebhooks(ships.id)).toHaveLength(1), PATIENCE);
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
    const delivered = `select from crew_run_webhooks where run_id = '${id}' and delivered_at is not null`;
    await vi.waitFor(async () => expect(await query(delivered)).toHaveLength(1), PATIENCE);
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

/** Waits for an output that matches, and returns what does. */
async function find(output: Readable, pattern: RegExp): Promise<string> {
  for await (const line of createInterface({ input: output })) {
    const [found] = pattern.exec(line) ?? [];
    if (found !== undefined) {
      output.resume();
      return found;
    }
  }
  throw new Error(`the output ended without ${pattern}`);
}
