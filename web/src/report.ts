/** The numbers of a segmentation, as the page shows and saves them; fields are named as in `renalmap measure`. */

import { type Flag, raiseFlags } from "./anatomy/flags";
import { voxelMlOf } from "./anatomy/midline";
import { type Anatomy, readAnatomy, tumoursOf } from "./anatomy/reading";
import { type Border, type Side, type Voxels, withoutIslands } from "./anatomy/voxels";
import type { Bundle } from "./bundle/bundle";
import { doubtHounsfield, type HuRange, huRangeOf } from "./imaging/hounsfield";
import type { Volume } from "./imaging/volume";
import type { Segmentation } from "./inference/cascade";
import { axialDiameter, longestLineMm } from "./measure/diameters";

export interface KidneyNumbers {
  id: number;
  side: Side | null;
  parenchyma_ml: number;
  tumour_ml: number;
  length_mm: number;
}

export interface TumourNumbers {
  id: number;
  /** `id` of the kidney it belongs to; null if no kidney is near it. */
  kidney: number | null;
  side: Side | null;
  volume_ml: number;
  longest_axial_diameter_mm: number;
  /** Counted from 0 at the feet. */
  slice: number;
  borders: Border[];
}

export interface Report {
  name: string;
  made_by: string;
  /** SHA-256 that names the bundle's content. */
  bundle: string;
  shape_zyx: number[];
  spacing_mm: number[];
  hu: HuRange;
  kidneys: KidneyNumbers[];
  tumours: TumourNumbers[];
  flags: Flag[];
  /** What else a reader should know, a sentence each. */
  notes: string[];
  /** What was taken for a mistake. */
  dropped: { volume_ml: number; centre_zyx: number[]; reason: string }[];
}

export function reportOn(volume: Volume, found: Segmentation, bundle: Bundle): Report {
  const anatomy = readAnatomy(found.labels, volume);
  const hu = huRangeOf(volume);
  const doubt = doubtHounsfield(hu);
  return {
    name: volume.name,
    made_by: "RenalMap in the browser",
    bundle: bundle.digest,
    shape_zyx: volume.shape,
    spacing_mm: volume.spacingMm,
    hu,
    kidneys: kidneyNumbers(anatomy),
    tumours: tumourNumbers(anatomy),
    flags: raiseFlags(anatomy, volume, doubt === null),
    notes: [...(doubt === null ? [] : [doubt]), ...volume.notes, ...found.notes],
    dropped: found.dropped.map(({ volumeMl, centre, reason }) => ({
      volume_ml: volumeMl,
      centre_zyx: centre,
      reason,
    })),
  };
}

function kidneyNumbers(anatomy: Anatomy): KidneyNumbers[] {
  const ml = (parts: Voxels[]) =>
    parts.reduce((sum, part) => sum + part.size, 0) * voxelMlOf(anatomy.grid);
  return anatomy.kidneys.map((kidney) => {
    const own = kidney.pieces.map((piece) => piece.own);
    return {
      id: kidney.number,
      side: kidney.side,
      parenchyma_ml: rounded(ml(own), 3),
      tumour_ml: rounded(ml(tumoursOf(anatomy, kidney).map((tumour) => tumour.voxels)), 3),
      length_mm: rounded(longestLineMm(withoutIslands(own), anatomy.grid.spacingMm), 2),
    };
  });
}

function tumourNumbers({ kidneys, tumours, grid }: Anatomy): TumourNumbers[] {
  return tumours.map(({ number, voxels, kidney, side, borders }) => {
    const { lengthMm, slice } = axialDiameter(voxels, grid.spacingMm);
    return {
      id: number,
      kidney: kidneys.find((each) => each.id === kidney)?.number ?? null,
      side,
      volume_ml: rounded(voxels.size * voxelMlOf(grid), 3),
      longest_axial_diameter_mm: rounded(lengthMm, 2),
      slice,
      borders,
    };
  });
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
