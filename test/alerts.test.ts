// The alerts of deploy.md: each incident fires the alert that is for it, by the log lines that the Worker writes, and healthy traffic
// fires none. The Query Builder's operators are those of Cloudflare's page. It doesn't say whether "Does not equal" matches a line
// without the field, so each recipe must work either way.
import { beforeEach, describe, expect, test } from "vitest";
import { ALERTS, type Alert, type AlertName, type Condition } from "../docs/alerts.ts";
import { controlClock } from "./support/clock.ts";
import { listLines } from "./support/console.ts";
import { insertRun } from "./support/database.ts";
import { createReader } from "./support/reader.ts";

type Line = Record<string, unknown>;

const clock = controlClock();
let firstLine = 0;
beforeEach(() => void (firstLine = listLines().length));

/** The lines of this test, within the window of every alert. */
const linesOfTest = (): Line[] =>
  listLines()
    .slice(firstLine)
    .map(({ log }) => log);

/** By operator. `absent` is what "Does not equal" makes of a line without the field. */
const OPERATORS: Record<string, (actual: unknown, value: unknown, absent: boolean) => boolean> = {
  Equals: (actual, value) => actual === value,
  "Does not equal": (actual, value, absent) => (actual === undefined ? absent : actual !== value),
  "Greater or equals": (actual, value) => typeof actual === "number" && actual >= Number(value),
  Exists: (actual) => actual !== undefined,
  "Does not exist": (actual) => actual === undefined,
};

function select(lines: Line[], conditions: Condition[], absent: boolean): Line[] {
  const meets = (line: Line, [key, operator, value]: Condition) => OPERATORS[operator]?.(line[key], value, absent);
  return lines.filter((line) => conditions.every((condition) => meets(line, condition)));
}

function fires({ filter, of, field = "", calculation, threshold, minimum = 1 }: Alert, absent: boolean): boolean {
  const lines = linesOfTest();
  const matching = select(lines, filter, absent);
  const total = of ? select(lines, of, absent) : matching;
  if (total.length < minimum) return false;
  if (calculation === "Count") return (of ? (100 * matching.length) / total.length : matching.length) >= threshold;
  const sorted = matching.map((line) => Number(line[field])).toSorted((one, other) => one - other);
  return Number(sorted[Math.ceil(sorted.length * 0.99) - 1]) >= threshold;
}

function expectFired(...names: AlertName[]): void {
  for (const absent of [true, false]) {
    const fired = Object.entries(ALERTS).filter(([, alert]) => fires(alert, absent));
    expect(fired.map(([name]) => name).toSorted()).toEqual(names.toSorted());
  }
}

async function start(settings = {}) {
  const { app, issuer, database, read } = await createReader({ settings });
  const readOften = (times: number, id?: string) =>
    Promise.all(Array.from({ length: times }, async () => (await read(id ?? (await insertRun()))).status));
  return { app, issuer, database, read, readOften };
}

test("healthy traffic fires no alert, and matches no filter of faults", async () => {
  const { issuer, read, readOften } = await start();
  await readOften(20);
  const finished = await insertRun({ status: "completed", result: "done" });
  const etag = (await read(finished)).headers.get("etag") ?? "";
  await read(finished);
  await read(finished, { headers: { "if-none-match": etag } });
  await read(crypto.randomUUID());
  await read("no-uuid");
  await read(finished, { token: await issuer.sign({ exp: 1 }) });
  await read(finished, { as: "nobody" });
  await read("/health");
  clock.simulate();
  await Promise.all(Array.from({ length: 5 }, async () => read(await insertRun(), { headers: { prefer: "wait=30" } })));
  expect(linesOfTest().filter(({ ms }) => Number(ms) >= 30_000)).toHaveLength(5);
  expectFired();
  for (const name of ["errors", "invalid_record", "failing_issuer"] as const) {
    for (const absent of [true, false]) expect(select(linesOfTest(), ALERTS[name].filter, absent)).toEqual([]);
  }
});

describe("after a change, every reader is locked out", () => {
  test.each([{ JWT_ISSUER: "https://wrong.example.com" }, { JWT_AUDIENCE: "https://wrong.example.com" }])(
    "by %j",
    async (wrong) => {
      const { read, readOften } = await start(wrong);
      await readOften(20);
      for (let check = 0; check < 20; check += 1) await read("/health");
      expectFired("rejected_tokens");
    },
  );
});

test("one row that breaks the contract fires its alert only, which names the run", async () => {
  const { read, readOften } = await start();
  const broken = await insertRun({ crew_config: "{}" });
  await readOften(20);
  await Promise.all(Array.from({ length: 10 }, () => read(broken)));
  expectFired("invalid_record");
  const { filter, groupBy = "" } = ALERTS.invalid_record;
  expect(new Set(select(linesOfTest(), filter, true).map((line) => line[groupBy]))).toEqual(new Set([broken]));
});

test("a database that takes three seconds fires the alert for slow reads", async () => {
  const { database, readOften } = await start();
  await database.fail({ kind: "delay", milliseconds: 3_000 });
  expect(new Set(await readOften(20))).toEqual(new Set([200]));
  expectFired("slow_reads");
});

test("an issuer that is down fires its alert while known keys still let everyone in", async () => {
  const { app, issuer, readOften } = await start();
  await readOften(1);
  await issuer.proxy.fail({ kind: "drop" });
  clock.advance(500);
  await readOften(1);
  await app.settle();
  expect(new Set(await readOften(10))).toEqual(new Set([200]));
  expectFired("failing_issuer");
});

test("an issuer that is down fires two alerts when keys are unknown", async () => {
  const { issuer, readOften } = await start();
  await issuer.proxy.fail({ kind: "status", status: 503 });
  await readOften(10);
  expectFired("errors", "failing_issuer");
});

test("a database that is down fires the alert for errors", async () => {
  const { database, readOften } = await start();
  await database.fail({ kind: "refuse" });
  await readOften(10);
  expectFired("errors");
});
