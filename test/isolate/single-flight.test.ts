// One task at a time, also if requests end without a word. Time is simulated.
import { beforeEach, expect, test } from "vitest";
import { SingleFlight } from "../../src/isolate/single-flight.ts";
import { controlClock } from "../support/clock.ts";

const clock = controlClock();
beforeEach(() => clock.simulate());

const never = () => new Promise<string>(() => {});

test("a task that was cut off holds the others for its time-out at most", async () => {
  const flight = new SingleFlight<string>();
  void flight.run(never, 200);
  expect(await flight.run(async () => "too early", 200)).toBeUndefined();
  expect(flight.isBusy).toBe(false);
  expect(await flight.run(async () => "next", 200)).toBe("next");
  expect(flight.isBusy).toBe(false);
});

test("a task that outlives its time does not end its successor's", async () => {
  const flight = new SingleFlight<string>();
  const [slow, next] = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
  const outlived = flight.run(() => slow.promise, 200);
  await scheduler.wait(200);
  const successor = flight.run(() => next.promise, 200);
  const joined = flight.run(never, 200);
  slow.resolve("slow");
  expect(await outlived).toBe("slow");
  expect(flight.isBusy).toBe(true);
  next.resolve("next");
  expect([await successor, await joined]).toEqual(["next", "next"]);
});

test("all who join get the result; undefined if the task fails", async () => {
  const flight = new SingleFlight<string>();
  const good = flight.run(async () => "good", 200);
  expect(await Promise.all([good, flight.run(never, 200), flight.next(200)])).toEqual(["good", "good", "good"]);
  const bad = flight.run(() => Promise.reject(new Error("bad")), 200);
  const joined = flight.run(never, 200);
  await expect(bad).rejects.toThrow("bad");
  expect(await joined).toBeUndefined();
});
