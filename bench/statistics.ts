// What samples say, and what they say about a target. Pure.

/** The value below which the share `fraction` (0 to 1) of `values` lies, interpolated. Throws where there are none. */
export function quantile(values: readonly number[], fraction: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  const position = (sorted.length - 1) * fraction;
  const below = sorted[Math.floor(position)];
  const above = sorted[Math.ceil(position)];
  if (below === undefined || above === undefined) throw new RangeError("no values to rank");
  return below + (above - below) * (position - Math.floor(position));
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export type Verdict = "met" | "missed" | "undecided";

/** Undecided where the middle half of the values is wider than the distance of their median to the limit. */
export function judge(values: readonly number[], limit: number): Verdict {
  const spread = quantile(values, 0.75) - quantile(values, 0.25);
  if (spread > Math.abs(limit - median(values))) return "undecided";
  return median(values) <= limit ? "met" : "missed";
}
