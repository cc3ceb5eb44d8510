/** The crops stage 2 takes from a slice (src/renalmap/preprocess/spatial.py). */

import type { Pair, Plane, PlaneBox } from "../arrays";
import type { Plan } from "../bundle/plan";
import { connectedBlobs } from "../imaging/connected";
import { clamp, roundHalfEven } from "../numbers";

/** One crop about each 8-connected blob, largest first; or one about all. None for an empty slice. */
export function cropBoxes(foreground: Plane, plan: Plan): PlaneBox[] {
  const all = foreground.bounds();
  if (all === null) return [];
  if (plan.crop === "slice") return [cropAbout(centroid(foreground), all, plan)];
  const blobs = connectedBlobs(foreground).map((blob) => ({ ...blob, pixels: blob.inside.count() }));
  blobs.sort((one, other) => other.pixels - one.pixels);
  const boxes: PlaneBox[] = [];
  for (const { box, inside } of blobs) {
    if (boxes.some((each) => holds(each, box, plan))) continue;
    const [y, x] = centroid(inside);
    boxes.push(cropAbout([y + box.start[0], x + box.start[1]], box, plan));
  }
  return boxes;
}

/** The crop about a blob: narrow where that holds it with the Plan's margin. */
export function cropAbout(centre: Pair, extent: PlaneBox, plan: Plan): PlaneBox {
  if (plan.narrow_crop_size !== null) {
    const narrow = cropBox(centre, plan, plan.narrow_crop_size);
    if (holds(narrow, extent, plan)) return narrow;
  }
  return cropBox(centre, plan, plan.crop_size);
}

/** The centre of gravity (y, x) of what is not 0; there must be something. */
export function centroid(mask: Plane): Pair {
  let [count, rows, columns] = [0, 0, 0];
  for (let y = 0; y < mask.rows; y += 1) {
    for (let x = 0; x < mask.columns; x += 1) {
      if (mask.data[y * mask.columns + x] === 0) continue;
      count += 1;
      rows += y;
      columns += x;
    }
  }
  return [rows / count, columns / count];
}

function cropBox(centre: Pair, plan: Plan, edge: number): PlaneBox {
  const [y, x] = centre.map((each) => clamp(roundHalfEven(each - edge / 2), 0, plan.grid_size - edge));
  return { start: [y, x], stop: [y + edge, x + edge] };
}

/** Whether a box contains an extent with the Plan's margin; none is needed at the grid's edge. */
function holds(box: PlaneBox, extent: PlaneBox, plan: Plan): boolean {
  return [0, 1].every((axis) => {
    const [low, high] = [box.start[axis], box.stop[axis]];
    return (
      (low === 0 || extent.start[axis] - low >= plan.crop_margin) &&
      (high === plan.grid_size || high - extent.stop[axis] >= plan.crop_margin)
    );
  });
}
