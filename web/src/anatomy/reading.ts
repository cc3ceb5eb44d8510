/** One reading of a label map: its kidneys and tumours (src/renalmap/anatomy/reading.py and lesions.py). */

import type { Bytes3 } from "../arrays";
import type { Volume } from "../imaging/volume";
import { KIDNEY, TUMOUR } from "../labels";
import { type BodyTrack, trackBody } from "./body";
import { assembleKidneys, gapMm, type Kidney, SPECK_BELOW_ML } from "./kidneys";
import { type Grid, locateMidline, type Midline, voxelMlOf } from "./midline";
import { type Border, bordersOf, inOrder, largestFirst, type Side, type Voxels } from "./voxels";

const BELONGS_WITHIN_MM = 10;

/** A connected tumour. */
export interface Lesion {
  number: number;
  voxels: Voxels;
  /** `id` of the kidney it belongs to; null if no kidney is near it. */
  kidney: string | null;
  side: Side | null;
  crossesMidline: boolean;
  borders: Border[];
}

export interface Anatomy {
  grid: Grid;
  midline: Midline;
  /** Whether anything is labelled at all. */
  isEmpty: boolean;
  /** Left before right, largest first. */
  kidneys: Kidney[];
  /** Largest first. */
  tumours: Lesion[];
  /** Components too small to be measured: not included in any volume. */
  specks: Voxels[];
}

/** Read the labels of a scan, which may be empty. */
export function readAnatomy(
  labels: Bytes3,
  volume: Volume,
  body: BodyTrack = trackBody(volume),
): Anatomy {
  const grid: Grid = { shape: volume.shape, spacingMm: volume.spacingMm };
  const voxelMl = voxelMlOf(grid);
  const components = largestFirst(labels);
  const own = components.map((component) => component.only(labels, KIDNEY));
  const midline = locateMidline(own, grid, body);
  const kidneys = assembleKidneys(own, grid, midline);
  const tumours: Lesion[] = [];
  const isSpeck = ({ size }: Voxels) => size > 0 && size * voxelMl < SPECK_BELOW_ML;
  const specks = own.filter(isSpeck);
  for (const voxels of largestFirst(labels, TUMOUR)) {
    if (isSpeck(voxels)) {
      specks.push(voxels);
      continue;
    }
    const component = components.findIndex((each) => each.holds(voxels));
    tumours.push({
      number: tumours.length + 1,
      voxels,
      ...ownerOf(voxels, component, kidneys, midline, grid),
      crossesMidline: midline.basis !== "field_of_view" && midline.crossedBy(voxels, voxelMl),
      borders: bordersOf([voxels], grid.shape),
    });
  }
  return { grid, midline, isEmpty: components.length === 0, kidneys, tumours, specks };
}

/** The tumours that belong to a kidney. */
export function tumoursOf(anatomy: Anatomy, kidney: Kidney): Lesion[] {
  return anatomy.tumours.filter((tumour) => tumour.kidney === kidney.id);
}

/** Borders of the scan that a kidney or a tumour of it touches. */
export function bordersWithTumours(anatomy: Anatomy, kidney: Kidney): Border[] {
  const borders = tumoursOf(anatomy, kidney).flatMap((tumour) => tumour.borders);
  return inOrder([...kidney.borders, ...borders]);
}

/** The kidney that a tumour is connected to, or else the nearest; of two equally near, the one on its side. */
function ownerOf(
  voxels: Voxels,
  component: number,
  kidneys: readonly Kidney[],
  midline: Midline,
  grid: Grid,
): { kidney: string | null; side: Side | null } {
  const connected = kidneys.find(({ pieces }) =>
    pieces.some((piece) => piece.component === component && !piece.isHalf),
  );
  if (connected !== undefined) return { kidney: connected.id, side: connected.side };
  const ownSide = voxels.side(midline.track);
  const near = kidneys.map((kidney) => ({
    kidney,
    gap: gapMm(
      voxels,
      kidney.pieces.map((piece) => piece.own),
      grid,
    ),
    isOther: kidney.side !== null && kidney.side !== ownSide ? 1 : 0,
  }));
  near.sort((one, other) => one.gap - other.gap || one.isOther - other.isOther);
  if (near.length > 0 && near[0].gap <= BELONGS_WITHIN_MM) {
    return { kidney: near[0].kidney.id, side: near[0].kidney.side };
  }
  return { kidney: null, side: kidneys.some((kidney) => kidney.side === null) ? null : ownSide };
}
