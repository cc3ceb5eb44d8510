/** Arithmetic that must give NumPy's results. */

/** Rounded to a whole number; halves to the even one, as Python's `round` and `numpy.rint` do. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}

/** The median of at least one number; of an even count the mean of the two in the middle. */
export function median(values: ArrayLike<number>): number {
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** A percentile by linear interpolation between the nearest two of at least one number. */
export function percentile(values: ArrayLike<number>, percent: number): number {
  const sorted = Float64Array.from(values).sort();
  const place = (percent / 100) * (sorted.length - 1);
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (place - low);
}

/** `numpy.interp`: piecewise linear through ascending knots, constant beyond them. */
export function interpolate(at: number, knots: ArrayLike<number>, values: ArrayLike<number>): number {
  const last = knots.length - 1;
  if (at <= knots[0]) return values[0];
  if (at >= knots[last]) return values[last];
  let low = 0;
  while (knots[low + 1] <= at) low += 1;
  const slope = (values[low + 1] - values[low]) / (knots[low + 1] - knots[low]);
  return values[low] + slope * (at - knots[low]);
}
