/** Where the middle of the body is in each slice, and its spine (src/renalmap/anatomy/body.py). */

import type { Pair } from "../arrays";
import { sliceOf, type Volume } from "../imaging/volume";
import { interpolate, median } from "../numbers";

const SLICE_PITCH_MM = 5;
const MOST_SLICES = 100;
const BODY_FROM_HU = -300;
const BODY_FROM_CLIPPED_HU = 10;
const BONE_FROM_HU = 250;
const TALL_COLUMN_SHARE = 0.3;
const SPINE_HALF_WIDTH_MM = 40;
const SPINE_LEAST_MM2 = 150;
const SMOOTHING_SLICES = 6;

/** The trunk's middle in slices some millimetres apart; NaN where no body was seen. */
export class BodyTrack {
  private readonly knownZ: number[];
  private readonly knownX: number[];

  constructor(
    z: readonly number[],
    /** The body's midline in voxels; that of the spine if there is one. */
    readonly middleX: readonly number[],
    private readonly columns: number,
  ) {
    const known = z.map((_, index) => index).filter((index) => Number.isFinite(middleX[index]));
    this.knownZ = known.map((index) => z[index]);
    this.knownX = known.map((index) => middleX[index]);
  }

  /** Whether a body was seen at all. */
  get isKnown(): boolean {
    return this.knownZ.length > 0;
  }

  /** The midline in voxels at any slice; the middle of the scan if no body was seen. */
  at(z: number): number {
    if (!this.isKnown) return (this.columns - 1) / 2;
    return interpolate(z, this.knownZ, this.knownX);
  }
}

/** Find the body's midline from its outline, and the spine from the bone around that midline. */
export function trackBody(volume: Volume): BodyTrack {
  const [depth, rows, columns] = volume.shape;
  const pitch = Math.max(
    1,
    Math.floor(SLICE_PITCH_MM / volume.spacingMm[0]),
    Math.ceil(depth / MOST_SLICES),
  );
  const chosen = Array.from({ length: Math.ceil(depth / pitch) }, (_, index) => index * pitch);
  const clipped = chosen.every((z) => sliceOf(volume, z).every((value) => value >= 0));
  const bodyFromHu = clipped ? BODY_FROM_CLIPPED_HU : BODY_FROM_HU;
  const outline: number[] = [];
  const spines: Pair[] = [];
  for (const z of chosen) {
    const hu = sliceOf(volume, z);
    const box = trunkBox(hu, rows, columns, bodyFromHu);
    const middle = box === null ? Number.NaN : (box.left + box.right - 1) / 2;
    outline.push(middle);
    spines.push(box === null ? [Number.NaN, Number.NaN] : spineIn(hu, box, middle, volume));
  }
  const middleX = runningMedian(spines).map(([, x], index) => (Number.isFinite(x) ? x : outline[index]));
  return new BodyTrack(chosen, middleX, columns);
}

interface TrunkBox {
  top: number;
  bottom: number;
  left: number;
  right: number;
}

/** The trunk in a slice; the table below it and stray pixels left out. */
function trunkBox(
  hu: Int16Array | Float32Array,
  rows: number,
  columns: number,
  fromHu: number,
): TrunkBox | null {
  const heights = new Int32Array(columns);
  for (let at = 0; at < hu.length; at += 1) if (hu[at] > fromHu) heights[at % columns] += 1;
  if (!heights.some((height) => height > 0)) return null;
  const [left, right] = tallSpan(heights);
  const widths = new Int32Array(rows);
  for (let y = 0; y < rows; y += 1) {
    for (let x = left; x < right; x += 1) if (hu[y * columns + x] > fromHu) widths[y] += 1;
  }
  const [top, bottom] = tallSpan(widths);
  return { top, bottom, left, right };
}

function tallSpan(counts: Int32Array): Pair {
  const least = TALL_COLUMN_SHARE * counts.reduce((most, count) => Math.max(most, count), 0);
  const isTall = (count: number) => count >= least;
  return [counts.findIndex(isTall), counts.findLastIndex(isTall) + 1];
}

/** Median row and column of the bone around the midline in the back half of the body; NaN if too little. */
function spineIn(
  hu: Int16Array | Float32Array,
  box: TrunkBox,
  middleX: number,
  { spacingMm, shape }: Volume,
): Pair {
  const columns = shape[2];
  const half = SPINE_HALF_WIDTH_MM / spacingMm[2];
  const top = (box.top + box.bottom) >> 1;
  const left = Math.max(0, Math.trunc(middleX - half));
  const right = Math.min(columns, Math.trunc(middleX + half) + 1);
  const [ys, xs]: number[][] = [[], []];
  for (let y = top; y < box.bottom; y += 1) {
    for (let x = left; x < right; x += 1) {
      if (hu[y * columns + x] < BONE_FROM_HU) continue;
      ys.push(y);
      xs.push(x);
    }
  }
  if (ys.length * spacingMm[1] * spacingMm[2] < SPINE_LEAST_MM2) return [Number.NaN, Number.NaN];
  return [median(ys), median(xs)];
}

/** Median over the neighbouring slices, so that stray bone in one slice has no effect. */
function runningMedian(track: readonly Pair[]): Pair[] {
  return track.map((_, index) => {
    const near = track
      .slice(Math.max(0, index - SMOOTHING_SLICES), index + SMOOTHING_SLICES + 1)
      .filter(([y]) => Number.isFinite(y));
    if (near.length === 0) return [Number.NaN, Number.NaN];
    return [median(near.map(([y]) => y)), median(near.map(([, x]) => x))];
  });
}
