// The benchmark's verdicts and its picture show the figures that were measured. What it measures is left to a run.
import { expect, test } from "vitest";
import { drawPicture } from "../../bench/picture.ts";
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

test.each([
  { value: 2, verdict: "met" },
  { value: 3, verdict: "missed" },
])("a count of $value with the limit 2: $verdict", ({ value, verdict }) => {
  expect(describeCount("trips", value, 2)).toMatchObject({ verdict, measured: `**${value}**`, target: "≤ 2" });
});

test("the picture says each figure as text, and marks a target", () => {
  const picture = drawPicture([
    { panel: "trips", label: "read again", own: 0, minimal: 1, target: 0 },
    { panel: "warm", label: "a <large> run", own: 78.4, minimal: 300, target: undefined },
  ]);
  expect(picture).toContain("read again: 0 and 1, target at most 0.");
  expect(picture).toContain("a &lt;large&gt; run: 78 µs and 300 µs.");
  const values = [...picture.matchAll(/<text class="value"[^>]*>(.*)<\/text>/g)].map(([, value]) => value);
  expect(values).toEqual(["0", "1", "78 µs", "300 µs"]);
});
