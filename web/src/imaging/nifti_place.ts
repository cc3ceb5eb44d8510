/** Where a NIfTI header places its voxels, and what is doubtful about it (src/renalmap/imaging/nifti_geometry.py). */

import { type NIFTI1, type NIFTI2, readHeader } from "nifti-reader-js";
import type { Triple } from "../arrays";
import { InputError } from "../errors";
import {
  type Affine,
  axisCodes,
  buildGeometry,
  describeImplausible,
  type Geometry,
  significant,
  spacingOf,
} from "./orientation";

export type NiftiHeader = NIFTI1 | NIFTI2;

const MM_PER_UNIT: Record<number, number> = { 1: 1000, 3: 0.001 };
const UNIT_NAMES: Record<number, string> = { 1: "metre", 3: "micrometre" };
const UNIT_BITS = 0b111;
export const MILLIMETRES = 2;
const SAME_PLACE_MM = 1;
const SAME_SIZE = 0.01;
/** No CT of a body has smaller pixels; in centimetres, all have. */
const FINEST_MM = 0.1;
/** A quaternion's parts may be longer than 1 by this: rounding in float32. */
const ROUNDING = 3 * 2 ** -23;
const NO_CODES =
  "the header does not say how the patient lies (neither its sform nor its qform has a code): " +
  "its axes were taken to point to L, A, S, a guess, so left and right may be swapped";

/**
 * A header's geometry, and what is doubtful about it: the sform where it has a code, otherwise the qform,
 * otherwise NIfTI's default.
 *
 * @throws InputError they contradict each other, or are no place of a scan.
 */
export function findPlace(
  header: NiftiHeader,
  block: ArrayBuffer,
  shape: Triple,
  where: string,
): { geometry: Geometry; doubts: string[] } {
  const hasSform = header.sform_code > 0;
  const hasQform = header.qform_code > 0;
  const sform = sformOf(block);
  const own = hasSform ? sform : hasQform ? qformOf(header, where) : baseAffine(header, shape);
  const { affine, doubt, mm } = settleUnit(own, shape, header);
  const geometry = buildGeometry(shape, affine, where);
  const doubts = [doubt, tooFine(affine)];
  if (!hasSform && !hasQform) doubts.push(NO_CODES);
  else if (hasSform && hasQform) doubts.push(disagreement(geometry, header, mm, where));
  else if (hasSform) doubts.push(otherSizes(affine, header, mm));
  return { geometry, doubts: doubts.filter((each) => each !== null) };
}

/** The raw sform, whether or not it counts: the reader is told that it does, and the qform does not. */
export function sformOf(block: ArrayBuffer): Affine {
  const copy = new Uint8Array(block.slice(0));
  if (isNifti1(block)) copy.fill(0, 252, 254).fill(1, 254, 256);
  else copy.fill(0, 344, 348).fill(1, 348, 352);
  return (readHeader(copy.buffer) as NiftiHeader).affine;
}

function qformOf(header: NiftiHeader, where: string): Affine {
  const { quatern_b: b, quatern_c: c, quatern_d: d } = header;
  const sizes = header.pixDims.slice(1, 4);
  if (1 - (b * b + c * c + d * d) < -ROUNDING || sizes.some((size) => size < 0)) {
    throw new InputError("the header's rotation is not a rotation", {
      where,
      got: `a quaternion (${b}, ${c}, ${d}) and voxels of ${sizes.join(" x ")}`,
    });
  }
  const a = Math.sqrt(Math.max(0, 1 - (b * b + c * c + d * d)));
  const rotation = [
    [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
    [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
    [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
  ];
  const flip = header.pixDims[0] < 0 ? -1 : 1;
  const scales = [sizes[0], sizes[1], sizes[2] * flip];
  const offsets = [header.qoffset_x, header.qoffset_y, header.qoffset_z];
  const rows = rotation.map((row, index) => [
    ...row.map((value, axis) => value * scales[axis]),
    offsets[index],
  ]);
  return [...rows, [0, 0, 0, 1]];
}

/** NIfTI's default: axes to L, A, S about the centre. */
function baseAffine(header: NiftiHeader, shape: Triple): Affine {
  const [x, y, z] = header.pixDims.slice(1, 4);
  const scales = [-x, y, z];
  const rows = scales.map((scale, row) => {
    const line = [0, 0, 0, (-scale * (shape[row] - 1)) / 2];
    line[row] = scale;
    return line;
  });
  return [...rows, [0, 0, 0, 1]];
}

/** An affine in mm; and, if the header's unit cannot be right and was replaced in it, that doubt. */
function settleUnit(
  affine: Affine,
  shape: Triple,
  header: NiftiHeader,
): { affine: Affine; doubt: string | null; mm: number } {
  const unit = header.xyzt_units & UNIT_BITS;
  const mm = MM_PER_UNIT[unit] ?? 1;
  const scaled = scale(affine, mm);
  const absurd = mm === 1 ? null : describeImplausible(shape, scaled);
  if (absurd === null || describeImplausible(shape, affine) !== null) {
    return { affine: scaled, doubt: null, mm };
  }
  header.xyzt_units = (header.xyzt_units & ~UNIT_BITS) | MILLIMETRES;
  const doubt =
    `the header's unit is the ${UNIT_NAMES[unit]}, but that gives ${absurd}: ` +
    "it was taken as millimetre";
  return { affine, doubt, mm: 1 };
}

/** Doubt where the qform places voxels elsewhere than the sform; an error where that matters. */
function disagreement(here: Geometry, header: NiftiHeader, mm: number, where: string): string | null {
  let there: Geometry;
  try {
    there = buildGeometry(here.source.shape, scale(qformOf(header, where), mm), where);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return `its qform, which other programs may read, is unusable: ${error.what}`;
  }
  const differences = materialDifferences(here, there);
  if (differences.length > 0) {
    throw new InputError("the header's sform and qform contradict each other", {
      where,
      got: differences.join("; "),
      hint: "Find out which is right; the Python program takes it by --orientation sform or qform",
    });
  }
  const { shape } = here.source;
  const apart = [0, 1, 2, 3, 4, 5, 6, 7].some((corner) => {
    const index = shape.map((size, axis) => ((corner >> axis) & 1 ? size - 1 : 0));
    const [one, other] = [here, there].map(({ source }) =>
      [0, 1, 2].map((row) =>
        index.reduce((sum, at, axis) => sum + source.affine[row][axis] * at, source.affine[row][3]),
      ),
    );
    return one.some((value, row) => Math.abs(value - other[row]) > SAME_PLACE_MM);
  });
  if (!apart) return null;
  return "its sform and its qform place the scan differently: other programs may read the other one";
}

/** What changes sides, slices or volumes. */
function materialDifferences(sform: Geometry, qform: Geometry): string[] {
  const differences: string[] = [];
  const [ours, theirs] = [axisCodes(sform), axisCodes(qform)];
  if (ours !== theirs) differences.push(`axes to ${ours} by the sform, to ${theirs} by the qform`);
  const sizes = [sform, qform].map(({ source }) => spacingOf(source.affine));
  if (!alike(sizes[0], sizes[1])) {
    const [one, other] = sizes.map(shown);
    differences.push(`voxels of ${one} by the sform, of ${other} by the qform`);
  }
  return differences;
}

function otherSizes(affine: Affine, header: NiftiHeader, mm: number): string | null {
  const bySform = spacingOf(affine);
  const byPixdim = header.pixDims.slice(1, 4).map((size) => Math.abs(size) * mm);
  if (alike(bySform, byPixdim)) return null;
  return (
    `its voxels measure ${shown(bySform)} by the sform, ${shown(byPixdim)} by pixdim: RenalMap reads ` +
    "files by the sform, other programs, SimpleITK among them, by pixdim"
  );
}

function tooFine(affine: Affine): string | null {
  const sizes = spacingOf(affine);
  if (sizes.filter((size) => size < FINEST_MM).length < 2) return null;
  return (
    `its voxels measure ${shown(sizes)}, finer than a scanner's: if that is in ` +
    "centimetres, volumes are a thousandth of what is right"
  );
}

export function isNifti1(block: ArrayBuffer): boolean {
  const view = new DataView(block);
  return view.getInt32(0, true) === 348 || view.getInt32(0, false) === 348;
}

function alike(one: readonly number[], other: readonly number[]): boolean {
  return one.every(
    (value, index) => Math.abs(value - other[index]) <= SAME_SIZE * Math.abs(other[index]),
  );
}

function scale(affine: Affine, factor: number): Affine {
  return affine.map((row, index) => (index < 3 ? row.map((value) => value * factor) : row));
}

function shown(sizes: readonly number[]): string {
  return `${sizes.map(significant).join(" x ")} mm`;
}
