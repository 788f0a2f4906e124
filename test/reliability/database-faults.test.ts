// Each way in which the SQL endpoint can fail, met by a cold isolate, by a warm one and by some of a burst.
import { afterAll, describe, expect, inject, test } from "vitest";
import { type User, fetchToken } from "../issuer.ts";
import { openLane } from "../lane.ts";
import { insertRun } from "../rows.ts";
import type { Fault } from "../stack/lane-protocol.ts";
import { bearer, startWorker } from "../worker.ts";
import { expectAsDocumented } from "./fault-table.ts";
import { catchLines } from "./log-lines.ts";
import { readRun } from "./reader.ts";

const lines = catchLines();
const bodies: string[] = [];
const users: readonly User[] = ["owner", "stranger", "admin"];

interface Case {
  what: string;
  /** The line of docs/faults.md. */
  line: string;
  fault: Fault;
  attempts: 1 | 3;
}

const reply = (status: number, text: string, contentType = "application/json"): Fault => ({
  kind: "status",
  status,
  text,
  contentType,
});
const sqlError = (code: string, message: string) => reply(400, JSON.stringify({ message, code, severity: "FATAL" }));

const lost = { line: "database: connection lost", attempts: 3 } as const;
const late = { line: "database: no answer in time", attempts: 3 } as const;
const failing = { line: "database: the endpoint answers with an error", attempts: 3 } as const;
const garbled = { line: "database: a reply that is no result", attempts: 3 } as const;
const busy = { line: "database: full, starting or stopping", attempts: 3 } as const;
const refused = { line: "database: wrong password or database name", attempts: 1 } as const;
const wrong = { line: "database: the statement fails", attempts: 1 } as const;

const cases: readonly Case[] = [
  { what: "a connection that is refused", ...lost, fault: { kind: "refuse" } },
  { what: "a connection that is dropped", ...lost, fault: { kind: "drop" } },
  { what: "a connection that is dropped in the body", ...lost, fault: { kind: "drop-in-body" } },
  { what: "no answer", ...late, fault: { kind: "hang" } },
  { what: "a body that stops", ...late, fault: { kind: "hang-in-body" } },
  { what: "a body that trickles", ...late, fault: { kind: "trickle", bytes: 10, intervalMs: 100 } },
  { what: "a 500 without a body", ...failing, fault: reply(500, "") },
  { what: "a 502 in HTML", ...failing, fault: reply(502, "<h1>Bad gateway</h1>", "text/html") },
  { what: "a 429", ...failing, fault: reply(429, "slow down") },
  {
    what: "a compute that is waking up",
    ...failing,
    fault: reply(500, `{"message":"Couldn't connect to compute node","code":null,"neon:retryable":true}`),
  },
  {
    what: "the control plane's 400 without a code",
    ...failing,
    fault: reply(400, `{"message":"Control plane request failed","code":""}`),
  },
  { what: "a 200 in HTML", ...garbled, fault: reply(200, "<h1>Welcome</h1>", "text/html") },
  { what: "a 400 in HTML", ...garbled, fault: reply(400, "<h1>Bad request</h1>", "text/html") },
  { what: "an empty 200", ...garbled, fault: reply(200, "") },
  { what: "JSON null", ...garbled, fault: reply(200, "null") },
  { what: "JSON of another shape", ...garbled, fault: reply(200, `{"rows":{}}`) },
  { what: "half of the JSON", ...garbled, fault: { kind: "truncated" } },
  {
    what: "a reply of 17 MB",
    line: "database: a record beyond 16 MB",
    attempts: 1,
    fault: { kind: "huge-body", megabytes: 17 },
  },
  {
    what: "a reply beyond the endpoint's own limit",
    line: "database: a record beyond 16 MB",
    attempts: 1,
    fault: reply(507, `{"message":"response is too large (max is 67108864 bytes)","code":""}`),
  },
  { what: "too many connections", ...busy, fault: sqlError("53300", "sorry, too many clients already") },
  { what: "a server that starts", ...busy, fault: sqlError("57P03", "the database system is starting up") },
  { what: "a server that stops", ...busy, fault: sqlError("57P01", "terminating connection") },
  { what: "a redirect", ...refused, fault: { kind: "redirect", location: "http://127.0.0.1:9/" } },
  {
    what: "the proxy's refusal, which has no code",
    ...refused,
    fault: reply(400, `{"message":"password authentication failed for user 'reader'","code":""}`),
  },
  {
    what: "a statement time-out",
    line: "database: a statement takes too long",
    attempts: 1,
    fault: sqlError("57014", "canceling statement due to statement timeout"),
  },
  {
    what: "a serialisation failure",
    ...busy,
    fault: sqlError("40001", "canceling statement due to conflict with recovery"),
  },
  {
    what: "a lock that is not available",
    ...busy,
    fault: sqlError("55P03", "canceling statement due to lock timeout"),
  },
  { what: "an error of the system", ...busy, fault: sqlError("58030", "could not read file") },
  { what: "an internal error", ...busy, fault: sqlError("XX000", "unexpected data beyond EOF") },
  {
    what: "a value that Postgres cannot write",
    line: "database: a value that Postgres cannot write",
    attempts: 1,
    fault: sqlError("22P02", 'invalid input syntax for type json: "SECRET TEXT"'),
  },
  { what: "a missing table", ...wrong, fault: sqlError("42P01", `relation "crew_runs" does not exist`) },
];

describe.concurrent.each(cases)("$what", ({ line, fault, attempts }) => {
  const start = async (attemptMs: number) => {
    const lane = await openLane(inject("stack").variables.NEON_FETCH_ENDPOINT);
    // Only where the time-out is the point is it short: this machine may be busy.
    const limits = line === late.line ? { DATABASE_ATTEMPT_TIMEOUT_MS: attemptMs } : {};
    return { lane, worker: startWorker({ NEON_FETCH_ENDPOINT: lane.url, ...limits }) };
  };
  const received = async (lane: { counters(): Promise<{ received: number }> }) => (await lane.counters()).received;

  test.each([
    ["a cold isolate", false],
    ["a warm one", true],
  ])("in %s is answered as documented, and over when it is over", async (_, isWarm) => {
    const { lane, worker } = await start(400);
    const id = await insertRun({ status: "running", result: "as stored" });
    const token = await fetchToken("owner");
    if (isWarm) expect((await readRun(worker, id, token, lines)).response.status).toBe(200);
    const before = await received(lane);

    await lane.fail(fault);
    const failed = await readRun(worker, id, token, lines);
    bodies.push(failed.body);
    expectAsDocumented(line, failed);
    expect(await received(lane)).toBe(before + attempts);
    expect(failed.log["db_attempts"]).toBe(attempts);
    expect(String(failed.log["db_faults"]).split(" ")).toHaveLength(attempts);
    expect(failed.milliseconds).toBeLessThan(5_000);

    await lane.heal();
    const healed = await readRun(worker, id, token, lines);
    expect(healed.response.status).toBe(200);
    expect(JSON.parse(healed.body)).toMatchObject({ id, result: "as stored" });
    expect(healed.log["db_faults"]).toBeUndefined();
  });

  test("for the first four queries of a burst harms no other request", async () => {
    const { lane, worker } = await start(1_500);
    const runs = await Promise.all(users.map((user) => insertRun({ status: "running", owner_id: user })));
    const tokens = await Promise.all(users.map(fetchToken));
    // So that the burst is of queries, not of key fetches.
    await Promise.all(tokens.map((token) => worker.fetch("/api/crew-runs/x", { headers: bearer(token) })));
    await lane.fail({ ...fault, times: 4 });
    const answers = await Promise.all(
      Array.from({ length: 12 }, async (__, index) => {
        const [id = "", token = ""] = [runs[index % 3], tokens[index % 3]];
        return { id, owner: users[index % 3], answer: await readRun(worker, id, token, lines) };
      }),
    );
    const failed = answers.filter(({ answer }) => answer.response.status !== 200);
    for (const { answer } of failed) expectAsDocumented(line, answer);
    expect(failed).toHaveLength(attempts === 1 ? 4 : 0);
    for (const { id, owner, answer } of answers) {
      if (answer.response.status === 200) expect(JSON.parse(answer.body)).toMatchObject({ id, owner_id: owner });
      if (attempts === 3 && answer.log["db_faults"] !== undefined) {
        expectAsDocumented("database: a fault that passes, met by one or two attempts", answer);
      }
    }
    expect(await received(lane)).toBe(attempts === 1 ? 12 : 16);
  });
});

afterAll(async () => {
  const { DATABASE_URL } = inject("stack").variables;
  const secrets = [new URL(DATABASE_URL).password, ...(await Promise.all(users.map(fetchToken)))];
  for (const text of [...lines.all(), ...bodies]) {
    for (const secret of secrets) expect(text).not.toContain(secret);
  }
});
