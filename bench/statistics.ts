// Quantiles, and whether samples meet a target. Pure.

/** The value below which the share `fraction` (0 to 1) of `values` lies, interpolated. Throws if there are no values. */
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

/**
 * Met or missed if the whole middle half of the values is on one side of the limit: the middle half of another run would then be
 * expected to contain no value on the other side. Undecided if the limit is inside that half.
 */
export function check(values: readonly number[], limit: number): Verdict {
  if (quantile(values, 0.75) <= limit) return "met";
  return quantile(values, 0.25) > limit ? "missed" : "undecided";
}
