// Keys that are known but overdue: they are refreshed beside the read of the run, and nothing leaves before the refreshed keys
// vouch for the token. A withdrawn key gets nobody in, whatever the clock and the issuer have done meanwhile.
import { describe, expect, inject, test } from "vitest";
import { type SigningKey, makeKey, openIssuer } from "../issuer.ts";
import { openLane } from "../lane.ts";
import { adjustClock } from "../reliability/clock.ts";
import { insertRun } from "../rows.ts";
import { bearer, startWorker } from "../worker.ts";

const clock = adjustClock();
const keys = Promise.all([makeKey("ES256"), makeKey("ES256")]);
const TWENTY_MINUTES = 1_200;
const DELAY_MS = 400;

/** An issuer that publishes `old`, a database, and an isolate that has read a finished run with them. */
async function setScene(variables: Record<string, unknown> = {}) {
  const [old, young] = await keys;
  const issuer = await openIssuer([old]);
  const database = await openLane(inject("stack").variables.NEON_FETCH_ENDPOINT);
  const settings = { ...issuer.variables, NEON_FETCH_ENDPOINT: database.url, ...variables };
  const start = () => startWorker(settings);
  const worker = start();
  const token = (key: SigningKey) => issuer.sign({ exp: Math.floor(Date.now() / 1_000) + 86_400 }, { key });
  const read = async (id: string, bearerToken: string, isolate = worker) =>
    isolate.fetch(`/api/crew-runs/${id}`, { headers: bearer(bearerToken) });
  const oldToken = await token(old);
  const kept = await insertRun({ status: "completed", result: "done" });
  expect((await read(kept, oldToken)).status).toBe(200);
  await worker.settle();
  const received = async () => (await database.counters()).received;
  const fetches = async () => (await issuer.lane.counters()).received;
  return { old, young, issuer, database, start, worker, token, read, oldToken, kept, received, fetches };
}

/** Makes both upstreams slow, and says how many of their round trips the work waited for. */
async function countTrips(scene: Awaited<ReturnType<typeof setScene>>, work: () => Promise<Response>) {
  await scene.issuer.lane.fail({ kind: "delay", milliseconds: DELAY_MS });
  await scene.database.fail({ kind: "delay", milliseconds: DELAY_MS });
  const startedMs = performance.now();
  const response = await work();
  return { response, trips: Math.floor((performance.now() - startedMs) / DELAY_MS) };
}

describe("twenty minutes later", () => {
  test("an unfinished run is one round trip away: keys and run are asked for together", async () => {
    const scene = await setScene();
    const [id, before] = [await insertRun(), await scene.fetches()];
    clock.advance(TWENTY_MINUTES);
    const { response, trips } = await countTrips(scene, () => scene.read(id, scene.oldToken));
    expect(response.status).toBe(200);
    expect(trips).toBe(1);
    expect((await scene.fetches()) - before).toBe(1);
  });

  test("so it is for another isolate, whose data centre holds the keys", async () => {
    const scene = await setScene();
    const id = await insertRun();
    clock.advance(TWENTY_MINUTES);
    const cold = scene.start();
    const { response, trips } = await countTrips(scene, () => scene.read(id, scene.oldToken, cold));
    expect(response.status).toBe(200);
    expect(trips).toBe(1);
  });

  test("a token whose kid is unknown waits for the keys first, and one of nobody's costs no query", async () => {
    const scene = await setScene();
    const [id, before] = [await insertRun(), await scene.received()];
    await scene.issuer.publish([scene.old.jwk, scene.young.jwk]);
    clock.advance(TWENTY_MINUTES);
    const stranger = await scene.token(await makeKey("ES256"));
    expect((await scene.read(id, stranger)).status).toBe(401);
    expect(await scene.received()).toBe(before);
    clock.advance(TWENTY_MINUTES);
    expect((await scene.read(id, await scene.token(scene.young))).status).toBe(200);
  });

  test.each([
    ["an unfinished run", async () => insertRun(), 1],
    ["a run that is not there", async () => crypto.randomUUID(), 1],
    ["a kept run", undefined, 0],
    ["an id that is none", async () => "no-uuid", 0],
  ])("a key that was withdrawn reads nothing of %s", async (_, choose, queries) => {
    const scene = await setScene();
    const id = (await choose?.()) ?? scene.kept;
    const before = await scene.received();
    await scene.issuer.publish([scene.young.jwk]);
    clock.advance(TWENTY_MINUTES);
    const response = await scene.read(id, scene.oldToken);
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({ code: "invalid_token" });
    expect(response.headers.get("etag")).toBeNull();
    expect((await scene.received()) - before).toBeLessThanOrEqual(queries);
  });

  test("a key that was withdrawn does not count against the rate limit, nor does it wait", async () => {
    let counted = 0;
    const RATE_LIMITER = {
      async limit() {
        counted += 1;
        return { success: true };
      },
    };
    const scene = await setScene({ RATE_LIMITER });
    const [id, before] = [await insertRun(), counted];
    await scene.issuer.publish([scene.young.jwk]);
    clock.advance(TWENTY_MINUTES);
    const headers = { ...bearer(scene.oldToken), prefer: "wait=20" };
    const startedMs = performance.now();
    expect((await scene.worker.fetch(`/api/crew-runs/${id}`, { headers })).status).toBe(401);
    expect(performance.now() - startedMs).toBeLessThan(3_000);
    expect(counted).toBe(before);
  });

  test("where the refresh fails, the known keys still serve", async () => {
    const scene = await setScene();
    const id = await insertRun();
    await scene.issuer.lane.fail({ kind: "drop" });
    clock.advance(TWENTY_MINUTES);
    expect((await scene.read(id, scene.oldToken)).status).toBe(200);
    expect((await scene.read(scene.kept, scene.oldToken)).status).toBe(200);
  });
});

test("a failure of the issuer is forgotten: hours later a withdrawn key gets nobody in", async () => {
  const scene = await setScene();
  await scene.issuer.lane.fail({ kind: "drop" });
  clock.advance(TWENTY_MINUTES);
  expect((await scene.read(scene.kept, scene.oldToken)).status).toBe(200);
  await scene.issuer.lane.heal();
  await scene.issuer.publish([scene.young.jwk]);
  clock.advance(2 * 3_600);
  expect((await scene.read(await insertRun(), scene.oldToken)).status).toBe(401);
});

test("a clock that jumps back lengthens no bound: keys and kept runs of the future are expired", async () => {
  const scene = await setScene();
  const before = await scene.received();
  await scene.issuer.publish([scene.young.jwk]);
  clock.advance(-3_600);
  const token = await scene.issuer.sign({}, { key: scene.old });
  expect((await scene.read(scene.kept, token)).status).toBe(401);
  const good = await scene.issuer.sign({}, { key: scene.young });
  expect((await scene.read(scene.kept, good)).status).toBe(200);
  expect((await scene.received()) - before).toBe(1);
});
