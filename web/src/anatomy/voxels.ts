/** Voxels of a grid: a box, and which of its voxels are meant (src/renalmap/anatomy/voxels.py). */

import { type Box, Bytes3, countNonZero, type Triple } from "../arrays";
import { connectedParts, type Part } from "../imaging/connected";
import type { Volume } from "../imaging/volume";
import type { BodyTrack } from "./body";

export type Side = "left" | "right";
export type Border = "feet" | "head" | "front" | "back" | "right" | "left";

export const SIDES: readonly Side[] = ["left", "right"];
/** Of the axes (z, y, x): the border at index 0 and the one at the end, axis by axis. */
const BORDERS: readonly Border[] = ["feet", "head", "front", "back", "right", "left"];
const MINOR_SHARE = 0.05;

export class Voxels {
  readonly size: number;

  constructor(
    /** A region that contains them all; it may be larger than needed. */
    readonly box: Box,
    /** Of the box's shape: which of its voxels they are. */
    readonly inside: Bytes3,
  ) {
    this.size = countNonZero(inside.data);
  }

  /** Their centre of gravity (z, y, x) in voxels of the grid; there must be at least one. */
  get centre(): Triple {
    const sums: Triple = [0, 0, 0];
    this.each((z, y, x) => {
      sums[0] += z;
      sums[1] += y;
      sums[2] += x;
    });
    return sums.map((sum) => sum / this.size) as Triple;
  }

  /** Visit each of them: its place in the grid, and its index in the box. */
  each(visit: (z: number, y: number, x: number, index: number) => void): void {
    const [depth, rows, columns] = this.inside.shape;
    const [z0, y0, x0] = this.box.start;
    let index = 0;
    for (let z = z0; z < z0 + depth; z += 1) {
      for (let y = y0; y < y0 + rows; y += 1) {
        for (let x = x0; x < x0 + columns; x += 1, index += 1) {
          if (this.inside.data[index] !== 0) visit(z, y, x, index);
        }
      }
    }
  }

  /** Those of them that a test accepts. */
  filter(accepts: (z: number, x: number, index: number) => boolean): Voxels {
    const inside = new Bytes3(this.inside.shape);
    this.each((z, _, x, index) => {
      inside.data[index] = accepts(z, x, index) ? 1 : 0;
    });
    return new Voxels(this.box, inside);
  }

  /** The mean of their HU. */
  meanOf({ hu, shape }: Volume): number {
    let total = 0;
    this.each((z, y, x) => {
      total += hu[(z * shape[1] + y) * shape[2] + x];
    });
    return total / this.size;
  }

  /** Those with a label. */
  only(labels: Bytes3, label: number): Voxels {
    const values = labels.cut(this.box).data;
    return this.filter((_, __, index) => values[index] === label);
  }

  /** Whether the first voxel of others is one of these. */
  holds({ box, inside }: Voxels): boolean {
    const first = inside.data.indexOf(1);
    const [, rows, columns] = inside.shape;
    const place = [
      Math.floor(first / (rows * columns)),
      Math.floor(first / columns) % rows,
      first % columns,
    ];
    const [z, y, x] = place.map((at, axis) => at + box.start[axis] - this.box.start[axis]);
    const [depth, ownRows, ownColumns] = this.inside.shape;
    const within = z >= 0 && z < depth && y >= 0 && y < ownRows && x >= 0 && x < ownColumns;
    return within && this.inside.data[(z * ownRows + y) * ownColumns + x] !== 0;
  }

  /** Those on one side of the body's midline. */
  on(side: Side, track: BodyTrack): Voxels {
    const middles = Array.from({ length: this.inside.shape[0] }, (_, z) =>
      track.at(this.box.start[0] + z),
    );
    return this.filter((z, x) => x > middles[z - this.box.start[0]] === (side === "left"));
  }

  /** The side of most of them. */
  side(track: BodyTrack): Side {
    return 2 * this.on("left", track).size > this.size ? "left" : "right";
  }

  /** How many columns they span from right to left. */
  get width(): number {
    let [first, last] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    this.each((_, __, x) => {
      first = Math.min(first, x);
      last = Math.max(last, x);
    });
    return last - first + 1;
  }

  /** Which borders of a grid of this shape they touch. */
  touches(shape: Triple): Border[] {
    const touched = new Set<Border>();
    this.each((...place) => {
      for (let axis = 0; axis < 3; axis += 1) {
        if (place[axis] === 0) touched.add(BORDERS[2 * axis]);
        if (place[axis] === shape[axis] - 1) touched.add(BORDERS[2 * axis + 1]);
      }
    });
    return [...touched];
  }
}

/** The 26-connected components of what is not 0, or of one label, largest first. */
export function largestFirst(labels: Bytes3, only?: number): Voxels[] {
  const parts = connectedParts(labels, only).map(({ box, inside }: Part) => new Voxels(box, inside));
  return parts.sort((one, other) => other.size - one.size);
}

/** The parts that contain at least a twentieth of all their voxels. */
export function withoutIslands(parts: readonly Voxels[]): Voxels[] {
  const least = MINOR_SHARE * parts.reduce((sum, part) => sum + part.size, 0);
  return parts.filter((part) => part.size >= least);
}

/** Borders of the scan touched by any part that carries weight. */
export function bordersOf(parts: readonly Voxels[], shape: Triple): Border[] {
  return inOrder(withoutIslands(parts).flatMap((part) => part.touches(shape)));
}

/** Borders once each, in the order feet to head, front to left. */
export function inOrder(borders: readonly Border[]): Border[] {
  return BORDERS.filter((border) => borders.includes(border));
}
