/** The mid-sagittal plane: from the body, from the kidneys, or from the field of view (src/renalmap/anatomy/midline.py). */

import type { Triple } from "../arrays";
import { BodyTrack } from "./body";
import { SIDES, type Voxels } from "./voxels";

const APART_MM = 60;
const CROSSING_SHARE = 0.1;
const CROSSING_ML = 5;

/** What told left from right. */
export type SideBasis = "scan" | "both_kidneys" | "field_of_view";

/** The grid that voxels lie on. */
export interface Grid {
  shape: Triple;
  spacingMm: Triple;
}

export class Midline {
  constructor(
    readonly track: BodyTrack,
    readonly basis: SideBasis,
  ) {}

  /** Whether at least 5 ml and a tenth of some voxels lie on either side of it. */
  crossedBy(voxels: Voxels, voxelMl: number): boolean {
    const least = Math.min(...SIDES.map((side) => voxels.on(side, this.track).size));
    return least >= CROSSING_SHARE * voxels.size && least * voxelMl >= CROSSING_ML;
  }
}

/** The plane from the body in the scan; without one from the kidneys; else from the field of view. */
export function locateMidline(own: readonly Voxels[], grid: Grid, body: BodyTrack): Midline {
  if (body.isKnown) return new Midline(body, "scan");
  const columns = grid.shape[2];
  const between = betweenKidneys(own, grid);
  const track = new BodyTrack([0], [between ?? (columns - 1) / 2], columns);
  return new Midline(track, between === null ? "field_of_view" : "both_kidneys");
}

/** The column half-way between the two pieces of kidney farthest apart; null if they are too close. */
function betweenKidneys(own: readonly Voxels[], grid: Grid): number | null {
  const most = Math.max(0, ...own.map((piece) => piece.size));
  const least = Math.max(CROSSING_ML / voxelMlOf(grid), CROSSING_SHARE * most);
  const columns = own.filter((piece) => piece.size >= least).map((piece) => piece.centre[2]);
  if (columns.length < 2) return null;
  const [low, high] = [Math.min(...columns), Math.max(...columns)];
  return (high - low) * grid.spacingMm[2] >= APART_MM ? (low + high) / 2 : null;
}

export function voxelMlOf({ spacingMm }: Grid): number {
  return (spacingMm[0] * spacingMm[1] * spacingMm[2]) / 1000;
}
