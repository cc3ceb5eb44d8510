/** Can these values be Hounsfield units? (src/renalmap/imaging/hounsfield.py) */

import type { Volume } from "./volume";

export const HIGHEST_AIR_HU = -200;
const HIGHEST_HU = 32767;

/** A scan's values in short. */
export interface HuRange {
  lowest: number;
  highest: number;
  mean: number;
}

export function huRangeOf({ hu }: Volume): HuRange {
  let [lowest, highest, sum] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0];
  for (let at = 0; at < hu.length; at += 1) {
    const value = hu[at];
    if (value < lowest) lowest = value;
    if (value > highest) highest = value;
    sum += value;
  }
  return { lowest, highest, mean: sum / hu.length };
}

/** Why values cannot be HU, a sentence; null if they can. */
export function doubtHounsfield({ lowest, highest }: HuRange): string | null {
  const like = whatItLooksLike(lowest, highest);
  if (like === null) return null;
  return `the values run from ${lowest} to ${highest} and cannot be Hounsfield units: ${like}`;
}

function whatItLooksLike(low: number, high: number): string | null {
  if (low === high) return "every voxel is the same";
  if (low >= 0 && high <= 1) return "they look normalised to 0..1";
  if (low >= 0 && high <= 255) {
    return "they look like an 8-bit picture (0..255), windowed or converted";
  }
  if (low >= 0 && high > 1000) {
    return "there is no air (-1000), as in raw values with 1024 added that were never rescaled";
  }
  if (low > HIGHEST_AIR_HU) {
    return "there is no air (-1000), as in a clipped scan or an image of another kind";
  }
  if (high <= HIGHEST_HU) return null;
  return "no metal is so bright, as in padding below air that was stored without its sign";
}
