/** Stage 2: the segmenter on crops of a slice (src/renalmap/inference/cropping.py). */

import { around, type Bytes3, Plane, type PlaneBox } from "../arrays";
import { cropBoxes } from "../preprocess/crops";
import { cutFloats, type ScanOnGrid } from "./grid";
import { flipAveraged, type Networks } from "./networks";
import { toByte } from "./probability";
import { likeliest } from "./smoothing";

/** What stage 2 sees in the crops of a slice; each plane has the box's shape. */
export interface CroppedSlice {
  box: PlaneBox;
  /** Which pixels lie in a crop. */
  covered: Plane;
  labels: Plane;
  /** Of kidney or tumour. */
  kidney: Plane;
  tumour: Plane;
}

export type Crops = Map<number, PlaneBox[]>;

/** Where stage 2 looks, by slice: about the blobs of stage 1's foreground. */
export function placeCrops(labels: Bytes3, scan: ScanOnGrid): Crops {
  const crops: Crops = new Map();
  for (let z = 0; z < scan.depth; z += 1) {
    const boxes = cropBoxes(labels.plane(z), scan.plan);
    if (boxes.length > 0) crops.set(z, boxes);
  }
  return crops;
}

/** Run stage 2 on crops of a slice; where they overlap, their probabilities are added. */
export async function segmentCrops(
  networks: Networks,
  scan: ScanOnGrid,
  z: number,
  crops: readonly PlaneBox[],
): Promise<CroppedSlice> {
  const image = scan.image(z);
  const box = around(crops);
  const [rows, columns] = [box.stop[0] - box.start[0], box.stop[1] - box.start[1]];
  const summed = new Float32Array(3 * rows * columns);
  const once = scan.plan.flip_averaging === "none";
  for (const crop of crops) {
    const edge = crop.stop[0] - crop.start[0];
    const pixels = cutFloats(image, scan.plan.grid_size, crop);
    const classes = once
      ? await networks.run("segmenter", pixels, edge)
      : await flipAveraged(networks, "segmenter", pixels, edge);
    for (let line = 0; line < 3 * edge; line += 1) {
      const channel = Math.floor(line / edge);
      const y = (line % edge) + crop.start[0] - box.start[0];
      const to = (channel * rows + y) * columns + crop.start[1] - box.start[1];
      for (let x = 0; x < edge; x += 1) summed[to + x] += classes[line * edge + x];
    }
  }
  return read(summed, box, rows, columns);
}

/** Lay stage 2's labels over stage 1's, in place. */
export function layOver(labels: Bytes3, slices: ReadonlyMap<number, CroppedSlice>): void {
  for (const [z, seen] of slices) copyWhere(labels.plane(z), seen.box, seen.labels, seen.covered);
}

/** Copy a part into a plane where a mask of its shape says so. */
export function copyWhere(plane: Plane, box: PlaneBox, part: Plane, where: Plane): void {
  for (let y = 0; y < part.rows; y += 1) {
    const to = (y + box.start[0]) * plane.columns + box.start[1];
    for (let x = 0; x < part.columns; x += 1) {
      const at = y * part.columns + x;
      if (where.data[at] !== 0) plane.data[to + x] = part.data[at];
    }
  }
}

function read(summed: Float32Array, box: PlaneBox, rows: number, columns: number): CroppedSlice {
  const seen: CroppedSlice = {
    box,
    covered: new Plane(rows, columns),
    labels: new Plane(rows, columns),
    kidney: new Plane(rows, columns),
    tumour: new Plane(rows, columns),
  };
  const size = rows * columns;
  for (let at = 0; at < size; at += 1) {
    const [background, kidney, tumour] = [summed[at], summed[size + at], summed[2 * size + at]];
    const total = Math.fround(Math.fround(background + kidney) + tumour);
    if (total <= 0) continue;
    seen.covered.data[at] = 1;
    seen.labels.data[at] = likeliest(background, kidney, tumour);
    seen.kidney.data[at] = toByte(Math.fround(kidney + tumour) / total);
    seen.tumour.data[at] = toByte(tumour / total);
  }
  return seen;
}
