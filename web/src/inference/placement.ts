/** Where a box of voxels lies in its scan (src/renalmap/inference/placement.py). */

import type { Box, Triple } from "../arrays";

export class Placement {
  readonly voxelMl: number;
  readonly pixelMm2: number;

  constructor(
    readonly origin: Triple,
    readonly scanSlices: number,
    /** Along (z, y, x). */
    readonly spacingMm: Triple,
  ) {
    this.voxelMl = (spacingMm[0] * spacingMm[1] * spacingMm[2]) / 1000;
    this.pixelMm2 = spacingMm[1] * spacingMm[2];
  }

  /** Whether a box touches the scan's first or last slice. */
  isCut(box: Box): boolean {
    return box.start[0] + this.origin[0] === 0 || box.stop[0] + this.origin[0] === this.scanSlices;
  }
}
