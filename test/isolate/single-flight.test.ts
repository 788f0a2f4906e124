// One task at a time, also if requests end without a word. Time is simulated.
import { beforeEach, expect, test } from "vitest";
import { SingleFlight } from "../../src/isolate/single-flight.ts";
import { controlClock, elapsed } from "../support/clock.ts";

const clock = controlClock();
beforeEach(() => clock.simulate());

const never = () => new Promise<void>(() => {});

test("a second task isn't begun while the first is under way, and all who join wait for its end", async () => {
  const flight = new SingleFlight(200);
  let begun = 0;
  const task = async () => {
    begun += 1;
    await scheduler.wait(50);
  };
  const first = flight.run(task);
  expect(flight.isBusy).toBe(true);
  expect(await elapsed(Promise.all([first, flight.run(task), flight.join(200, 200)]))).toBe(50);
  expect([begun, flight.isBusy]).toEqual([1, false]);
  expect(await elapsed(flight.join(200, 200))).toBe(0);
});

test.each([
  ["its patience, counted from the start of the task", 100, 1_000, 60],
  ["its own limit", 1_000, 30, 30],
  ["the time-out of a task that was cut off", 1_000, 1_000, 160],
])("who joins 40 ms after the start waits no longer than %s", async (_, patienceMs, limitMs, expected) => {
  const flight = new SingleFlight(200);
  void flight.run(never);
  await scheduler.wait(40);
  expect(await elapsed(flight.join(patienceMs, limitMs))).toBe(expected);
});

test("a task that was cut off has a successor after its time-out, and ends nothing of it", async () => {
  const flight = new SingleFlight(200);
  const [slow, next] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const outlived = flight.run(() => slow.promise);
  await scheduler.wait(200);
  expect(flight.isBusy).toBe(false);
  const successor = flight.run(() => next.promise);
  const joined = elapsed(flight.join(200, 200));
  await scheduler.wait(20);
  slow.resolve();
  await outlived;
  expect(flight.isBusy).toBe(true);
  await scheduler.wait(20);
  next.resolve();
  await successor;
  expect(await joined).toBe(40);
});
