/** Connected parts of masks (src/renalmap/imaging/connected.py), by flood fill. */

import { type Box, Bytes3, type Pair, Plane, type PlaneBox, shapeOf, type Triple } from "../arrays";

export interface Part {
  box: Box;
  /** Of the box's shape: 1 for its voxels. */
  inside: Bytes3;
}

export interface Blob2 {
  box: PlaneBox;
  inside: Plane;
}

/** The 26-connected parts of what is not 0, or of one label, from the feet up. */
export function connectedParts(labels: Bytes3, only?: number): Part[] {
  const around = labels.bounds();
  if (around === null) return [];
  const found = labels.cut(around);
  const left = maskOf(found.data, only);
  const [, rows, columns] = found.shape;
  const parts: Part[] = [];
  const filler = new Filler(left, found.shape, neighbours26(columns, rows));
  for (let index = left.indexOf(1); index >= 0; index = left.indexOf(1, index + 1)) {
    const voxels = filler.fill(index);
    const box = boundsOf(voxels, found.shape);
    const inside = new Bytes3(shapeOf(box));
    for (const voxel of voxels) {
      const x = voxel % columns;
      const y = Math.floor(voxel / columns) % rows;
      const z = Math.floor(voxel / (rows * columns));
      const line = (z - box.start[0]) * inside.shape[1] + y - box.start[1];
      inside.data[line * inside.shape[2] + x - box.start[2]] = 1;
    }
    parts.push({
      box: { start: shifted(box.start, around.start), stop: shifted(box.stop, around.start) },
      inside,
    });
  }
  return parts.sort((one, other) => compareStarts(one.box.start, other.box.start));
}

/** The connected blobs of a plane, in the order of their first pixels; 8-connected, or 4-connected. */
export function connectedBlobs(mask: Plane, connectivity: 4 | 8 = 8): Blob2[] {
  const left = maskOf(mask.data);
  const steps: Step[] =
    connectivity === 8
      ? neighbours26(mask.columns, mask.rows).filter((step) => step.dz === 0)
      : STEPS_4.map(([dy, dx]) => ({ dz: 0, dy, dx, offset: dy * mask.columns + dx }));
  const filler = new Filler(left, [1, mask.rows, mask.columns], steps);
  const blobs: Blob2[] = [];
  for (let index = left.indexOf(1); index >= 0; index = left.indexOf(1, index + 1)) {
    const pixels = filler.fill(index);
    const { start, stop } = boundsOf(pixels, [1, mask.rows, mask.columns]);
    const corner: Pair = [start[1], start[2]];
    const inside = new Plane(stop[1] - start[1], stop[2] - start[2]);
    for (const pixel of pixels) {
      const y = Math.floor(pixel / mask.columns) - corner[0];
      inside.data[y * inside.columns + (pixel % mask.columns) - corner[1]] = 1;
    }
    blobs.push({ box: { start: corner, stop: [stop[1], stop[2]] }, inside });
  }
  return blobs;
}

const STEPS_4: Pair[] = [
  [-1, 0],
  [1, 0],
  [0, -1],
  [0, 1],
];

interface Step {
  dz: number;
  dy: number;
  dx: number;
  offset: number;
}

function neighbours26(columns: number, rows: number): Step[] {
  const steps: Step[] = [];
  for (const dz of [-1, 0, 1]) {
    for (const dy of [-1, 0, 1]) {
      for (const dx of [-1, 0, 1]) {
        if (dz === 0 && dy === 0 && dx === 0) continue;
        steps.push({ dz, dy, dx, offset: (dz * rows + dy) * columns + dx });
      }
    }
  }
  return steps;
}

/** Takes connected voxels out of a mask, one component at a time. */
class Filler {
  private found = new Int32Array(1 << 12);

  constructor(
    private readonly left: Uint8Array,
    private readonly shape: Triple,
    private readonly steps: readonly Step[],
  ) {}

  /** All voxels connected to this one, which are cleared; valid until the next call. */
  fill(first: number): Int32Array {
    const [depth, rows, columns] = this.shape;
    let count = 1;
    this.found[0] = first;
    this.left[first] = 0;
    for (let done = 0; done < count; done += 1) {
      const voxel = this.found[done];
      const x = voxel % columns;
      const line = (voxel - x) / columns;
      const y = line % rows;
      const z = (line - y) / rows;
      for (const { dz, dy, dx, offset } of this.steps) {
        const beyond =
          x + dx < 0 ||
          x + dx >= columns ||
          y + dy < 0 ||
          y + dy >= rows ||
          z + dz < 0 ||
          z + dz >= depth;
        if (beyond || this.left[voxel + offset] === 0) continue;
        this.left[voxel + offset] = 0;
        if (count === this.found.length) this.grow();
        this.found[count] = voxel + offset;
        count += 1;
      }
    }
    return this.found.subarray(0, count);
  }

  private grow(): void {
    const larger = new Int32Array(2 * this.found.length);
    larger.set(this.found);
    this.found = larger;
  }
}

function maskOf(data: Uint8Array, only?: number): Uint8Array {
  const mask = new Uint8Array(data.length);
  for (let index = 0; index < data.length; index += 1) {
    const value = data[index];
    mask[index] = (only === undefined ? value !== 0 : value === only) ? 1 : 0;
  }
  return mask;
}

function boundsOf(voxels: Int32Array, shape: Triple): Box {
  const [, rows, columns] = shape;
  const start: Triple = [...shape];
  const stop: Triple = [0, 0, 0];
  for (const voxel of voxels) {
    const x = voxel % columns;
    const line = (voxel - x) / columns;
    const place = [(line - (line % rows)) / rows, line % rows, x];
    for (let axis = 0; axis < 3; axis += 1) {
      if (place[axis] < start[axis]) start[axis] = place[axis];
      if (place[axis] >= stop[axis]) stop[axis] = place[axis] + 1;
    }
  }
  return { start, stop };
}

function shifted(place: Triple, corner: Triple): Triple {
  return [place[0] + corner[0], place[1] + corner[1], place[2] + corner[2]];
}

function compareStarts(one: Triple, other: Triple): number {
  return one[0] - other[0] || one[1] - other[1] || one[2] - other[2];
}
