/** The cascade: localizer on slices, segmenter on crops, masks laid back (src/renalmap/inference/cascade.py). */

import { trackBody } from "../anatomy/body";
import { around, type Box, type Bytes3, Plane, type PlaneBox } from "../arrays";
import type { Bundle } from "../bundle/bundle";
import { InputError } from "../errors";
import type { Volume } from "../imaging/volume";
import { BACKGROUND } from "../labels";
import { median } from "../numbers";
import type { DroppedComponent } from "./components";
import { type CroppedSlice, type Crops, copyWhere, layOver, placeCrops, segmentCrops } from "./cropping";
import { type FollowedSection, Follower } from "./following";
import { ScanOnGrid } from "./grid";
import { keepForeground, Localizer, localize } from "./localizing";
import { mapAhead, type Networks } from "./networks";
import { GridProbabilities } from "./probability";
import { applyRules } from "./rules";
import { SliceSearch, searchPitch } from "./search";
import { gaussianWeights, likeliest, reachSlices, smoothAcrossSlices } from "./smoothing";

const SMALLEST_SLICE_MM = 10;

export type Stage = "stage 1" | "stage 2" | "following" | "rules";
export type Progress = (stage: Stage, done: number, total: number) => void;

export interface Segmentation {
  /** On the scan's canonical grid. */
  labels: Bytes3;
  /** What was taken for a mistake, by either stage. */
  dropped: DroppedComponent[];
  /** What a reader of the labels should know, a sentence each. */
  notes: string[];
}

/** What stage 2 saw: about stage 1's blobs, by slice, and the sections it found beyond. */
interface Seen {
  crops: Crops;
  slices: Map<number, CroppedSlice>;
  followed: FollowedSection[];
}

/** Segment a scan. */
export async function segment(
  volume: Volume,
  bundle: Bundle,
  networks: Networks,
  progress: Progress,
): Promise<Segmentation> {
  checkSlices(volume);
  const scan = new ScanOnGrid(volume, bundle);
  const localizer = new Localizer(networks, scan);
  const labels = await localize(localizer, searchFor(scan), (done, total) =>
    progress("stage 1", done, total),
  );
  const dropped = keepForeground(labels, scan);
  const seen = await lookCloser(scan, localizer, networks, labels, progress);
  progress("rules", 0, 1);
  const probability = gather(scan, localizer, labels, seen);
  let notes: string[] = [];
  if (probability !== null) {
    smooth(scan, labels, probability, seen);
    const inside = labels.cut(probability.box);
    const outcome = applyRules(inside, probability, scan.placement(probability.origin), scan.plan, {
      midlineX: () => midlineX(scan, probability),
      huIn: (z, box) => scan.huIn(z + probability.origin[0], beyond(box, probability)),
    });
    labels.paste(inside, probability.origin);
    dropped.push(...outcome.dropped);
    notes = outcome.notes;
  }
  progress("rules", 1, 1);
  const moved = dropped.map(({ centre: [z, y, x], ...each }) => ({
    ...each,
    centre: [z, ...scan.fit.placeOnScan([y, x])] as DroppedComponent["centre"],
  }));
  return { labels: scan.labelsOnScan(labels), dropped: moved, notes };
}

function checkSlices({ shape, spacingMm, name }: Volume): void {
  const extent = [shape[1] * spacingMm[1], shape[2] * spacingMm[2]];
  if (Math.min(...extent) >= SMALLEST_SLICE_MM) return;
  throw new InputError("the axial slices are too small to show a kidney", {
    where: name,
    got: `${extent.map((each) => each.toPrecision(3)).join(" x ")} mm`,
    expected: `at least ${SMALLEST_SLICE_MM} mm either way`,
  });
}

function searchFor(scan: ScanOnGrid): SliceSearch {
  const pitch = searchPitch(scan.depth, scan.sliceDistanceMm);
  return new SliceSearch(scan.depth, pitch, Math.max(pitch - 1, reachOf(scan)));
}

/** Lay stage 2's labels over stage 1's, and follow kidneys beyond them. */
async function lookCloser(
  scan: ScanOnGrid,
  localizer: Localizer,
  networks: Networks,
  labels: Bytes3,
  progress: Progress,
): Promise<Seen> {
  const crop = (z: number, boxes: readonly PlaneBox[]) => segmentCrops(networks, scan, z, boxes);
  const crops = placeCrops(labels, scan);
  const slices = new Map<number, CroppedSlice>();
  const looks = mapAhead(([z, boxes]: [number, PlaneBox[]]) => crop(z, boxes), crops, networks.lanes);
  for await (const [[z], seen] of looks) {
    slices.set(z, seen);
    progress("stage 2", slices.size, crops.size);
  }
  layOver(labels, slices);
  if (scan.plan.follow_gap_mm === 0) return { crops, slices, followed: [] };
  const follower = new Follower(scan, {
    lanes: networks.lanes,
    crop,
    stage1: (z) => localizer.look(z),
  });
  let steps = 0;
  const followed = await follower.follow(labels, () => {
    steps += 1;
    progress("following", steps, 0);
  });
  return { crops, slices, followed };
}

/** Both networks' probabilities in one box: stage 2's where it looked, elsewhere stage 1's of kidney. */
function gather(
  scan: ScanOnGrid,
  localizer: Localizer,
  labels: Bytes3,
  seen: Seen,
): GridProbabilities | null {
  const box = labels.bounds();
  if (box === null && seen.crops.size === 0) return null;
  const probability = new GridProbabilities(aboutAll(scan, box, seen));
  const droppedFrom = 255 * scan.plan.localizer_threshold;
  const { start, stop } = probability.box;
  for (let z = start[0]; z < stop[0]; z += 1) {
    const stage1 = localizer.seen(z)?.cut(probability.planeBox);
    if (stage1 === undefined) continue;
    const called = labels.plane(z).cut(probability.planeBox).data;
    const kidney = probability.kidney.plane(z - start[0]).data;
    stage1.data.forEach((value, at) => {
      kidney[at] = value >= droppedFrom && called[at] === BACKGROUND ? 0 : value;
    });
  }
  for (const [z, crop] of seen.slices) lay(probability, z, crop, crop.box, crop.covered);
  for (const found of seen.followed) {
    lay(probability, found.section.z, found, found.section.box, found.section.inside);
  }
  return probability;
}

function lay(
  { kidney, tumour, origin }: GridProbabilities,
  z: number,
  found: { kidney: Plane; tumour: Plane },
  box: PlaneBox,
  where: Plane,
): void {
  const place: PlaneBox = {
    start: [box.start[0] - origin[1], box.start[1] - origin[2]],
    stop: [box.stop[0] - origin[1], box.stop[1] - origin[2]],
  };
  copyWhere(kidney.plane(z - origin[0]), place, found.kidney, where);
  copyWhere(tumour.plane(z - origin[0]), place, found.tumour, where);
}

/** Smooth across slices and label anew, in place, wherever stage 2 looked within the Gaussian's reach. */
function smooth(scan: ScanOnGrid, labels: Bytes3, found: GridProbabilities, seen: Seen): void {
  const reach = reachOf(scan);
  const boxes = boxesOf(seen);
  if (reach === 0 || boxes.size === 0) return;
  const weights = gaussianWeights(scan.plan.smoothing_sigma_mm, scan.sliceDistanceMm);
  smoothAcrossSlices(found.kidney, weights);
  smoothAcrossSlices(found.tumour, weights);
  const { start, stop } = found.box;
  const { planeBox } = found;
  for (let z = start[0]; z < stop[0]; z += 1) {
    const lookedAt = new Plane(scan.plan.grid_size, scan.plan.grid_size);
    for (let near = z - reach; near <= z + reach; near += 1) {
      for (const box of boxes.get(near) ?? []) {
        for (let y = box.start[0]; y < box.stop[0]; y += 1) {
          const row = y * lookedAt.columns;
          lookedAt.data.fill(1, row + box.start[1], row + box.stop[1]);
        }
      }
    }
    const kidney = found.kidney.plane(z - start[0]);
    const tumour = found.tumour.plane(z - start[0]).data;
    const anew = new Plane(
      kidney.rows,
      kidney.columns,
      kidney.data.map((value, at) => likeliest(255 - value, value - tumour[at], tumour[at])),
    );
    copyWhere(labels.plane(z), planeBox, anew, lookedAt.cut(planeBox));
  }
}

/** The box about what stage 1 kept, about the crops, and as far up and down as is smoothed. */
function aboutAll(scan: ScanOnGrid, box: Box | null, seen: Seen): Box {
  const boxes = boxesOf(seen);
  const planes = [...boxes.values()].flat();
  const slices = [...boxes.keys()];
  const reach = planes.length > 0 ? reachOf(scan) : 0;
  if (box !== null) {
    planes.push({ start: [box.start[1], box.start[2]], stop: [box.stop[1], box.stop[2]] });
    slices.push(box.start[0], box.stop[0] - 1);
  }
  const plane = around(planes);
  return {
    start: [Math.max(0, Math.min(...slices) - reach), ...plane.start],
    stop: [Math.min(scan.depth, Math.max(...slices) + 1 + reach), ...plane.stop],
  };
}

/** Where stage 2 looked and labelled, by slice. */
function boxesOf({ crops, followed }: Seen): Crops {
  const boxes: Crops = new Map([...crops].map(([z, each]) => [z, [...each]]));
  for (const { section } of followed) {
    boxes.set(section.z, [...(boxes.get(section.z) ?? []), section.box]);
  }
  return boxes;
}

/** The body's midline at the kidneys' level, a column of the grid. */
function midlineX(scan: ScanOnGrid, { box }: GridProbabilities): number {
  const track = trackBody(scan.volume);
  const depth = box.stop[0] - box.start[0];
  const middles = Array.from({ length: depth }, (_, index) => track.at(box.start[0] + index));
  return scan.fit.column(median(middles));
}

/** A region of the probabilities' box, as one of the grid. */
function beyond(box: PlaneBox, { origin }: GridProbabilities): PlaneBox {
  return {
    start: [box.start[0] + origin[1], box.start[1] + origin[2]],
    stop: [box.stop[0] + origin[1], box.stop[1] + origin[2]],
  };
}

function reachOf(scan: ScanOnGrid): number {
  return Math.min(scan.depth, reachSlices(scan.plan.smoothing_sigma_mm, scan.sliceDistanceMm));
}
