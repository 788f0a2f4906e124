// Each way in which the key endpoint can fail, met by a burst in a cold isolate and by a warm one.
// The cases run side by side, on one clock: what takes an issuer's time-out takes it once.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type SigningKey, type TestIssuer, makeKey, openIssuer } from "../issuer.ts";
import { insertRun } from "../rows.ts";
import type { Fault } from "../stack/lane-protocol.ts";
import { type Worker, startWorker } from "../worker.ts";
import { adjustClock } from "./clock.ts";
import { expectAsDocumented } from "./fault-table.ts";
import { catchLines } from "./log-lines.ts";
import { type Answer, readRun } from "./reader.ts";

const lines = catchLines();
const clock = adjustClock();
const sent: string[] = [];

interface Case {
  what: string;
  /** The line of docs/faults.md where no key is known. */
  line: string;
  fault: Fault;
}

const reply = (status: number, text: string): Fault => ({
  kind: "status",
  status,
  text,
  contentType: "application/json",
});

const lost = "key set: the connection is lost, no key known";
const late = "key set: no answer in time, no key known";
const refused = "key set: another status than 200, no key known";
const garbled = "key set: a reply that is no key set, no key known";

const cases: readonly Case[] = [
  { what: "a connection that is dropped", line: lost, fault: { kind: "drop" } },
  { what: "a connection that is dropped in the body", line: lost, fault: { kind: "drop-in-body" } },
  { what: "no answer", line: late, fault: { kind: "hang" } },
  { what: "a body that stops", line: late, fault: { kind: "hang-in-body" } },
  { what: "a body that trickles", line: late, fault: { kind: "trickle", bytes: 2, intervalMs: 200 } },
  { what: "a 500 with a key set", line: refused, fault: reply(500, `{"keys":[]}`) },
  { what: "a 204", line: refused, fault: reply(204, "") },
  { what: "a redirect", line: refused, fault: { kind: "redirect", location: "http://127.0.0.1:9/" } },
  { what: "HTML", line: garbled, fault: reply(200, "<h1>Sign in</h1>") },
  { what: "an empty 200", line: garbled, fault: reply(200, "") },
  { what: "half of the JSON", line: garbled, fault: { kind: "truncated" } },
  { what: "JSON without keys", line: garbled, fault: reply(200, `{"error":"later"}`) },
  { what: "a set without a usable key", line: garbled, fault: reply(200, `{"keys":[{"kty":"oct","k":"AA"},null,7]}`) },
  { what: "a reply of 1 MB", line: garbled, fault: { kind: "huge-body", megabytes: 1 } },
];

interface Scene extends Case {
  issuer: TestIssuer;
  worker: Worker;
  key: SigningKey;
  nextKey: SigningKey;
  read(key: SigningKey): Promise<Answer>;
  fetches(): Promise<number>;
}

let runId = "";
beforeAll(async () => {
  runId = await insertRun({ status: "running" });
});

/** Opens an issuer and an isolate for each case; the issuer publishes `key` and will have published `nextKey`. */
async function setScene(): Promise<Scene[]> {
  const [key, nextKey] = [await makeKey("ES256"), await makeKey("ES256")];
  return Promise.all(
    cases.map(async (each) => {
      const issuer = await openIssuer([key]);
      const exp = Math.floor(Date.now() / 1_000) + 36_000;
      const worker = startWorker(issuer.variables);
      return {
        ...each,
        issuer,
        worker,
        key,
        nextKey,
        async read(signer: SigningKey) {
          const token = await issuer.sign({ exp }, { key: signer });
          sent.push(token);
          return readRun(worker, runId, token, lines);
        },
        fetches: async () => (await issuer.lane.counters()).received,
      };
    }),
  );
}

/** Takes every case through the steps and keeps what came out, for the tests to look at one by one. */
function play<T>(steps: (scenes: Scene[]) => Promise<T[]>): (what: string) => T {
  const outcomes = new Map<string, T>();
  beforeAll(async () => {
    const scenes = await setScene();
    const results = await steps(scenes);
    results.forEach((result, index) => outcomes.set(scenes[index]?.what ?? "", result));
  });
  return (what) => {
    const outcome = outcomes.get(what);
    if (outcome === undefined) throw new Error(`${what} was not played`);
    return outcome;
  };
}

const each = <T>(scenes: Scene[], step: (scene: Scene, index: number) => Promise<T>) => Promise.all(scenes.map(step));

describe("in a cold isolate", () => {
  const outcome = play(async (scenes) => {
    const failed = await each(scenes, async ({ issuer, fault, read, key, fetches }) => {
      await issuer.lane.fail(fault);
      const burst = await Promise.all(Array.from({ length: 12 }, () => read(key)));
      const soon = await read(key);
      const count = await fetches();
      await issuer.lane.heal();
      return { burst, soon, fetches: count };
    });
    clock.advance(3);
    return each(scenes, async ({ read, key }, index) => ({ ...failed[index], healed: await read(key) }));
  });

  test.each(cases)("$what costs one fetch, is answered as documented, and is over within seconds", ({ what, line }) => {
    const { burst, soon, fetches, healed } = outcome(what);
    if (burst === undefined || soon === undefined) throw new Error("no answer");
    for (const answer of burst) {
      expectAsDocumented(line, answer);
      expect(answer.response.headers.get("www-authenticate")).toBeNull();
      expect(answer.milliseconds).toBeLessThan(6_000);
    }
    expectAsDocumented(line, soon);
    expect(soon.milliseconds).toBeLessThan(1_500);
    expect(fetches).toBe(1);
    expect(healed?.response.status).toBe(200);
  });
});

describe("in a warm isolate", () => {
  const outcome = play(async (scenes) => {
    await each(scenes, ({ read, key }) => read(key));
    clock.advance(500);
    const failed = await each(scenes, async ({ issuer, fault, worker, read, key, nextKey, fetches }) => {
      await issuer.lane.fail(fault);
      const due = await read(key);
      await worker.settle();
      const [known, unknown] = [await read(key), await read(nextKey)];
      const count = await fetches();
      await issuer.publish([key.jwk, nextKey.jwk]);
      await issuer.lane.heal();
      return { due, known, unknown, fetches: count };
    });
    clock.advance(3);
    return each(scenes, async ({ read, nextKey }, index) => ({ ...failed[index], rotated: await read(nextKey) }));
  });

  test.each(cases)("$what delays no request with a known key and refuses none", ({ what }) => {
    const { due, known, unknown, fetches, rotated } = outcome(what);
    if (known === undefined || unknown === undefined) throw new Error("no answer");
    expect(due?.response.status).toBe(200);
    expect(due?.milliseconds).toBeLessThan(1_500);
    expectAsDocumented("key set: any fault, the token's key known", known);
    expectAsDocumented("key set: any fault, the token's key not known", unknown);
    expect(unknown.response.headers.get("www-authenticate")).toBeNull();
    expect(fetches).toBe(2);
    expect(rotated?.response.status).toBe(200);
  });
});

afterAll(() => {
  for (const text of lines.all()) for (const token of sent) expect(text).not.toContain(token);
});
