/** Longest lines through parts, in a slice and in space (src/renalmap/measure/lines.py and diameters.py). */

import type { Voxels } from "../anatomy/voxels";
import type { Pair, Plane, Triple } from "../arrays";
import { connectedBlobs } from "../imaging/connected";

/** How far beyond the outermost voxel centres the border is taken to lie, in a slice and in space. */
const BORDER_VOXELS = 0.25;
const BORDER_IN_SPACE_VOXELS = 0.125;
const DIRECTIONS = 500;
const SAME_MM = 1e-9;

export interface AxialDiameter {
  lengthMm: number;
  slice: number;
}

/** The longest line of a part in one connected section of any axial slice; of equals in the lowest. */
export function axialDiameter({ box, inside }: Voxels, spacingMm: Triple): AxialDiameter {
  let best: AxialDiameter = { lengthMm: -1, slice: 0 };
  for (let z = 0; z < inside.shape[0]; z += 1) {
    for (const section of connectedBlobs(inside.plane(z))) {
      const lengthMm = longestIn(section.inside, [spacingMm[1], spacingMm[2]]);
      if (lengthMm > best.lengthMm + SAME_MM) best = { lengthMm, slice: box.start[0] + z };
    }
  }
  return best;
}

/** The length of the longest line between any two points of some parts. */
export function longestLineMm(parts: readonly Voxels[], spacingMm: Triple): number {
  const points = parts.flatMap((part) => borderInSpace(part, spacingMm));
  let [start, end] = longestChord(outermost(points));
  let length = distance(start, end);
  for (;;) {
    for (let turn = 0; turn < 2; turn += 1) [start, end] = [farthestFrom(start, points), start];
    const farther = distance(start, end);
    if (farther <= length) return length;
    length = farther;
  }
}

/** Of a mask in a plane. */
function longestIn(mask: Plane, [yMm, xMm]: Pair): number {
  const points: number[][] = [];
  for (let y = 0; y < mask.rows; y += 1) {
    const row = mask.data.subarray(y * mask.columns, (y + 1) * mask.columns);
    points.push([y, row.indexOf(1) - BORDER_VOXELS], [y, row.lastIndexOf(1) + BORDER_VOXELS]);
  }
  for (let x = 0; x < mask.columns; x += 1) {
    const column = Array.from({ length: mask.rows }, (_, y) => mask.data[y * mask.columns + x]);
    points.push([column.indexOf(1) - BORDER_VOXELS, x], [column.lastIndexOf(1) + BORDER_VOXELS, x]);
  }
  const hull = convexHull(points.map(([y, x]) => [y * yMm, x * xMm]));
  const [start, end] = longestChord(hull);
  return distance(start, end);
}

/** Corners of the convex hull of points in a plane (Andrew's monotone chain). */
function convexHull(points: number[][]): number[][] {
  const ordered = [...points].sort((one, other) => one[0] - other[0] || one[1] - other[1]);
  return [...chain(ordered), ...chain(ordered.reverse())];
}

function chain(points: readonly number[][]): number[][] {
  const kept: number[][] = [];
  for (const point of points) {
    while (kept.length >= 2) {
      const [one, other] = kept.slice(-2);
      const turn = (other[0] - one[0]) * (point[1] - one[1]) - (other[1] - one[1]) * (point[0] - one[0]);
      if (turn > 0) break;
      kept.pop();
    }
    kept.push(point);
  }
  return kept;
}

/** Where lines of voxels enter a part for the first time and leave it at last, in mm. */
function borderInSpace({ box, inside }: Voxels, spacingMm: Triple): number[][] {
  const strides = [inside.shape[1] * inside.shape[2], inside.shape[2], 1];
  const points: number[][] = [];
  for (let axis = 0; axis < 3; axis += 1) {
    const [one, other] = [0, 1, 2].filter((each) => each !== axis);
    for (let i = 0; i < inside.shape[one]; i += 1) {
      for (let j = 0; j < inside.shape[other]; j += 1) {
        const from = i * strides[one] + j * strides[other];
        let [first, last] = [-1, -1];
        for (let at = 0; at < inside.shape[axis]; at += 1) {
          if (inside.data[from + at * strides[axis]] === 0) continue;
          if (first < 0) first = at;
          last = at;
        }
        if (first < 0) continue;
        for (const end of [first - BORDER_IN_SPACE_VOXELS, last + BORDER_IN_SPACE_VOXELS]) {
          const place = [0, 0, 0];
          place[axis] = end;
          place[one] = i;
          place[other] = j;
          points.push(place.map((each, index) => (each + box.start[index]) * spacingMm[index]));
        }
      }
    }
  }
  return points;
}

/** The points farthest along and against directions spread evenly over half a sphere (Fibonacci's spiral). */
function outermost(points: readonly number[][]): number[][] {
  const found = new Set<number[]>();
  for (let index = 0; index < DIRECTIONS; index += 1) {
    const height = (index + 0.5) / DIRECTIONS;
    const angle = Math.PI * (1 + Math.sqrt(5)) * (index + 0.5);
    const across = Math.sqrt(1 - height ** 2);
    const [y, x] = [across * Math.sin(angle), across * Math.cos(angle)];
    let [low, high] = [points[0], points[0]];
    let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (const point of points) {
      const along = point[0] * height + point[1] * y + point[2] * x;
      if (along < least) [least, low] = [along, point];
      if (along > most) [most, high] = [along, point];
    }
    found.add(low).add(high);
  }
  return [...found];
}

/** The two points farthest apart. */
function longestChord(points: readonly number[][]): [number[], number[]] {
  let best: [number[], number[]] = [points[0], points[0]];
  let longest = -1;
  points.forEach((one, index) => {
    for (const other of points.slice(index)) {
      const length = distance(one, other);
      if (length > longest) [longest, best] = [length, [one, other]];
    }
  });
  return best;
}

function farthestFrom(place: readonly number[], points: readonly number[][]): number[] {
  return points.reduce((far, point) => (distance(place, point) > distance(place, far) ? point : far));
}

function distance(one: readonly number[], other: readonly number[]): number {
  return Math.sqrt(one.reduce((sum, value, axis) => sum + (value - other[axis]) ** 2, 0));
}
