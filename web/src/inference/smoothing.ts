/** Gaussian smoothing across slices (src/renalmap/inference/smoothing.py). */

import type { Bytes3 } from "../arrays";
import { BACKGROUND, KIDNEY, TUMOUR } from "../labels";
import { roundHalfEven } from "../numbers";

const TRUNCATED_AT_SIGMAS = 2.5;

/** Over how many slices up and down a voxel is averaged. */
export function reachSlices(sigmaMm: number, sliceDistanceMm: number): number {
  return Math.trunc((TRUNCATED_AT_SIGMAS * sigmaMm) / sliceDistanceMm + 1e-6);
}

/** Weights of the slices -reach ... +reach; their sum is 1. */
export function gaussianWeights(sigmaMm: number, sliceDistanceMm: number): Float32Array {
  const reach = reachSlices(sigmaMm, sliceDistanceMm);
  if (reach === 0) return Float32Array.of(1);
  const weights = Array.from({ length: 2 * reach + 1 }, (_, index) =>
    Math.exp(-0.5 * (((index - reach) * sliceDistanceMm) / sigmaMm) ** 2),
  );
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return Float32Array.from(weights, (weight) => weight / total);
}

/** Average each voxel with those above and below it, in place; at the ends the weights left count as 1. */
export function smoothAcrossSlices(values: Bytes3, weights: Float32Array): void {
  const depth = values.shape[0];
  const reach = weights.length >> 1;
  const size = values.shape[1] * values.shape[2];
  const total = new Float32Array(size);
  const below: Uint8Array[] = []; // as they were
  for (let z = 0; z < depth; z += 1) {
    const planes = [...below];
    for (let near = z; near <= Math.min(z + reach, depth - 1); near += 1) {
      planes.push(values.plane(near).data);
    }
    total.fill(0);
    let taken = 0;
    planes.forEach((plane, index) => {
      const weight = weights[reach - below.length + index];
      for (let at = 0; at < size; at += 1) total[at] += Math.fround(plane[at] * weight);
      taken += weight;
    });
    const own = values.plane(z).data;
    below.push(own.slice());
    if (below.length > reach) below.shift();
    const scale = Math.fround(taken);
    for (let at = 0; at < size; at += 1) own[at] = roundHalfEven(Math.fround(total[at] / scale));
  }
}

/** The label with the highest probability, on any scale; of equals the lower label. */
export function likeliest(background: number, kidney: number, tumour: number): number {
  if (tumour > kidney && tumour > background) return TUMOUR;
  return kidney > background ? KIDNEY : BACKGROUND;
}
