/** Can these values be Hounsfield units? (src/renalmap/imaging/hounsfield.py) */

import type { Volume } from "./volume";

export const HIGHEST_AIR_HU = -200;
const HIGHEST_HU = 32767;

/** Why a scan's values cannot be HU, a sentence; null if they can. */
export function doubtHounsfield({ hu }: Volume): string | null {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let at = 0; at < hu.length; at += 1) {
    if (hu[at] < low) low = hu[at];
    if (hu[at] > high) high = hu[at];
  }
  const like = whatItLooksLike(low, high);
  if (like === null) return null;
  return `the values run from ${low} to ${high} and cannot be Hounsfield units: ${like}`;
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
