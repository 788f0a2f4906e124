// The benchmark's verdicts follow from the figures that were measured. What it measures, and its picture, are left to a run.
import { expect, test } from "vitest";
import { describeCount, describeRatio, formatTable } from "../../bench/report.ts";

test.each([
  { target: 3, verdict: "met" },
  { target: 2, verdict: "undecided" },
  { target: 1, verdict: "missed" },
  { target: undefined, verdict: "" },
])("ratios around 2 with the target $target: $verdict", ({ target, verdict }) => {
  const format = (cost: number) => `${cost} µs`;
  const line = describeRatio("reads", { own: [18, 20, 40, 22], base: [10, 10, 10, 10], format, target });
  expect(line).toMatchObject({ verdict, measured: "**2.10** (1.95–2.65); 21 µs of 10 µs" });
  expect(formatTable([line])).toContain(target === undefined ? "| reads |" : `| ≤ ${target} `);
});

test("a count may reach its limit", () => {
  expect(describeCount("trips", 2, 2)).toMatchObject({ verdict: "met", measured: "**2**", target: "≤ 2" });
  expect(describeCount("trips", 3, 2)).toMatchObject({ verdict: "missed" });
});
