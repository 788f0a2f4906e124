// `Prefer: wait` on runs whose rows change, whoever waits with whomever: each wait ends within its time, with the run as it
// then is, for those only who may see it, and makes few queries.
// Time is simulated. A failed test prints its seed and the shortest history that fails.
import fc from "fast-check";
import { describe, inject, test } from "vitest";
import { StateHistory, type Version, canSee, check, isFinished, nextVersion, writeVersion } from "./state-history.ts";
import { controlClock } from "../support/clock.ts";
import { insertRun } from "../support/database.ts";
import type { Fault } from "../support/fault-proxy-protocol.ts";
import type { User } from "../support/issuer.ts";
import { type Reader, createReader } from "../support/reader.ts";

/** In the title, so that every run says it. To repeat a run, write its seed here. */
const SEED = crypto.getRandomValues(new Int32Array(1))[0] ?? 0;
/** Each has up to five runs, which are waited for side by side. */
const HISTORIES = Math.ceil(inject("histories") / 2);
const TIME_LIMIT_MS = 30_000 + HISTORIES * 3_000;
/** The pauses between the three attempts of the last poll, at most. */
const MAX_RETRY_MS = 675;
/** A wait's queries: so many, and one more per second at most. */
const FEWEST_QUERIES = 2;

describe(`with the seed ${SEED}`, { timeout: TIME_LIMIT_MS + 30_000 }, () => {
  test("waits keep their promises in every history", async () => {
    clock.simulate();
    const property = fc.asyncProperty(histories, async (history) => {
      const reader = await createReader();
      const { database } = reader;
      const loss = pause(history.lossMs).then(() => database.fail({ ...history.loss, times: LOST_QUERIES }));
      const outcomes = await Promise.allSettled(history.scenes.map((scene) => play(reader, scene)));
      await loss;
      let budget = LOST_QUERIES;
      for (const outcome of outcomes) {
        if (outcome.status === "rejected") throw outcome.reason;
        budget += outcome.value;
      }
      check((await database.received()) <= budget, `the waits make ${budget} queries at most`);
    });
    await fc.assert(property, { seed: SEED, numRuns: HISTORIES, interruptAfterTimeLimit: TIME_LIMIT_MS });
  });
});

const pauses = fc.integer({ min: 0, max: 2_000 });
const waits = fc.record({
  reader: fc.constantFrom<User>("owner", "owner", "admin", "stranger"),
  fromMs: pauses,
  seconds: fc.integer({ min: 1, max: 6 }),
  /** Whether the client sends its tag, so that any change ends its wait. */
  hasTag: fc.boolean(),
});
const changes = fc.record({
  afterMs: pauses,
  what: fc.constantFrom("running", "completed", "another owner", "nothing"),
});
/** What happens to one run and those who wait for it. */
const scenes = fc.record({
  waits: fc.array(waits, { minLength: 1, maxLength: 12, size: "max" }),
  changes: fc.array(changes, { maxLength: 3 }),
});
type Scene = ReturnType<typeof scenes.generate>["value"];
const histories = fc.record({
  scenes: fc.array(scenes, { minLength: 1, maxLength: 5, size: "max" }),
  /** When two queries fail, and how: no more, or an honest read might fail. */
  lossMs: fc.integer({ min: 1_500, max: 4_000 }),
  loss: fc.constantFrom<Fault>(
    { kind: "drop" },
    { kind: "drop-in-body" },
    { kind: "truncated" },
    { kind: "status", status: 500 },
  ),
});
const LOST_QUERIES = 2;

const clock = controlClock();
const pause = (milliseconds: number) => scheduler.wait(milliseconds);

/** Plays a scene, checks its responses, and returns the number of queries that it may have cost. */
async function play({ read }: Reader, scene: Scene): Promise<number> {
  const id = await insertRun({ correlation_id: "version 0" });
  const versions: Version[] = [{ name: "version 0", owner: "owner", status: "pending" }];
  const states = new StateHistory(versions[0]);
  const tag = (await read(id)).headers.get("etag") ?? "";

  async function change({ afterMs, what }: Scene["changes"][number]): Promise<void> {
    await pause(afterMs);
    const row = states.now;
    if (row === undefined || isFinished(row)) return;
    const version = nextVersion(versions, row, what);
    await states.change(version, () => writeVersion(id, version));
  }

  async function wait({ reader, fromMs, seconds, hasTag }: Scene["waits"][number]): Promise<void> {
    await pause(fromMs);
    const begunMs = Date.now();
    const preferences = { prefer: `wait=${seconds}`, ...(hasTag && { "if-none-match": tag }) };
    const { status, headers, body } = await read(id, { as: reader, headers: preferences });
    const endedMs = Date.now();
    const endMs = begunMs + seconds * 1_000;
    const sees = (row: Version | undefined) => row !== undefined && canSee(row, reader);
    check(endedMs <= endMs + MAX_RETRY_MS, "a wait ends within its time");
    if (!states.was(begunMs, endedMs, sees)) {
      check(status === 404 && !headers.has("preference-applied"), "a stranger does not wait and never gets in");
      return;
    }
    if (status === 404) {
      check(
        states.was(begunMs, endedMs, (row) => !sees(row)),
        "a run is there for whoever may see it",
      );
      return;
    }
    check(status === 200 || (status === 304 && hasTag), `a wait does not end with ${status}`);
    const name = status === 304 ? "version 0" : JSON.parse(body).correlation_id;
    const version = versions.find((each) => each.name === name);
    const isSo = (row: Version | undefined) => row === version;
    check(version !== undefined && canSee(version, reader), "nobody reads what is not theirs");
    check(states.was(begunMs, endedMs, isSo), "the run is never older than the request");
    check(status === 304 || !hasTag || headers.get("etag") !== tag, "a 200 brings another tag than the client holds");
    if (version !== undefined && isFinished(version)) {
      check(!headers.has("retry-after"), "a finished run is not to be asked for again");
    } else if (!hasTag || status === 304) {
      check(endedMs >= endMs && headers.get("retry-after") === "0", "an unfinished run is waited for to the end");
      check(states.was(endMs, endedMs, isSo), "when the time is up, the run is as it then is");
    }
  }

  async function changeAll(): Promise<void> {
    for (const each of scene.changes) await change(each);
  }

  await Promise.all([changeAll(), ...scene.waits.map(wait)]);
  // First the tag; then each wait has its first read and its own polls.
  return 1 + scene.waits.reduce((sum, { seconds }) => sum + FEWEST_QUERIES + seconds, 0);
}
