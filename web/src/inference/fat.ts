/** Fat at the border of a mask (src/renalmap/inference/fat.py). */

import type { Bytes3, Pair, Plane, PlaneBox } from "../arrays";
import { BACKGROUND } from "../labels";
import { roundHalfEven } from "../numbers";

const FAT_HU = -100;
const WINDOW_MM = 12;

/** Take fat off the border of kidney and tumour, slice by slice, in place. */
export function peelFat(
  labels: Bytes3,
  huIn: (z: number, box: PlaneBox) => Float32Array,
  pixelMm: Pair,
  depthMm: number,
): void {
  const steps = Math.max(1, roundHalfEven(depthMm / ((pixelMm[0] + pixelMm[1]) / 2)));
  for (let z = 0; z < labels.shape[0]; z += 1) {
    const plane = labels.plane(z);
    const box = plane.bounds();
    if (box === null) continue;
    const called = plane.cut(box);
    for (let at = 0; at < called.data.length; at += 1) called.data[at] = called.data[at] > 0 ? 1 : 0;
    const before = called.data.slice();
    const hu = huIn(z, box);
    const threshold = thresholdHu(hu, called, pixelMm);
    for (let step = 0; step < steps && peelOnce(called, hu, threshold); step += 1);
    for (let at = 0; at < before.length; at += 1) {
      if (before[at] === 0 || called.data[at] !== 0) continue;
      const y = Math.floor(at / called.columns) + box.start[0];
      plane.data[y * plane.columns + (at % called.columns) + box.start[1]] = BACKGROUND;
    }
  }
}

/** Take the fat off a mask's outermost pixels; whether there was any. */
function peelOnce(called: Plane, hu: Float32Array, threshold: Float64Array): boolean {
  const peeled: number[] = [];
  const { rows, columns, data } = called;
  for (let at = 0; at < data.length; at += 1) {
    if (data[at] === 0 || hu[at] >= threshold[at]) continue;
    const [y, x] = [Math.floor(at / columns), at % columns];
    const inner =
      y > 0 &&
      y < rows - 1 &&
      x > 0 &&
      x < columns - 1 &&
      data[at - columns] !== 0 &&
      data[at + columns] !== 0 &&
      data[at - 1] !== 0 &&
      data[at + 1] !== 0;
    if (!inner) peeled.push(at);
  }
  for (const at of peeled) data[at] = 0;
  return peeled.length > 0;
}

/** Midway between fat and the mean of the tissue around each pixel, at most 0; -50 where there is none. */
function thresholdHu(hu: Float32Array, called: Plane, pixelMm: Pair): Float64Array {
  const window = pixelMm.map((each) => 2 * roundHalfEven(WINDOW_MM / each / 2) + 1) as Pair;
  const tissue = Float64Array.from(called.data, (value, at) => (value !== 0 && hu[at] >= 0 ? 1 : 0));
  const bright = Float64Array.from(tissue, (value, at) => (value !== 0 ? hu[at] : 0));
  const pixels = boxSum(tissue, called, window);
  const sums = boxSum(bright, called, window);
  return pixels.map((count, at) => Math.min((sums[at] / Math.max(count, 1) + FAT_HU) / 2, 0));
}

/** Sums over a window of odd edges about each pixel; beyond the plane there are zeros. */
function boxSum(values: Float64Array, { rows, columns }: Plane, window: Pair): Float64Array {
  const down = slidingSum(values, rows, columns, [columns, 1], window[0]);
  return slidingSum(down, columns, rows, [1, columns], window[1]);
}

/** Along lines of `length` values `along` apart; the lines are `across` apart. */
function slidingSum(
  values: Float64Array,
  length: number,
  lines: number,
  [along, across]: Pair,
  size: number,
): Float64Array {
  const sums = new Float64Array(values.length);
  const half = size >> 1;
  for (let line = 0; line < lines; line += 1) {
    let total = 0;
    for (let ahead = -half; ahead < length; ahead += 1) {
      if (ahead + half < length) total += values[line * across + (ahead + half) * along];
      if (ahead - half > 0) total -= values[line * across + (ahead - half - 1) * along];
      if (ahead >= 0) sums[line * across + ahead * along] = total;
    }
  }
  return sums;
}
