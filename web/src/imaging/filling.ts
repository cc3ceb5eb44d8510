/** Fill a canonical array piece by piece, so that a scan is in memory only once (src/renalmap/imaging/filling.py). */

import { InputError } from "../errors";
import { type Geometry, type Strides, stridesOf } from "./orientation";

/** Most voxels that a tab can hold with all that is made of them: 1,000 slices of 512 by 512. */
const MOST_VOXELS = 2 ** 28;
const LARGEST_FLOAT32 = 3.4028234663852886e38;

/** A scan's canonical voxels while it is being read: int16 as long as that holds every value, else float32. */
export class HuGrid {
  hu: Int16Array | Float32Array;
  private readonly strides: Strides;

  constructor(
    private readonly geometry: Geometry,
    private readonly where: string,
  ) {
    const [depth, rows, columns] = geometry.shape;
    const voxels = depth * rows * columns;
    if (voxels > MOST_VOXELS) {
      throw new InputError("the scan is too large for a browser's tab", {
        where,
        got: `${voxels} voxels`,
        expected: `at most ${MOST_VOXELS}`,
        hint: "Use the Python program",
      });
    }
    this.hu = new Int16Array(voxels);
    this.strides = stridesOf(geometry);
  }

  /** Store lines of the first stored axis, from line `first` on (counted through all planes). */
  putLines(first: number, raw: ArrayLike<number>, slope: number, intercept: number): void {
    const [width, height] = this.geometry.source.shape;
    const { first: origin, steps } = this.strides;
    const lines = raw.length / width;
    for (let line = 0; line < lines; line += 1) {
      const j = (first + line) % height;
      const k = Math.floor((first + line) / height);
      let to = origin + j * steps[1] + k * steps[2];
      for (let i = 0; i < width; i += 1, to += steps[0]) {
        const value = raw[line * width + i] * slope + intercept;
        if ((value << 16) >> 16 !== value) this.widen(value);
        this.hu[to] = value;
      }
    }
  }

  /** Make room for a value that int16 does not hold, if it is one. */
  private widen(value: number): void {
    if (Math.abs(value) <= LARGEST_FLOAT32) {
      if (this.hu instanceof Int16Array) this.hu = Float32Array.from(this.hu);
      return;
    }
    throw new InputError("the image holds voxels that are NaN or infinite", {
      where: this.where,
      got: String(value),
      expected: "a finite number in every voxel",
      hint: "Replace them with air (-1024) if they are padding",
    });
  }
}
