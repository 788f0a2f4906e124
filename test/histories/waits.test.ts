// `Prefer: wait` on runs whose rows change, whoever waits with whomever: each wait ends within its time, with the run as it
// then is, for those only who may see it; and those who wait for one run share their queries.
// Time runs five times as fast. A failed test prints its seed and the shortest history that fails.
import fc from "fast-check";
import { afterAll, beforeAll, describe, inject, test, vi } from "vitest";
import { type User, fetchToken } from "../issuer.ts";
import { openLane } from "../lane.ts";
import { insertRun } from "../rows.ts";
import { bearer, startWorker } from "../worker.ts";
import { Chronicle, type Version, canSee, isFinal, must, writeVersion } from "./chronicle.ts";

/** In the title, so that every run says it. To repeat a run, write its seed here. */
const SEED = crypto.getRandomValues(new Int32Array(1))[0] ?? 0;
/** Each has up to five runs, which are waited for side by side. */
const HISTORIES = Math.ceil(inject("histories") / 10);
const TIME_LIMIT_MS = 45_000 + HISTORIES * 8_000;
const PACE = 5;
/** What a request may take beyond its time, on a busy machine. */
const SLACK_MS = 1_000 * PACE;
/** Between two looks at the database, whoever has them. */
const SHORTEST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 3_000;

const moments = fc.integer({ min: 0, max: 8_000 });
const waits = fc.record({
  reader: fc.constantFrom<User>("owner", "owner", "admin", "stranger"),
  fromMs: moments,
  seconds: fc.integer({ min: 1, max: 15 }),
  /** Whether the client says which tag it holds, so that it hears of any change. */
  hasTag: fc.boolean(),
});
const changes = fc.record({
  atMs: moments,
  what: fc.constantFrom("running", "completed", "another owner", "nothing", "lost queries"),
});
const scenes = fc.record({
  waits: fc.array(waits, { minLength: 1, maxLength: 6 }),
  changes: fc.array(changes, { maxLength: 3 }),
});
type Scene = ReturnType<typeof scenes.generate>["value"];

let pause: (milliseconds: number) => Promise<void>;

beforeAll(async () => {
  vi.spyOn(console, "log").mockImplementation(() => {});
  vi.spyOn(console, "error").mockImplementation(() => {});
  await Promise.all((["owner", "stranger", "admin"] as const).map(fetchToken));
  const [now, wait, startMs] = [Date.now, scheduler.wait.bind(scheduler), Date.now()];
  vi.spyOn(Date, "now").mockImplementation(() => startMs + (now() - startMs) * PACE);
  vi.spyOn(scheduler, "wait").mockImplementation((milliseconds, options) => wait(milliseconds / PACE, options));
  pause = (milliseconds) => scheduler.wait(milliseconds);
});
afterAll(() => {
  vi.restoreAllMocks();
});

/** Plays what happens to one run and those who wait for it, and judges it. */
async function play(scene: Scene): Promise<void> {
  const lane = await openLane(inject("stack").variables.NEON_FETCH_ENDPOINT);
  const worker = startWorker({ NEON_FETCH_ENDPOINT: lane.url, MAX_WAIT_SECONDS: 60 });
  const id = await insertRun({ correlation_id: "version 0" });
  const versions: Version[] = [{ name: "version 0", owner: "owner", status: "pending" }];
  const chronicle = new Chronicle(versions[0]);
  const get = async (reader: User, headers: Record<string, string>) =>
    worker.fetch(`/api/crew-runs/${id}`, { headers: { ...bearer(await fetchToken(reader)), ...headers } });
  const tag = (await get("owner", {})).headers.get("etag") ?? "";
  let lostQueries = 0;

  async function change({ atMs, what }: Scene["changes"][number]): Promise<void> {
    await pause(atMs);
    const row = chronicle.now;
    if (what === "lost queries") {
      // More at once, and an honest read might fail.
      if (lostQueries === 0) await lane.fail({ kind: "drop", times: (lostQueries = 2) });
      return;
    }
    if (row === undefined || isFinal(row)) return;
    let version: Version | undefined;
    if (what !== "nothing") {
      const members = what === "another owner" ? { owner: "somebody" } : { status: what };
      version = { ...row, ...members, name: `version ${versions.length}` };
      versions.push(version);
    }
    await chronicle.become(version, () => writeVersion(id, version));
  }

  async function wait({ reader, fromMs, seconds, hasTag }: Scene["waits"][number]): Promise<void> {
    await pause(fromMs);
    const begunMs = Date.now();
    const response = await get(reader, { prefer: `wait=${seconds}`, ...(hasTag && { "if-none-match": tag }) });
    const body = await response.text();
    const endedMs = Date.now();
    const endMs = begunMs + seconds * 1_000;
    const { status, headers } = response;
    const sees = (row: Version | undefined) => row !== undefined && canSee(row, reader);
    must(endedMs <= endMs + SLACK_MS, "a wait ends within its time");
    if (!chronicle.was(begunMs, endedMs, sees)) {
      must(status === 404 && endedMs <= begunMs + SLACK_MS, "a stranger does not wait and never gets in");
      return;
    }
    if (status === 404) {
      must(
        chronicle.was(begunMs, endedMs, (row) => !sees(row)),
        "a run is there for whoever may see it",
      );
      return;
    }
    must(status === 200 || (status === 304 && hasTag), `a wait does not end with ${status}`);
    const name = status === 304 ? "version 0" : JSON.parse(body).correlation_id;
    const version = versions.find((each) => each.name === name);
    const isSo = (row: Version | undefined) => row === version;
    must(version !== undefined && canSee(version, reader), "nobody reads what is not theirs");
    must(chronicle.was(begunMs, endedMs, isSo), "the run is never older than the request");
    must(status === 304 || !hasTag || headers.get("etag") !== tag, "a 200 brings another tag than the client holds");
    if (version && isFinal(version)) {
      must(!headers.has("retry-after"), "a finished run is not to be asked for again");
      const heardMs = endedMs - LONGEST_PAUSE_MS * (1 + lostQueries) - SLACK_MS;
      must(heardMs < begunMs || chronicle.was(heardMs, endedMs, (row) => !isSo(row)), "a run's end is heard of soon");
    } else if (!hasTag || status === 304) {
      must(endedMs >= endMs && headers.get("retry-after") === "0", "an unfinished run is waited for to the end");
      must(chronicle.was(endMs, endedMs, isSo), "when the time is up, the run is as it then is");
    }
  }

  const before = (await lane.counters()).received;
  const startedMs = Date.now();
  await Promise.all([...scene.waits.map(wait), ...scene.changes.map(change)]);
  const lookTimes = Math.ceil((Date.now() - startedMs) / SHORTEST_PAUSE_MS);
  // Each has its first read and its last one; between these, the looks serve all.
  const budget = 2 * scene.waits.length + lookTimes + lostQueries;
  must((await lane.counters()).received - before <= budget, `those who wait for a run share ${budget} queries`);
}

describe(`with the seed ${SEED}`, { timeout: TIME_LIMIT_MS + 30_000 }, () => {
  test("waits keep their promises in every history", async () => {
    const histories = fc.array(scenes, { minLength: 1, maxLength: 5, size: "max" });
    const property = fc.asyncProperty(histories, async (history) => {
      for (const outcome of await Promise.allSettled(history.map(play))) {
        if (outcome.status === "rejected") throw outcome.reason;
      }
    });
    await fc.assert(property, { seed: SEED, numRuns: HISTORIES, interruptAfterTimeLimit: TIME_LIMIT_MS * PACE });
  });
});
