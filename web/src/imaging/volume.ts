/** A scan on its canonical grid: axes (z, y, x) from feet to head, front to back, right to left. */

import type { Triple } from "../arrays";
import type { SourceGrid } from "./orientation";

export interface Volume {
  /** Hounsfield units. */
  hu: Int16Array | Float32Array;
  shape: Triple;
  /** Along (z, y, x). */
  spacingMm: Triple;
  /** The grid on which it was stored, and to which its labels return. */
  source: SourceGrid;
  name: string;
  /** What is doubtful about the grid's place or size, a clause each. */
  doubts: string[];
  /** What the reader had to assume otherwise, a sentence each. */
  notes: string[];
}

/** A slice's values; they are shared with the volume. */
export function sliceOf(volume: Volume, z: number): Int16Array | Float32Array {
  const size = volume.shape[1] * volume.shape[2];
  return volume.hu.subarray(z * size, (z + 1) * size);
}
