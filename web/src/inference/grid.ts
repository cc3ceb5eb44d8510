/** A scan as the networks see it (src/renalmap/inference/grid.py). */

import { Bytes3, type PlaneBox, type Triple } from "../arrays";
import type { Bundle } from "../bundle/bundle";
import type { Plan } from "../bundle/plan";
import { sliceOf, type Volume } from "../imaging/volume";
import { InPlaneFit } from "../preprocess/fit";
import { Normalisation } from "../preprocess/normalisation";
import { Placement } from "./placement";

export class ScanOnGrid {
  readonly fit: InPlaneFit;
  readonly plan: Plan;
  private readonly normalisation: Normalisation;

  constructor(
    readonly volume: Volume,
    bundle: Bundle,
  ) {
    const [, rows, columns] = volume.shape;
    const [, yMm, xMm] = volume.spacingMm;
    this.plan = bundle.plan;
    this.fit = new InPlaneFit(rows, columns, [yMm, xMm], this.plan.grid_size);
    this.normalisation = Normalisation.of(bundle, volume);
  }

  get depth(): number {
    return this.volume.shape[0];
  }

  get sliceDistanceMm(): number {
    return this.volume.spacingMm[0];
  }

  /** Area of a pixel of the grid. */
  get pixelMm2(): number {
    const [yMm, xMm] = this.fit.gridSpacingMm;
    return yMm * xMm;
  }

  /** A slice's HU on the grid. */
  hu(z: number): Float32Array {
    return this.fit.toGrid(sliceOf(this.volume, z), this.plan.outside_hu);
  }

  /** A slice's HU in a region of the grid. */
  huIn(z: number, box: PlaneBox): Float32Array {
    return cutFloats(this.hu(z), this.plan.grid_size, box);
  }

  /** A slice as a network takes it. */
  image(z: number): Float32Array {
    return this.normalisation.apply(this.hu(z));
  }

  /** Where a box that begins at this voxel of the grid lies in the scan. */
  placement(origin: Triple = [0, 0, 0]): Placement {
    return new Placement(origin, this.depth, [this.sliceDistanceMm, ...this.fit.gridSpacingMm]);
  }

  /** Labels (z, grid, grid) on the scan's own pixels. */
  labelsOnScan(labels: Bytes3): Bytes3 {
    if (this.fit.isIdentity) return labels;
    const scan = new Bytes3(this.volume.shape);
    for (let z = 0; z < this.depth; z += 1) {
      scan.plane(z).data.set(this.fit.fromGrid(labels.plane(z)).data);
    }
    return scan;
  }
}

/** A copy of a region of a plane of floats. */
export function cutFloats(values: Float32Array, columns: number, box: PlaneBox): Float32Array {
  const height = box.stop[0] - box.start[0];
  const width = box.stop[1] - box.start[1];
  const part = new Float32Array(height * width);
  for (let y = 0; y < height; y += 1) {
    const from = (y + box.start[0]) * columns + box.start[1];
    part.set(values.subarray(from, from + width), y * width);
  }
  return part;
}
