// The alerts of operations.md: each incident fires the alert that is for it, by the log lines that the Worker writes, and healthy traffic
// fires none. The Query Builder's operators are those of Cloudflare's page. It doesn't say whether "Does not equal" matches a line
// without the field, so each recipe must work either way.
import { beforeEach, expect, test } from "vitest";
import { ALERTS, type Alert, type AlertName, type Condition } from "../docs/alerts.ts";
import { controlClock } from "./support/clock.ts";
import { listLines } from "./support/console.ts";
import { insertRun } from "./support/database.ts";
import { type Reader, createReader } from "./support/reader.ts";

type Line = Record<string, unknown>;

const clock = controlClock();
let countBefore = 0;
beforeEach(() => void (countBefore = listLines().length));

/** The lines of this test, within the window of every alert. */
const linesOfTest = (): Line[] => Array.from(listLines(), ({ log }) => log).slice(countBefore);

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

const readOften = ({ read }: Reader, times: number, target?: string) =>
  Promise.all(Array.from({ length: times }, async () => read(target ?? (await insertRun()))));

test("healthy traffic fires no alert, and matches no filter of faults", async () => {
  clock.simulate();
  const reader = await createReader();
  const { issuer, read } = reader;
  await readOften(reader, 20);
  const finished = await insertRun({ status: "completed", result: "done" });
  const etag = (await read(finished)).headers.get("etag") ?? "";
  await read(finished);
  await read(finished, { headers: { "if-none-match": etag } });
  await read(crypto.randomUUID());
  await read("no-uuid");
  await read(finished, { token: await issuer.sign({ exp: 1 }) });
  await read(finished, { as: "nobody" });
  await read("/health");
  await Promise.all(Array.from({ length: 5 }, async () => read(await insertRun(), { headers: { prefer: "wait=30" } })));
  expect(linesOfTest().filter(({ ms }) => Number(ms) >= 30_000)).toHaveLength(5);
  expectFired();
  for (const name of ["errors", "invalid_record", "failing_issuer"] as const) {
    for (const absent of [true, false]) expect(select(linesOfTest(), ALERTS[name].filter, absent)).toEqual([]);
  }
});

test("one row that breaks the contract fires its alert only, which names the run", async () => {
  const reader = await createReader();
  const broken = await insertRun({ crew_config: "{}" });
  await readOften(reader, 20);
  await readOften(reader, 10, broken);
  expectFired("invalid_record");
  const { filter, groupBy = "" } = ALERTS.invalid_record;
  expect(new Set(select(linesOfTest(), filter, true).map((line) => line[groupBy]))).toEqual(new Set([broken]));
});

const WRONG = "https://wrong.example.com";
const DOWN = { kind: "drop" } as const;
const SLOW = { kind: "delay", milliseconds: 3_000 } as const;

/** Goes on reading with known keys, which are stale, from an issuer that is down. */
async function readWithStaleKeys(reader: Reader): Promise<void> {
  await readOften(reader, 1);
  await reader.issuer.proxy.fail(DOWN);
  clock.advance(500);
  await readOften(reader, 1);
  await reader.app.settle();
}

test.each<[incident: string, alerts: AlertName[], cause: (reader: Reader) => Promise<unknown>, settings?: object]>([
  ["a wrong issuer", ["rejected_tokens"], async () => {}, { JWT_ISSUER: WRONG }],
  ["a wrong audience", ["rejected_tokens"], async () => {}, { JWT_AUDIENCE: WRONG }],
  ["an issuer that is down while keys are known", ["failing_issuer"], readWithStaleKeys],
  ["an issuer that is down before", ["errors", "failing_issuer"], ({ issuer }) => issuer.proxy.fail(DOWN)],
  ["a database that is down", ["errors"], ({ database }) => database.fail(DOWN)],
  ["a database that takes three seconds", ["slow_reads"], ({ database }) => database.fail(SLOW)],
])("%s fires %j and no other alert", async (_, alerts, cause, settings = {}) => {
  const reader = await createReader({ settings });
  await cause(reader);
  await readOften(reader, 20);
  // An uptime monitor doesn't hide it.
  await readOften(reader, 100, "/health");
  expectFired(...alerts);
});
