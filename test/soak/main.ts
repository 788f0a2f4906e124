// Mixed traffic of several users for minutes, while the SQL endpoint and the key endpoint fail and recover. Every answer is
// checked against what the database held at that time and against the faults of that time: `npm run soak`, 3 minutes unless `--minutes` says otherwise.
// Prints its figures; ends with 1 if an answer was wrong, or if the Worker's memory kept growing. The Worker runs in bare
// workerd: `wrangler dev` keeps what it logs, which hides what the Worker keeps.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { SignJWT, generateKeyPair } from "jose";
import { bundleProduct } from "../../bench/bundle.ts";
import { quantile } from "../../bench/statistics.ts";
import { startUpstream } from "../../bench/upstream.ts";
import { startWorkerd } from "../../bench/workerd.ts";
import { type Stack, startStack } from "../../dev/stack.ts";
import type { Fault, LaneAddress, LaneState } from "../stack/lane-protocol.ts";
import { startUnreliableUpstream } from "../stack/unreliable-upstream.ts";
import { type Run, Runs } from "./runs.ts";

const CLIENTS = 24;
const TTL_SECONDS = 30;
const USERS = ["owner", "stranger", "admin"] as const;
type User = (typeof USERS)[number];

/** After a fault's end, what may still be told of it: a fetch that hangs on, and the back-off after it. */
const KEY_FAULT_ECHO_MS = 6_500;
const DATABASE_FAULT_ECHO_MS = 500;

/** All attempts of one read end before this, by default. A wait reads once more at its end. */
const LONGEST_READ_MS = 10_000;

const reply = (status: number, body: string): Fault => ({ kind: "status", status, text: body });
const FAULTS: readonly Fault[] = [
  { kind: "refuse" },
  { kind: "drop" },
  { kind: "drop-in-body" },
  { kind: "hang" },
  { kind: "hang-in-body" },
  { kind: "truncated" },
  { kind: "trickle", bytes: 20, intervalMs: 200 },
  { kind: "delay", milliseconds: 1_000 },
  { kind: "redirect", location: "http://127.0.0.1:9/" },
  reply(500, `{"message":"Couldn't connect to compute node"}`),
  reply(502, "<h1>Bad gateway</h1>"),
  reply(200, "<h1>Welcome</h1>"),
  reply(429, ""),
];

/** A lane that fails now and then, and remembers when. */
class Trouble {
  readonly #path: string;
  readonly #spells: { fromMs: number; untilMs: number }[] = [];
  count = 0;

  constructor(lane: LaneAddress, upstreamUrl: string) {
    this.#path = `${upstreamUrl}/lanes/${lane.id}`;
  }

  async #set(fault: Fault): Promise<void> {
    await fetch(`${this.#path}/fault`, { method: "PUT", body: JSON.stringify(fault) });
  }

  async strike(fault: Fault, milliseconds: number, signal: AbortSignal): Promise<void> {
    const spell = { fromMs: Date.now(), untilMs: Number.POSITIVE_INFINITY };
    this.#spells.push(spell);
    this.count += 1;
    await this.#set(fault);
    await sleep(milliseconds, undefined, { signal }).catch(() => {});
    await this.#set({ kind: "none" });
    spell.untilMs = Date.now();
  }

  /** Whether there was a fault within the time, or shortly before. */
  between(fromMs: number, untilMs: number, echoMs: number): boolean {
    return this.#spells.some((spell) => spell.fromMs <= untilMs && spell.untilMs + echoMs >= fromMs);
  }

  async received(): Promise<number> {
    return ((await (await fetch(this.#path)).json()) as LaneState).received;
  }
}

interface Figures {
  statuses: Map<string, number>;
  latencies: number[];
  waits: number;
  kept: number;
  wrong: string[];
  memoryMegabytes: number[];
}

const pick = <T>(list: readonly T[]): T => {
  const one = list[Math.floor(Math.random() * list.length)];
  if (one === undefined) throw new Error("nothing to pick from");
  return one;
};

async function soak(stack: Stack, milliseconds: number): Promise<Figures> {
  const upstream = await startUnreliableUpstream();
  const openLane = async (target: string) =>
    (await (
      await fetch(`${upstream.url}/lanes`, { method: "POST", body: JSON.stringify({ target }) })
    ).json()) as LaneAddress;
  const databaseLane = await openLane(stack.variables.NEON_FETCH_ENDPOINT);
  const keyLane = await openLane(stack.variables.JWKS_URL);
  const database = new Trouble(databaseLane, upstream.url);
  const keySet = new Trouble(keyLane, upstream.url);

  const figures: Figures = {
    statuses: new Map(),
    latencies: [],
    waits: 0,
    kept: 0,
    wrong: [],
    memoryMegabytes: [],
  };
  // Its cache keeps entries beyond their time: that none is served too long is then the Worker's own doing.
  const cache = await startUpstream(stack.variables.NEON_FETCH_ENDPOINT, "");
  const directory = await mkdtemp(join(tmpdir(), "crew-run-reader-"));
  const worker = await startWorkerd({
    bundle: await bundleProduct(directory),
    variables: {
      ...stack.variables,
      NEON_FETCH_ENDPOINT: databaseLane.url,
      JWKS_URL: keyLane.url,
      FINISHED_RUN_TTL_SECONDS: String(TTL_SECONDS),
    },
    cacheAddress: cache.cacheAddress,
    v8Flags: ["--max-heap-size=128"],
  });

  const stop = new AbortController();
  const endMs = Date.now() + milliseconds;
  const tokens = new Map<User, string>();
  const runs = new Runs(stack.database, TTL_SECONDS);
  const forger = await generateKeyPair("RS256");
  const makeForgery = () =>
    new SignJWT({ client_id: "x" })
      .setProtectedHeader({ alg: "RS256", typ: "at+jwt", kid: crypto.randomUUID() })
      .setIssuer(stack.variables.JWT_ISSUER)
      .setAudience(stack.variables.JWT_AUDIENCE)
      .setSubject("owner")
      .setExpirationTime("5m")
      .sign(forger.privateKey);

  async function renewTokens(): Promise<void> {
    for (const user of USERS) {
      const token = await stack.authorizationServer.fetchToken(user);
      tokens.set(user, token);
    }
  }

  async function ask(): Promise<void> {
    const dice = Math.random();
    const user = pick(USERS);
    const run = dice < 0.08 ? undefined : runs.pick();
    const isForged = dice > 0.97;
    const token = isForged ? await makeForgery() : (tokens.get(user) ?? "");
    const headers: Record<string, string> = { authorization: `Bearer ${token}` };
    const etag = run?.lastEtag;
    if (etag !== undefined && Math.random() < 0.3) headers["if-none-match"] = etag;
    const waitSeconds = Math.random() < 0.1 ? 1 + Math.floor(Math.random() * 5) : 0;
    if (waitSeconds > 0) headers["prefer"] = `wait=${waitSeconds}`;
    const startMs = Date.now();
    const before = run?.revision ?? 0;
    const id = run?.id ?? crypto.randomUUID();
    const response = await fetch(`${worker.origin}/api/crew-runs/${id}`, {
      headers,
      signal: AbortSignal.timeout(30_000),
    });
    const body = await response.text();
    const finishedMs = Date.now();
    const answer = { status: response.status, headers: response.headers, body, startMs, endMs: finishedMs };

    const { code } = (answer.status >= 400 ? JSON.parse(body) : {}) as { code?: string };
    const outcome = code === undefined ? String(answer.status) : `${answer.status} ${code}`;
    figures.statuses.set(outcome, (figures.statuses.get(outcome) ?? 0) + 1);
    if (response.headers.has("preference-applied")) figures.waits += 1;
    if (waitSeconds === 0) figures.latencies.push(finishedMs - startMs);
    const reads = waitSeconds > 0 ? 2 : 1;
    if (finishedMs - startMs > waitSeconds * 1_000 + reads * LONGEST_READ_MS) {
      figures.wrong.push(`a late answer: ${finishedMs - startMs} ms, ${waitSeconds} s of them a wait, ${outcome}`);
    }
    if (response.headers.has("age")) figures.kept += 1;

    const problem =
      answer.status === 503
        ? judgeOutage(answer, code)
        : isForged
          ? answer.status === 401
            ? undefined
            : `a forged token got ${answer.status}`
          : judge(answer, user, run, before, headers["if-none-match"]);
    if (problem !== undefined)
      figures.wrong.push(
        `${problem}: ${new Date(startMs).toISOString()} ${user} ${id} ${outcome} ${body.slice(0, 200)}`,
      );
  }

  interface Answered {
    status: number;
    headers: Headers;
    body: string;
    startMs: number;
    endMs: number;
  }

  /** A 503 must have a fault behind it, say when to come again, and say nothing else. */
  function judgeOutage({ headers, body, startMs, endMs: untilMs }: Answered, code: string | undefined) {
    if (!headers.has("retry-after")) return "a 503 without Retry-After";
    const expected = { detail: "Service temporarily unavailable", code, request_id: headers.get("x-request-id") };
    if (body !== JSON.stringify(expected)) return "a 503 that says too much";
    if (code === "database_unavailable") {
      return database.between(startMs, untilMs, DATABASE_FAULT_ECHO_MS) ? undefined : "a 503 for a database that works";
    }
    return keySet.between(startMs, untilMs, KEY_FAULT_ECHO_MS) ? undefined : "a 503 for an issuer that works";
  }

  function judge(answer: Answered, user: User, run: Run | undefined, before: number, held: string | undefined) {
    const maySee = run !== undefined && (user === "admin" || user === run.owner);
    if (answer.status === 404) {
      return maySee && run.deletedMs > answer.endMs ? "a 404 for a run that is there" : undefined;
    }
    if (run === undefined || !maySee) return "an answer for the wrong user";
    if (answer.startMs > run.deletedMs + TTL_SECONDS * 1_000 + 500) return "a run that was deleted long ago";
    const etag = answer.headers.get("etag") ?? "";
    if (answer.status === 304) {
      if (held !== etag) return "a 304 for another tag";
      return (run.revisions.get(etag) ?? -1) >= before ? undefined : "a 304 for what is outdated";
    }
    if (answer.status !== 200) return "an unexpected status";
    return run.compare(answer.body, etag, before);
  }

  async function loop(work: () => Promise<unknown>, pauseMs: () => number): Promise<void> {
    while (!stop.signal.aborted && Date.now() < endMs) {
      await work().catch((error: unknown) => figures.wrong.push(`no answer: ${String(error)}`));
      await sleep(pauseMs(), undefined, { signal: stop.signal }).catch(() => {});
    }
  }

  const trouble = (target: Trouble) =>
    loop(
      () => target.strike(pick(FAULTS), 1_000 + Math.random() * 4_000, stop.signal),
      () => 3_000 + Math.random() * 6_000,
    );
  const report = async () => {
    const state = await readFile(`/proc/${worker.pid}/status`, "utf8");
    figures.memoryMegabytes.push(Number(/^VmRSS:\s+(\d+) kB$/m.exec(state)?.[1]) / 1_024);
    const answers = [...figures.statuses.values()].reduce((sum, count) => sum + count, 0);
    const memory = figures.memoryMegabytes.at(-1) ?? 0;
    if (figures.memoryMegabytes.length % 12 === 0) {
      console.log(`${answers} answers, ${figures.wrong.length} wrong, ${memory.toFixed(0)} MB`);
    }
  };

  const onSignal = () => stop.abort();
  process.once("SIGINT", onSignal).once("SIGTERM", onSignal);
  try {
    await renewTokens();
    await runs.fill();
    await Promise.all([
      trouble(database),
      trouble(keySet),
      loop(
        () => runs.advance(),
        () => 50,
      ),
      loop(renewTokens, () => 20_000),
      loop(report, () => 5_000),
      ...Array.from({ length: CLIENTS }, () => loop(ask, () => Math.random() * 150)),
    ]);
    console.log(
      `\n${database.count} faults of the database in ${await database.received()} queries, ` +
        `${keySet.count} of the issuer in ${await keySet.received()} fetches`,
    );
  } finally {
    await worker.end();
    cache.close();
    await upstream.close();
    await rm(directory, { recursive: true, force: true });
  }
  return figures;
}

function print(figures: Figures, minutes: number): boolean {
  const { statuses, latencies, memoryMegabytes, wrong } = figures;
  const answers = [...statuses.values()].reduce((sum, count) => sum + count, 0);
  // In the first half the Worker fills what it may keep.
  const quarter = Math.ceil(memoryMegabytes.length / 4);
  const [third, last] = [memoryMegabytes.slice(-2 * quarter, -quarter), memoryMegabytes.slice(-quarter)].map((part) =>
    part.length === 0 ? Number.NaN : quantile(part, 0.5),
  ) as [number, number];
  const isLevel = !(last > third * 1.1 + 10);
  console.log(`
| ${minutes} minutes | |
|---|---|
| answers | ${answers} |
| wrong | ${wrong.length} |
${[...statuses]
  .toSorted()
  .map(([outcome, count]) => `| ${outcome} | ${count} |`)
  .join("\n")}
| waited | ${figures.waits} |
| served from memory or the data centre's cache | ${figures.kept} |
| time without waits: median, 99 %, most | ${[0.5, 0.99, 1].map((share) => `${quantile(latencies, share).toFixed(0)} ms`).join(", ")} |
| memory of workerd: third quarter, last quarter, most | ${[third, last, Math.max(...memoryMegabytes)].map((value) => `${value.toFixed(0)} MB`).join(", ")} |`);
  const kinds = Map.groupBy(wrong, (line) => line.split(":")[0]);
  for (const [kind, lines] of kinds)
    console.error(`${lines.length} × ${kind}, such as\n  ${lines.slice(0, 3).join("\n  ")}`);
  if (!isLevel) console.error("memory kept growing");
  return wrong.length === 0 && isLevel;
}

const { values } = parseArgs({ options: { minutes: { type: "string", default: "3" } } });
const minutes = Number(values.minutes);
const stack = await startStack();
try {
  process.exitCode = print(await soak(stack, minutes * 60_000), minutes) ? 0 : 1;
} finally {
  await stack.close();
}
process.exit();
