// examples/python/app.py and webhooks.py as they stand, with a real PostgreSQL and the real Worker: from the POST to the webhook to
// the lookup, with forged tokens, a killed worker and a repeated webhook. Only the crew is a stand-in.
import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { type IncomingHttpHeaders, createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { neon, neonConfig } from "@neondatabase/serverless";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { listenOnLoopback } from "../../dev/loopback.ts";
import { end, start } from "../support/node/child-process.ts";
import { type LocalStack, startLocalStack } from "../../dev/local-stack.ts";
import { type SigningKey, formatKeySet, makeKey, signToken } from "../support/signing.ts";

const ROOT = join(import.meta.dirname, "../..");
/** Debian's, because its packages are Debian's, too. */
const PYTHON = "/usr/bin/python3";
const PATIENCE = { timeout: 30_000, interval: 100 };
const CLAIMS = { iss: "https://issuer.example.com", aud: "https://api.example.com", sub: "owner" };
const SECRET = randomBytes(24);
const PYTHONPATH = "examples/python:test/tools/python";

const NEEDED = "import fastapi, httpx, jwt, postgres_server, uvicorn";
const isInstalled = spawnSync(PYTHON, ["-c", NEEDED], { cwd: ROOT, env: { PYTHONPATH } }).status === 0;

describe.skipIf(!isInstalled && !process.env["CI"])("examples/python/app.py, which needs FastAPI", () => {
  /** What ends the parts, in the order of their start. */
  const ends: (() => unknown)[] = [];
  let key: SigningKey;
  let folder: string;
  let environment: Record<string, string>;
  let localStack: LocalStack;
  /** Sends a statement as the superuser. */
  let query: (sql: string) => Promise<object[]>;
  let backEnd: string;
  let worker: ChildProcess;
  /** What the receiver got, and its next statuses for webhooks about a run; otherwise it responds 204. */
  const webhooks: { headers: IncomingHttpHeaders; body: string }[] = [];
  const responses = new Map<string, (number | Promise<number>)[]>();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "crew-run-reader-"));
    ends.push(() => rm(folder, { recursive: true }));
    key = await makeKey("RS256");
    const keySet = formatKeySet([(await makeKey("ES256")).jwk, key.jwk]);
    // The issuer's keys, and the receiver of webhooks.
    const receiver = await listenOnLoopback(
      createServer(async (request, response) => {
        if (request.method === "GET") return void response.end(keySet);
        const body = await text(request);
        webhooks.push({ headers: request.headers, body });
        const [, statuses] = [...responses].find(([id]) => body.includes(id)) ?? [];
        response.writeHead((await statuses?.shift()) ?? 204).end();
      }),
    );
    ends.push(receiver.close);

    // Not killed, because it has a server to end: it ends with its standard input, even if this process dies.
    const postgres = runPython(["test/tools/python/serve_postgres.py"], {}, spawn);
    ends.push(() => {
      postgres.child.stdin.end();
      return once(postgres.child, "exit");
    });
    const { databaseUrl, sqlUrl } = JSON.parse(await postgres.find(/^\{.*\}$/m)) as Record<string, string>;
    neonConfig.fetchEndpoint = sqlUrl ?? "";
    query = neon("postgresql://postgres:password@127.0.0.1/postgres").query;
    const trusted = { JWT_ISSUER: CLAIMS.iss, JWT_AUDIENCE: CLAIMS.aud, JWKS_URL: receiver.url };
    const DATABASE_URL = "postgresql://crew_runs_reader:password@127.0.0.1/postgres";
    const settings = { ...trusted, DATABASE_URL, NEON_FETCH_ENDPOINT: sqlUrl ?? "" };
    localStack = await startLocalStack({ chooseSettings: () => settings });
    ends.push(localStack.close);
    environment = {
      ...trusted,
      API: localStack.url,
      WRITER_DATABASE_URL: databaseUrl ?? "",
      WEBHOOK_URL: receiver.url,
      WEBHOOK_SECRET: `whsec_${SECRET.toString("base64")}`,
      HOLD: folder,
      PYTHONPATH,
    };
    const server = runPython(["-m", "uvicorn", "app:app", "--port=0"], environment);
    ends.push(() => end(server.child));
    backEnd = await server.find(/(?<=running on )http:\S+(?= )/);
    worker = startWorker();
    ends.push(() => end(worker));
  });

  afterAll(async () => {
    for (const endPart of ends.toReversed()) await endPart();
  });

  const startWorker = () => runPython(["examples/python/app.py"], environment).child;

  const sign = (claims: object = {}) => signToken(key, { ...CLAIMS, ...claims });
  const post = (authorization: string | undefined, topic: string) =>
    fetch(`${backEnd}/reports`, {
      method: "POST",
      headers: { "content-type": "application/json", ...(authorization !== undefined && { authorization }) },
      body: JSON.stringify({ topic }),
    });
  const read = async (location: string, sub = "owner"): Promise<Record<string, unknown>> => {
    const response = await fetch(location, { headers: { authorization: `Bearer ${await sign({ sub })}` } });
    return response.json();
  };

  /** Posts as the owner. Returns the run's address and id. */
  async function order(topic: string): Promise<{ location: string; id: string }> {
    const response = await post(`Bearer ${await sign()}`, topic);
    expect(response.status).toBe(202);
    expect(Number(response.headers.get("retry-after"))).toBeGreaterThan(0);
    const { id } = (await response.json()) as { id: string };
    const location = response.headers.get("location") ?? "";
    expect(location).toBe(`${localStack.url}/api/crew-runs/${id}`);
    return { location, id };
  }

  /** Orders a run, and waits until its crew works. It does so until `release` is called. */
  async function orderHeld(topic: string) {
    const hold = join(folder, topic);
    await writeFile(hold, "");
    const ordered = await order(topic);
    return { ...ordered, running: await waitForStatus(ordered.location, "running"), release: () => rm(hold) };
  }

  const waitForStatus = (location: string, status: string) =>
    vi.waitFor(async () => {
      const run = await read(location);
      expect(run).toMatchObject({ status });
      return run;
    }, PATIENCE);

  /** Waits for so many webhooks about a run, each signed and with the run's id alone. */
  async function waitForWebhooks(id: string, count: number): Promise<void> {
    const found = () => webhooks.filter(({ body }) => body.includes(id));
    await vi.waitFor(() => expect(found()).toHaveLength(count), PATIENCE);
    for (const { headers, body } of found()) {
      const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
      const signature = createHmac("sha256", SECRET).update(signed).digest("base64");
      expect(headers).toMatchObject({ "webhook-id": `run_${id}`, "webhook-signature": `v1,${signature}` });
      expect(JSON.parse(body)).toEqual({ type: "crew_run.ended", timestamp: expect.any(String), data: { id } });
    }
  }

  test("a run is accepted, executed, announced by a signed webhook, and read by its owner only", async () => {
    const { location, id, running, release } = await orderHeld("trams");
    expect(running).toMatchObject({ owner_id: "owner", crew_type: "report", task_input: { topic: "trams" } });
    expect(await read(location, "somebody else")).toMatchObject({ code: "run_not_found" });
    await waitForWebhooks(id, 0);
    await release();
    await waitForWebhooks(id, 1);
    expect(await read(location)).toMatchObject({ status: "completed", result: "# trams" });
  });

  test("a weak or misspelled secret signs no webhooks", () => {
    for (const key of ["", Buffer.alloc(23).toString("base64"), "-_".repeat(16)]) {
      const env = { ...environment, WEBHOOK_SECRET: `whsec_${key}` };
      const { status, stderr } = spawnSync(PYTHON, ["-c", "import webhooks"], { cwd: ROOT, env, encoding: "utf8" });
      expect({ key, status }, stderr).toEqual({ key, status: 1 });
    }
  });

  test("a topic that JSON can't express is the client's fault", async () => {
    const headers = { "content-type": "application/json", authorization: `Bearer ${await sign()}` };
    for (const body of [`{"topic":"\\ud800"}`, `{"topic":NaN}`]) {
      expect((await fetch(`${backEnd}/reports`, { method: "POST", headers, body })).status).toBe(422);
    }
  });

  test("a missing or forged token starts no run", async () => {
    const { kid } = key.jwk;
    const exp = Math.floor(Date.now() / 1000) + 300;
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const forge = (alg: string) => `${encode({ alg, kid })}.${encode({ ...CLAIMS, exp })}.`;
    const hmac = createHmac("sha256", JSON.stringify(key.jwk)).update(forge("HS256").slice(0, -1)).digest("base64url");
    const forged = {
      "by another key": await signToken(await makeKey("RS256", { kid }), CLAIMS),
      "by an unknown key": await signToken(await makeKey("RS256"), CLAIMS),
      unsigned: forge("none"),
      "signed with the public key": forge("HS256") + hmac,
      "of another issuer": await sign({ iss: "https://other.example.com" }),
      "for another audience": await sign({ aud: "https://another.example.com" }),
      expired: await sign({ exp: exp - 360 }),
      "without expiry": await sign({ exp: undefined }),
      "without subject": await sign({ sub: undefined }),
      "no token": "worthless",
    };
    const before = await query("select count(*) from crew_runs");
    const authorizations = Object.values(forged).map((token) => `Bearer ${token}`);
    for (const authorization of [...authorizations, undefined, `Basic ${btoa("owner:password")}`]) {
      const response = await post(authorization, "forged");
      expect({ authorization, status: response.status }).toEqual({ authorization, status: 401 });
      expect(response.headers.get("www-authenticate")).toMatch(/^Bearer/);
    }
    expect(await query("select count(*) from crew_runs")).toEqual(before);
  });

  test("the run of a stopped worker fails at once, that of a killed one is given up, and pending runs wait", async () => {
    const planes = await orderHeld("planes");
    worker.kill("SIGTERM");
    await once(worker, "exit", { signal: AbortSignal.timeout(PATIENCE.timeout) });
    expect(await read(planes.location)).toMatchObject({ status: "failed", error: "The crew stopped with SystemExit." });
    worker = startWorker();
    const ships = await orderHeld("ships");
    await end(worker);
    const trains = await order("trains");
    expect(await read(trains.location)).toMatchObject({ status: "pending" });
    const earlier = "created_at = now() - interval '2 hours', started_at = now() - interval '2 hours'";
    await query(`update crew_runs set ${earlier} where id = '${ships.id}'`);
    worker = startWorker();
    expect(await waitForStatus(trains.location, "completed")).toMatchObject({ result: "# trains" });
    expect(await waitForStatus(ships.location, "failed")).toMatchObject({ error: "The run was abandoned." });
    await waitForWebhooks(ships.id, 1);
  });

  test("a worker that is stopped while it stores a result stores it before it ends", async () => {
    const { location, id, release } = await orderHeld("rockets");
    const waiting = (type: string) => query(`select from pg_stat_activity where wait_event_type = '${type}'`);
    const sleep = `select pg_sleep(3) from (select from crew_runs where id = '${id}' for update) as locked`;
    // Begins now, not when it is awaited.
    const locked = Promise.resolve(query(sleep));
    await vi.waitFor(async () => expect(await waiting("Timeout")).toHaveLength(1), PATIENCE);
    await release();
    await vi.waitFor(async () => expect(await waiting("Lock")).toHaveLength(1), PATIENCE);
    worker.kill("SIGTERM");
    await once(worker, "exit", { signal: AbortSignal.timeout(PATIENCE.timeout) });
    await locked;
    expect(await read(location)).toMatchObject({ status: "completed", result: "# rockets" });
    worker = startWorker();
    await waitForWebhooks(id, 1);
  });

  test("a webhook that failed, or whose sender died, is sent again with its id until it is delivered", async () => {
    const { promise: response, resolve: respond } = Promise.withResolvers<number>();
    const { id, release } = await orderHeld("bicycles");
    responses.set(id, [500, response]);
    await release();
    const isDue = () => query(`update crew_run_webhooks set next_attempt_at = now() where run_id = '${id}'`);
    await waitForWebhooks(id, 1);
    await isDue();
    // The receiver has this one, but the sender dies before it knows.
    await waitForWebhooks(id, 2);
    await end(worker);
    respond(204);
    worker = startWorker();
    await isDue();
    await waitForWebhooks(id, 3);
    const delivered = `select from crew_run_webhooks where run_id = '${id}' and delivered_at is not null`;
    await vi.waitFor(async () => expect(await query(delivered)).toHaveLength(1), PATIENCE);
    await isDue();
    const next = await order("another");
    await waitForWebhooks(next.id, 1);
    await waitForWebhooks(id, 3);
  });
});

/** `find` waits until the output matches, and returns what does. */
function runPython(args: string[], environment: Record<string, string>, run: typeof start = start) {
  const env = { PATH: process.env["PATH"], PYTHONUNBUFFERED: "1", ...environment };
  const child = run(PYTHON, args, { cwd: ROOT, env, stdio: "pipe" }) as ChildProcessWithoutNullStreams;
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const find = (pattern: RegExp) => vi.waitFor(() => pattern.exec(output)?.[0] ?? expect.fail(output), PATIENCE);
  return { child, find };
}
