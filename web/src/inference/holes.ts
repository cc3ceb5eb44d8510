/** Tiny holes in slices of a kidney (src/renalmap/inference/holes.py). */

import { type Bytes3, Plane } from "../arrays";
import { connectedBlobs } from "../imaging/connected";
import { BACKGROUND, KIDNEY, TUMOUR } from "../labels";

/** Fill background that kidney and tumour enclose within a slice, in place. */
export function fillHoles(labels: Bytes3, pixelMm2: number, largestMm2: number): void {
  for (let z = 0; z < labels.shape[0]; z += 1) {
    const plane = labels.plane(z);
    const { rows, columns } = plane;
    if (plane.bounds() === null) continue;
    const background = new Plane(rows, columns);
    plane.data.forEach((label, at) => {
      background.data[at] = label === BACKGROUND ? 1 : 0;
    });
    for (const { box, inside } of connectedBlobs(background, 4)) {
      const open =
        box.start[0] === 0 || box.start[1] === 0 || box.stop[0] === rows || box.stop[1] === columns;
      if (open || inside.count() * pixelMm2 > largestMm2) continue;
      const pixels: number[] = [];
      inside.data.forEach((value, at) => {
        const y = Math.floor(at / inside.columns) + box.start[0];
        if (value !== 0) pixels.push(y * columns + (at % inside.columns) + box.start[1]);
      });
      const label = labelAbout(plane, pixels);
      for (const at of pixels) plane.data[at] = label;
    }
  }
}

function labelAbout({ data, columns }: Plane, pixels: readonly number[]): number {
  const counts = [0, 0, 0];
  for (const at of pixels) {
    for (const step of [-columns, columns, -1, 1]) counts[data[at + step]] += 1;
  }
  return counts[TUMOUR] > counts[KIDNEY] ? TUMOUR : KIDNEY;
}
