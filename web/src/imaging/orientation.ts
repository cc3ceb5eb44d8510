/** From a stored grid and its affine to the canonical orientation (src/renalmap/imaging/orientation.py). */

import type { Bytes3, Triple } from "../arrays";
import { InputError } from "../errors";

/** (4, 4), stored voxel index to world (mm, RAS+). */
export type Affine = number[][];

const MAX_SHEAR_DEGREES = 0.5;
const MAX_OBLIQUE_DEGREES = 30;
const VOXEL_MM = [0.05, 50];
const LONGEST_MM = 2500;
const FARTHEST_MM = 1e6;
const WORLD_AXIS_ZYX: Triple = [2, 1, 0];
const WORLD_SIGN_ZYX: Triple = [1, -1, -1];
/** Where each canonical axis (z, y, x) points, and the way back. */
const CANONICAL_CODES = ["SI", "PA", "LR"];

/** The grid a scan was stored on. */
export interface SourceGrid {
  /** Of the stored array, its axes as in the file (the first runs fastest). */
  shape: Triple;
  affine: Affine;
  /** For each canonical axis (z, y, x), the stored axis it comes from. */
  axes: Triple;
  /** For each canonical axis, whether its direction is opposite to the stored axis. */
  flips: [boolean, boolean, boolean];
}

export interface Geometry {
  /** Voxels along (z, y, x). */
  shape: Triple;
  spacingMm: Triple;
  source: SourceGrid;
}

/** Where stored voxels lie in a canonical array: the index of the first, and what a step along each axis adds. */
export interface Strides {
  first: number;
  steps: Triple;
}

/**
 * Find the canonical orientation of a stored grid; axes are only permuted and reversed.
 *
 * @throws InputError no scan of a body has such a grid, or it cannot be cut into axial slices.
 */
export function buildGeometry(shape: readonly number[], affine: Affine, where: string): Geometry {
  checkShape(shape, where);
  const stored: Triple = [shape[0], shape[1], shape[2]];
  const { directions, spacing } = directionsOf(affine, where);
  checkRightAngles(directions, where);
  const absurd = describeImplausible(stored, affine);
  if (absurd !== null) {
    throw new InputError("no scan of a body has this size", {
      where,
      got: absurd,
      expected: `voxels of ${VOXEL_MM[0]} to ${VOXEL_MM[1]} mm, at most ${LONGEST_MM} mm in all`,
      hint: "Is the unit millimetres?",
    });
  }
  const { axes, flips } = canonicalAxes(directions, where);
  return {
    shape: axes.map((axis) => stored[axis]) as Triple,
    spacingMm: axes.map((axis) => spacing[axis]) as Triple,
    source: { shape: stored, affine, axes, flips },
  };
}

/** Where the stored voxels of a grid lie in its canonical array. */
export function stridesOf({ shape, source }: Geometry): Strides {
  const canonical: Triple = [shape[1] * shape[2], shape[2], 1];
  const steps: Triple = [0, 0, 0];
  let first = 0;
  source.axes.forEach((axis, index) => {
    steps[axis] = source.flips[index] ? -canonical[index] : canonical[index];
    if (source.flips[index]) first += (shape[index] - 1) * canonical[index];
  });
  return { first, steps };
}

/** A canonical array's values in the order in which its grid was stored. */
export function toStored(values: Bytes3, geometry: Geometry): Uint8Array<ArrayBuffer> {
  const { first, steps } = stridesOf(geometry);
  const [width, height, depth] = geometry.source.shape;
  const stored = new Uint8Array(values.data.length);
  let at = 0;
  for (let k = 0; k < depth; k += 1) {
    for (let j = 0; j < height; j += 1) {
      let from = first + j * steps[1] + k * steps[2];
      for (let i = 0; i < width; i += 1, from += steps[0], at += 1) stored[at] = values.data[from];
    }
  }
  return stored;
}

export function checkShape(shape: readonly number[], where: string): void {
  if (shape.length === 3 && Math.min(...shape) >= 1) return;
  throw new InputError("the image is not a three-dimensional grid", {
    where,
    got: `shape (${shape.join(", ")})`,
    expected: "three axes, each at least one voxel long",
    hint: "Give one CT volume; split a series of volumes first",
  });
}

/** Millimetres between voxels along each stored axis. */
export function spacingOf(affine: Affine): Triple {
  return [0, 1, 2].map((axis) =>
    Math.hypot(affine[0][axis], affine[1][axis], affine[2][axis]),
  ) as Triple;
}

/** What of a stored grid no scan of a body can have; null if it can be one. */
export function describeImplausible(shape: Triple, affine: Affine): string | null {
  const spacing = spacingOf(affine);
  const shown = (values: number[]) => `${values.map(significant).join(" x ")} mm`;
  if (!(Math.min(...spacing) >= VOXEL_MM[0] && Math.max(...spacing) <= VOXEL_MM[1])) {
    return `voxels of ${shown(spacing)}`;
  }
  const extent = spacing.map((each, axis) => each * shape[axis]);
  if (Math.max(...extent) > LONGEST_MM) return `an extent of ${shown(extent)}`;
  const farthest = Math.max(...[0, 1, 2].map((row) => Math.abs(affine[row][3])));
  if (farthest > FARTHEST_MM) return `a position ${significant(farthest)} mm from the origin`;
  return null;
}

/** Four significant digits, as Python's `.4g`, for sizes that a scan may have. */
export function significant(value: number): string {
  return String(Number(value.toPrecision(4)));
}

/** Where stored axes point, in NIfTI's letters, as `RAS`. */
export function axisCodes({ source }: Geometry): string {
  const codes = ["", "", ""];
  source.axes.forEach((axis, index) => {
    codes[axis] = CANONICAL_CODES[index][source.flips[index] ? 1 : 0];
  });
  return codes.join("");
}

function directionsOf(affine: Affine, where: string): { directions: number[][]; spacing: Triple } {
  const hint = "Convert the scan from DICOM again";
  if (!affine.flat().every(Number.isFinite)) {
    const got = JSON.stringify(affine);
    throw new InputError("the affine is not a finite 4 by 4 matrix", { where, got, hint });
  }
  const spacing = spacingOf(affine);
  const directions = [0, 1, 2].map((row) => [0, 1, 2].map((axis) => affine[row][axis] / spacing[axis]));
  if (Math.min(...spacing) > 0 && Math.abs(determinant(directions)) > 1e-6) {
    return { directions, spacing };
  }
  throw new InputError("the affine is singular: all voxels of a line share one position", {
    where,
    got: JSON.stringify(affine.slice(0, 3).map((row) => row.slice(0, 3))),
    expected: "three independent axes",
    hint,
  });
}

function checkRightAngles(directions: number[][], where: string): void {
  const pairs = [
    [0, 1],
    [0, 2],
    [1, 2],
  ];
  const cosines = pairs.map(([one, other]) =>
    Math.abs([0, 1, 2].reduce((sum, row) => sum + directions[row][one] * directions[row][other], 0)),
  );
  const shear = degrees(Math.asin(Math.min(1, Math.max(...cosines))));
  if (shear <= MAX_SHEAR_DEGREES) return;
  throw new InputError("the affine is sheared: the voxel axes do not meet at right angles", {
    where,
    got: `${shear.toFixed(1)} degrees off a right angle`,
    expected: `at most ${MAX_SHEAR_DEGREES} degrees`,
    hint: "A tilted gantry does this; resample the scan onto a right-angled grid first",
  });
}

function canonicalAxes(
  directions: number[][],
  where: string,
): { axes: Triple; flips: SourceGrid["flips"] } {
  const worldOf = [0, 1, 2].map((axis) => {
    const along = [0, 1, 2].map((row) => Math.abs(directions[row][axis]));
    return along.indexOf(Math.max(...along));
  });
  const alongBody = worldOf.map((world, axis) => Math.abs(directions[world][axis]));
  const oblique = degrees(Math.acos(Math.min(1, ...alongBody)));
  if (oblique > MAX_OBLIQUE_DEGREES) {
    throw new InputError("the grid is too oblique to be cut into axial slices", {
      where,
      got: `an axis ${oblique.toFixed(0)} degrees off the body's`,
      expected: `at most ${MAX_OBLIQUE_DEGREES} degrees`,
      hint: "Reconstruct or resample the scan axially first",
    });
  }
  const axes = WORLD_AXIS_ZYX.map((world) => worldOf.indexOf(world)) as Triple;
  const flips = axes.map(
    (axis, index) => directions[WORLD_AXIS_ZYX[index]][axis] * WORLD_SIGN_ZYX[index] < 0,
  ) as SourceGrid["flips"];
  return { axes, flips };
}

export function determinant([[a, b, c], [d, e, f], [g, h, i]]: number[][]): number {
  return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
}

function degrees(radians: number): number {
  return (radians * 180) / Math.PI;
}
