/** Slices into a stack: sorted by position, and what is wrong with their spacing (src/renalmap/imaging/dicom/stack.py). */

import type { Triple } from "../../arrays";
import { InputError } from "../../errors";
import { buildGeometry, type Geometry } from "../orientation";
import { MAX_OBLIQUE_DEGREES, offAxialDegrees } from "./choice";
import type { SliceHeader } from "./headers";
import { dot, minus, times } from "./vectors";

const MAX_SHEAR_DEGREES = 0.5;
const GAP_TOLERANCE = 0.2;
const DRIFT_TOLERANCE = 0.25;
const FEW_GAPS = 0.2;
const SAME_PLACE_MM = 1e-3;
const SAME_ANGLE = 1e-3;
const OFF_LINE_MM = 0.5;
const SEVERAL = 3;
const UNSCALED = [1, 0];

export interface Stack {
  /** From the feet to the head. */
  slices: SliceHeader[];
  geometry: Geometry;
  notes: string[];
}

/**
 * Sort slices by their position.
 *
 * @throws InputError they are not one volume, or not a right-angled grid with even spacing.
 */
export function buildStack(slices: readonly SliceHeader[]): Stack {
  const ownFrames = new Set(slices.map((each) => each.frameOfReference)).size === slices.length;
  const hasFrameForEach = ownFrames && slices.length >= SEVERAL;
  checkOneKind(slices, hasFrameForEach);
  checkAxial(slices);
  const [{ normal }] = slices;
  const up: Triple = normal[2] > 0 ? normal : times(normal, -1);
  const heightOf = (each: SliceHeader) => dot(each.positionMm, up);
  const ordered = [...slices].sort((one, other) => heightOf(one) - heightOf(other));
  const heights = ordered.map(heightOf);
  const gaps = heights.slice(1).map((height, index) => height - heights[index]);
  checkPlaces(ordered, heights, gaps);
  checkTilt(ordered, up);
  checkGaps(ordered, heights, gaps);
  const notes = hasFrameForEach
    ? ["each slice has a frame of reference of its own; by their positions they form one stack"]
    : [];
  return { slices: ordered, geometry: geometryOf(ordered), notes };
}

/** DICOM PS3.3 C.7.6.2.1.1, with the mean step between slices as the third axis; from LPS to RAS. */
function geometryOf(slices: readonly SliceHeader[]): Geometry {
  const first = slices[0];
  const [across, down] = first.orientation;
  const step = times(
    minus(slices[slices.length - 1].positionMm, first.positionMm),
    1 / (slices.length - 1),
  );
  const [rowMm, columnMm] = first.spacingMm;
  const columns = [times(across, columnMm), times(down, rowMm), step, first.positionMm];
  const rows = [0, 1, 2].map((row) => columns.map((column) => (row < 2 ? -column[row] : column[row])));
  return buildGeometry(
    [first.columns, first.rows, slices.length],
    [...rows, [0, 0, 0, 1]],
    first.file.path,
  );
}

function checkOneKind(slices: readonly SliceHeader[], hasFrameForEach: boolean): void {
  const first = slices[0];
  for (const each of slices) {
    const pairs: [string, string, string][] = [
      ["size", `${first.rows} x ${first.columns}`, `${each.rows} x ${each.columns}`],
    ];
    if (!hasFrameForEach)
      pairs.push(["frame of reference", first.frameOfReference, each.frameOfReference]);
    for (const [name, ours, theirs] of pairs) {
      if (ours !== theirs) throw mixed(`${name} ${ours} in ${first.name}, ${theirs} in ${each.name}`);
    }
    const angles = each.orientation.flat().map((value, at) => value - first.orientation.flat()[at]);
    if (angles.some((angle) => Math.abs(angle) > SAME_ANGLE)) {
      throw mixed(`${first.name} and ${each.name} lie at an angle`);
    }
    const scales = [first.rescale, each.rescale];
    if (
      scales.includes(null) &&
      String(first.rescale ?? UNSCALED) !== String(each.rescale ?? UNSCALED)
    ) {
      throw mixed(`RescaleSlope and RescaleIntercept in ${first.name} or in ${each.name} alone`);
    }
    const spacings = each.spacingMm.map((value, at) => Math.abs(value / first.spacingMm[at] - 1));
    if (spacings.some((off) => off > SAME_ANGLE)) {
      throw mixed(
        `pixel spacing ${first.spacingMm} in ${first.name}, ${each.spacingMm} in ${each.name}`,
      );
    }
  }
}

function checkAxial(slices: readonly SliceHeader[]): void {
  const degrees = offAxialDegrees(slices[0]);
  if (degrees > MAX_OBLIQUE_DEGREES) {
    throw new InputError("the slices are not axial", {
      got: `slices ${degrees.toFixed(0)} degrees off axial`,
      expected: `at most ${MAX_OBLIQUE_DEGREES} degrees off axial`,
      hint: "Give the axial reconstruction of the same scan",
    });
  }
  if (slices.length > 1) return;
  throw new InputError("one slice is not a volume", {
    got: "1 DICOM slice",
    expected: "at least two",
    hint: "Give the folder that holds all slices of the series",
  });
}

/** Refuse doubled places, and slices beside the line of the others. */
function checkPlaces(slices: readonly SliceHeader[], heights: readonly number[], gaps: number[]): void {
  const twin = gaps.findIndex((gap) => gap < SAME_PLACE_MM);
  if (twin >= 0) throw mixed(`${slices[twin].name} and ${slices[twin + 1].name} at the same position`);
  const last = slices.length - 1;
  const way = minus(slices[last].positionMm, slices[0].positionMm);
  slices.forEach((each, index) => {
    const share = (heights[index] - heights[0]) / (heights[last] - heights[0]);
    const off = minus(minus(each.positionMm, slices[0].positionMm), times(way, share));
    if (Math.max(...off.map(Math.abs)) > OFF_LINE_MM) throw mixed(`${each.name} lies beside the stack`);
  });
}

function checkTilt(slices: readonly SliceHeader[], up: Triple): void {
  const way = minus(slices[slices.length - 1].positionMm, slices[0].positionMm);
  const along = dot(way, up);
  const across = Math.hypot(...minus(way, times(up, along)));
  const tilt = (Math.atan2(across, along) * 180) / Math.PI;
  if (tilt <= MAX_SHEAR_DEGREES) return;
  throw new InputError("the gantry was tilted: the slices are sheared against each other", {
    got: `a tilt of ${tilt.toFixed(1)} degrees`,
    expected: `at most ${MAX_SHEAR_DEGREES} degrees`,
    hint: "The Python program corrects it with --resample",
  });
}

function checkGaps(slices: readonly SliceHeader[], heights: readonly number[], gaps: number[]): void {
  const spacing = [...gaps].sort((a, b) => a - b)[(gaps.length - 1) >> 1];
  const odd = gaps
    .map((_, at) => at)
    .filter((at) => Math.abs(gaps[at] - spacing) > GAP_TOLERANCE * spacing);
  const between = (at: number) =>
    `${gaps[at].toFixed(2)} mm between ${slices[at].name} and ${slices[at + 1].name}`;
  const ratios = odd.map((at) => gaps[at] / spacing);
  const areMissing =
    odd.length > 0 &&
    odd.length <= Math.max(1, FEW_GAPS * gaps.length) &&
    ratios.every(
      (ratio) => Math.abs(ratio - Math.round(ratio)) <= GAP_TOLERANCE && Math.round(ratio) >= 2,
    );
  if (areMissing) {
    throw new InputError("slices are missing", {
      got: odd.slice(0, 4).map(between).join("; "),
      expected: `${spacing.toFixed(2)} mm between all slices`,
      hint: "Export the whole series again",
    });
  }
  const step = (heights[heights.length - 1] - heights[0]) / gaps.length;
  const drifts = heights.some(
    (height, at) => Math.abs(height - heights[0] - at * step) > DRIFT_TOLERANCE * spacing,
  );
  if (odd.length === 0 && !drifts) return;
  const offs = gaps.map((gap) => Math.abs(gap - spacing));
  throw new InputError("the spacing between slices varies", {
    got: between(offs.indexOf(Math.max(...offs))),
    expected: `one spacing; the median is ${spacing.toFixed(2)} mm`,
    hint: "The Python program makes it even with --resample",
  });
}

function mixed(got: string): InputError {
  return new InputError("the slices do not belong to one volume", {
    got,
    expected: "slices of one size, spacing and orientation, each at its own position",
    hint: "Drop the folder of one series alone",
  });
}
