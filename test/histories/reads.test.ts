// Whatever happens in whatever order (requests, rotations and keys replaced under their ids, outages, moves of the clock, changes
// of the rows, cold isolates, a data-center cache that is slow or broken, a full budget of replies): no reader gets another user's run, no bound on age is
// exceeded, no tag names two bodies, the upstreams get no more requests than they should, and nothing fails while they work.
// A failed test prints its seed and the shortest history that fails.
import fc from "fast-check";
import { fetchWithinBudget } from "../../src/crew-runs/postgres/reply-budget.ts";
import { describe, expect, inject, test, vi } from "vitest";
import { StateHistory, type Version, canSee, check, isFinished, nextVersion, writeVersion } from "./state-history.ts";
import { controlClock } from "../support/clock.ts";
import { insertRun } from "../support/database.ts";
import type { Fault } from "../support/fault-proxy-protocol.ts";
import type { User } from "../support/issuer.ts";
import { type Reader, createReader } from "../support/reader.ts";
import { type SigningKey, makeKey } from "../support/signing.ts";

/** In the title, so that every run says it. To repeat a run, write its seed here. */
const SEED = crypto.getRandomValues(new Int32Array(1))[0] ?? 0;
const HISTORIES = inject("histories");
/** For the search of the shortest history that fails as well. */
const TIME_LIMIT_MS = 45_000 + HISTORIES * 1_500;
const TOKEN_LIFE_SECONDS = 3_600;
/** The bounds of SECURITY.md and docs/troubleshooting.md. */
const LEEWAY_MS = 10_000;
const NEW_KEY_MS = 10_000;
const OLD_KEY_MS = 600_000;
const FAILURE_MEMORY_MS = 60_000;
const BACKOFF_MS = 3_000;

describe(`with the seed ${SEED}`, { timeout: TIME_LIMIT_MS + 30_000 }, () => {
  test("reads keep their promises in every history", async () => {
    clock.simulate();
    for (const name of ["match", "put"] as const) {
      const call = vi.mocked(Cache.prototype[name]).getMockImplementation() as () => Promise<never>;
      vi.mocked(Cache.prototype[name]).mockImplementation(async function (this: Cache, ...words: []) {
        if (cacheIs === "broken") throw new Error("broken");
        if (cacheIs === "slow") await scheduler.wait(2_000);
        return call.apply(this, words);
      });
    }
    const histories = fc.array(steps, { minLength: 20, maxLength: 40, size: "max" });
    const property = fc.asyncProperty(settings, histories, async (variables, history) => {
      const play = await begin(variables);
      for (const each of history) await play(each);
    });
    await fc.assert(property, { seed: SEED, numRuns: HISTORIES, interruptAfterTimeLimit: TIME_LIMIT_MS });
  });
});

const ISSUER_FAULTS = {
  well: { kind: "none" },
  slow: { kind: "delay", milliseconds: 100 },
  refusing: { kind: "refuse" },
  failing: { kind: "status", status: 500 },
} satisfies Record<string, Fault>;

interface World {
  /** Those that the issuer publishes, by number. The last one has the first one's id. */
  keys: readonly number[];
  issuer: keyof typeof ISSUER_FAULTS;
  isDatabaseDown: boolean;
  /** Of three runs; the last is never there. */
  rows: readonly (Version | undefined)[];
}

const isIssuerFailing = ({ issuer }: World) => issuer === "refusing" || issuer === "failing";

const asks = fc.record({
  run: fc.constantFrom(1, 1, 1, 0, 0, 2),
  reader: fc.constantFrom<User>("owner", "owner", "owner", "stranger", "admin"),
  key: fc.constantFrom(0, 0, 1, 2, 2),
  hasKid: fc.constantFrom(true, true, false),
  /** Whether the token is signed now, or held since this reader last had one signed. */
  isFresh: fc.boolean(),
  /** Whether the request says which tag this reader got last. */
  isConditional: fc.boolean(),
});
type Ask = ReturnType<typeof asks.generate>["value"];

/** Before each step as much time passes, forwards or backwards; mostly none. */
const PASSING_SECONDS = [1, 4, 11, 11, 50, 70, 490, 610, 610, 610, 1_300, 3_700, 15_000, -20, -4_000];
const seconds = fc.oneof(fc.constant(0), fc.constant(0), fc.constantFrom(...PASSING_SECONDS));
const WRITES = ["running", "completed", "completed", "failed", "another owner", "nothing"] as const;

/** A kind of step, and how often it comes. A request takes most time, so that much may happen between two. */
const step = <Kind extends string, T>(
  weight: number,
  kind: Kind,
  members: { [Name in keyof T]: fc.Arbitrary<T[Name]> },
) => ({
  weight,
  arbitrary: fc.tuple(seconds, fc.record(members)).map(([passing, each]) => ({ seconds: passing, kind, ...each })),
});
const steps = fc.oneof(
  step(10, "ask", {
    isolate: fc.constantFrom(0, 0, 1),
    /** At once; now and then a crowd. */
    asks: fc.oneof(
      { weight: 60, arbitrary: fc.array(asks, { minLength: 1, maxLength: 2 }) },
      { weight: 1, arbitrary: fc.array(asks, { minLength: 30, maxLength: 60, size: "max" }) },
    ),
    lostQueries: fc.constantFrom(0, 0, 0, 0, 0, 0, 1, 2),
  }),
  step(6, "publish", { keys: fc.constantFrom([0], [1], [0, 1], [2], [2], [1, 2], [0, 2]) }),
  step(2, "issuer", { is: fc.constantFrom("well", "well", "well", "slow", "refusing", "failing") }),
  step(1, "database", { isDown: fc.constantFrom(true, false, false) }),
  step(2, "write", { run: fc.nat(1), what: fc.constantFrom(...WRITES) }),
  step(1, "restart", { isolate: fc.nat(1) }),
  step(1, "cache", { is: fc.constantFrom("working", "slow", "broken") }),
  step(1, "large reads", {}),
);
type Step = ReturnType<typeof steps.generate>["value"];

const settings = fc.record({
  FINISHED_RUN_TTL_SECONDS: fc.constantFrom(3_600, 3_600, 3_600, 60, 0),
  JWKS_MAX_STALE_SECONDS: fc.constantFrom(14_400, 3_600, 600),
});
type Settings = ReturnType<typeof settings.generate>["value"];

const clock = controlClock();
let cacheIs: "working" | "slow" | "broken" = "working";
/** Every 404 so far, but for the request's id: one. */
const notFound = new Set<string>();

const first = await makeKey("ES256");
const KEYS = [first, await makeKey("ES256"), await makeKey("ES256", { kid: first.jwk.kid })];
const findKey = (number: number): SigningKey => KEYS[number] ?? expect.fail(`there is no key ${number}`);

/** Two large replies that never end: for ten seconds no room is left. Small reads must not notice. */
function fillBudget(): void {
  for (let count = 0; count < 2; count += 1) {
    const body = new ReadableStream({ type: "bytes", pull: () => new Promise<void>(() => {}) });
    const reply = new Response(body, { headers: { "content-length": "12582900" } });
    vi.mocked(globalThis.fetch).mockResolvedValueOnce(reply);
    void fetchWithinBudget("https://large.test/", {}).catch(() => {});
  }
}

interface Isolate {
  reader: Reader;
  /** The finished runs that must be in memory, and when they were read at the earliest. */
  cached: Map<number, { version: Version; readMs: number }>;
  lastFetch: { atMs: number; hasFailed: boolean } | undefined;
}

/** Prepares an issuer with one key, a database with two runs, and two isolates. Returns a function that executes and checks a step. */
async function begin(variables: Settings): Promise<(step: Step) => Promise<void>> {
  const staleMs = variables.JWKS_MAX_STALE_SECONDS * 1_000;
  const ttlMs = variables.FINISHED_RUN_TTL_SECONDS * 1_000;
  const { issuer, database, restart } = await createReader({ settings: variables, keys: [findKey(0)] });
  cacheIs = "working";
  const start = (): Isolate => ({ reader: restart(), cached: new Map(), lastFetch: undefined });
  const isolates: [Isolate, Isolate] = [start(), start()];

  const ids = [await insertRun(), await insertRun(), crypto.randomUUID()] as const;
  const versions: Version[] = [
    { name: "version 0", owner: "owner", status: "pending" },
    { name: "version 1", owner: "owner", status: "completed" },
  ];
  await Promise.all(versions.map((version, run) => writeVersion(ids[run] ?? "", version)));
  const states = new StateHistory<World>({ keys: [0], issuer: "well", isDatabaseDown: false, rows: [...versions] });

  const tokens = new Map<string, { text: string; deadMs: number }>();
  const heldTags = new Map<string, string>();
  const bodies = new Map<string, string>();

  async function getToken({ reader, key, hasKid, isFresh }: Ask) {
    const name = `${reader} ${key} ${hasKid}`;
    const known = tokens.get(name);
    if (known !== undefined && !isFresh) return known;
    const exp = Math.floor(Date.now() / 1_000) + TOKEN_LIFE_SECONDS;
    const claims = { sub: reader, exp, iat: undefined, scope: reader === "admin" ? "crew-runs:admin" : "" };
    const header = hasKid ? {} : { kid: undefined };
    const text = await issuer.sign(claims, { key: findKey(key), header });
    const token = { text, deadMs: exp * 1_000 + LEEWAY_MS };
    tokens.set(name, token);
    return token;
  }

  /** Sends one request, checks its response, and returns the number of queries that it may have cost. */
  async function ask(isolate: Isolate, asked: Ask, attempts: number): Promise<number> {
    const { run, reader, key, isConditional } = asked;
    const { text, deadMs } = await getToken(asked);
    const tag = isConditional ? heldTags.get(`${reader} ${run}`) : undefined;
    const cached = isolate.cached.get(run);
    const begunMs = Date.now();
    const condition = tag === undefined ? {} : { "if-none-match": tag };
    const { status, headers, body } = await isolate.reader.read(ids[run], { token: text, headers: condition });
    const endedMs = Date.now();

    const was = (agoMs: number, isSo: (world: World) => boolean) => states.was(begunMs - agoMs, endedMs, isSo);
    const hasKey = (world: World) => world.keys.includes(key);
    const keyServesMs = was(FAILURE_MEMORY_MS, isIssuerFailing) ? staleMs : OLD_KEY_MS;
    const { rows, isDatabaseDown } = states.now;
    const current = rows[run];
    const isCached =
      cached !== undefined &&
      canSee(cached.version, reader) &&
      cached.readMs <= begunMs &&
      endedMs < cached.readMs + ttlMs;

    if (status === 401) {
      check(endedMs >= deadMs || was(NEW_KEY_MS, (world) => !hasKey(world)), "a good token is let in");
      return begunMs < deadMs && was(staleMs, hasKey) ? attempts : 0;
    }
    check(begunMs < deadMs, "an expired token ends");
    if (status === 503 && body.includes("key_set_unavailable")) {
      check(was(BACKOFF_MS, isIssuerFailing), "no 5xx while the issuer is well");
      return attempts;
    }
    check(was(keyServesMs, hasKey), "a withdrawn key ends within its bound");
    if (status === 503) {
      check(isDatabaseDown && body.includes("database_unavailable"), "no 5xx while the database is well");
      check(!isCached, "a cached run needs no database");
    } else if (status === 404) {
      check(!isDatabaseDown, "nobody can say that a run is missing while the database is down");
      check(current === undefined || !canSee(current, reader), "a run is there for whoever may see it");
      const id = headers.get("x-request-id") ?? "";
      const others = [...headers].filter(([name]) => name !== "x-request-id" && name !== "server-timing");
      notFound.add(JSON.stringify([body.replace(id, ""), others]));
      check(notFound.size === 1, "a foreign run is the same 404 as a missing one");
    } else {
      const etag = headers.get("etag") ?? "";
      if (status === 304) check(body === "" && etag === tag, "a 304 confirms the tag that the client holds");
      else check(status === 200 && etag !== "" && etag !== tag, "a good request has a good answer");
      if (status === 200) check((bodies.get(etag) ?? body) === body, "one tag never names two bodies");
      if (status === 200) bodies.set(etag, body);
      heldTags.set(`${reader} ${run}`, etag);

      const record = JSON.parse(bodies.get(etag) ?? "{}");
      const version = versions.find(({ name }) => name === record.correlation_id);
      if (version === undefined) throw new Error("the answer is no state of the row");
      check(record.id === ids[run] && record.status === version.status, "the answer is a state of the row");
      check(canSee(version, reader), "nobody reads what is not theirs");
      check(
        headers.has("retry-after") === !isFinished(version),
        "an unfinished run is to be asked for again, no other",
      );
      if (!isFinished(version)) {
        check(version === current && !isDatabaseDown, "an unfinished run is never older than the request");
        return attempts;
      }
      const ageMs = Number(headers.get("age") ?? 0) * 1_000;
      const wasSo = (world: World) => world.rows[run] === version;
      check(version === current || was(ttlMs, wasSo), "a finished run is never older than its time");
      check(ageMs === 0 || ageMs < ttlMs, "no age is beyond the time");
      check(states.was(begunMs - ageMs - 1_000, endedMs - ageMs, wasSo), "the age is the run's");
      isolate.cached.set(run, { version, readMs: begunMs - ageMs - (ageMs > 0 ? 1_000 : 0) });
    }
    return isCached ? 0 : attempts;
  }

  async function askAll(isolate: Isolate, { asks: all, lostQueries }: Extract<Step, { kind: "ask" }>): Promise<void> {
    const { isDatabaseDown } = states.now;
    const isFaulty = lostQueries > 0 && !isDatabaseDown;
    if (isFaulty) await database.fail({ kind: "drop", times: lostQueries });
    const count = () => Promise.all([database, issuer.proxy].map(async (proxy) => await proxy.received()));
    const [queriesBefore = 0, fetchesBefore = 0] = await count();
    const begunMs = Date.now();
    const budgets = await Promise.all(all.map((each) => ask(isolate, each, isFaulty || isDatabaseDown ? 3 : 1)));
    await isolate.reader.app.settle();
    const [queries = 0, fetches = 0] = await count();
    if (isFaulty) await database.heal();

    const budget = budgets.reduce((sum, each) => sum + each, 0);
    check(queries - queriesBefore <= budget, `at most ${budget} queries`);
    const { lastFetch } = isolate;
    const pauseMs = lastFetch?.hasFailed ? BACKOFF_MS : NEW_KEY_MS;
    const isPausing = lastFetch !== undefined && lastFetch.atMs <= begunMs && Date.now() < lastFetch.atMs + pauseMs;
    check(fetches - fetchesBefore <= (isPausing ? 0 : 1), "the keys are fetched once, and then not for a while");
    if (fetches > fetchesBefore) isolate.lastFetch = { atMs: begunMs, hasFailed: isIssuerFailing(states.now) };
  }

  async function write({ run, what }: Extract<Step, { kind: "write" }>): Promise<void> {
    const { now } = states;
    const row = now.rows[run];
    // A finished run does not go on; a deleted one does not come back.
    if (row === undefined || (what === "running" && isFinished(row))) return;
    const version = nextVersion(versions, row, what);
    await states.change({ ...now, rows: now.rows.with(run, version) }, () => writeVersion(ids[run] ?? "", version));
  }

  return async (each) => {
    const { now } = states;
    if (each.seconds !== 0) states.jump(() => clock.advance(each.seconds));
    switch (each.kind) {
      case "ask":
        return askAll(isolates[each.isolate === 0 ? 0 : 1], each);
      case "write":
        return write(each);
      case "publish": {
        const published = each.keys.map((key) => findKey(key).jwk);
        return states.change({ ...now, keys: each.keys }, () => issuer.publish(published));
      }
      case "issuer":
        return states.change({ ...now, issuer: each.is }, () => issuer.proxy.fail(ISSUER_FAULTS[each.is]));
      case "database": {
        const kind = each.isDown ? "drop" : "none";
        return states.change({ ...now, isDatabaseDown: each.isDown }, () => database.fail({ kind }));
      }
      case "cache":
        cacheIs = each.is;
        return;
      case "large reads":
        return fillBudget();
      case "restart":
        isolates[each.isolate === 0 ? 0 : 1] = start();
        return;
    }
  };
}
