/** The numbers of a segmentation, as the page shows and saves them. */

import type { Bytes3 } from "./arrays";
import type { Bundle } from "./bundle/bundle";
import { doubtHounsfield, type HuRange, huRangeOf } from "./imaging/hounsfield";
import type { Volume } from "./imaging/volume";
import type { Segmentation } from "./inference/cascade";
import { KIDNEY, TUMOUR } from "./labels";

export interface Report {
  name: string;
  made_by: string;
  /** SHA-256 that names the bundle's content. */
  bundle: string;
  shape_zyx: number[];
  spacing_mm: number[];
  hu: HuRange;
  volumes_ml: { kidney: number; tumour: number };
  /** What a reader should know first, a sentence each. */
  notes: string[];
  /** What was taken for a mistake. */
  dropped: { volume_ml: number; centre_zyx: number[]; reason: string }[];
}

export function reportOn(volume: Volume, found: Segmentation, bundle: Bundle): Report {
  const voxelMl = volume.spacingMm.reduce((product, each) => product * each, 1e-3);
  const [kidney, tumour] = [KIDNEY, TUMOUR].map((label) => countOf(found.labels, label) * voxelMl);
  const nothing = kidney + tumour === 0 ? ["no kidney was found: nothing is labelled in this scan"] : [];
  const hu = huRangeOf(volume);
  const doubt = doubtHounsfield(hu);
  return {
    name: volume.name,
    made_by: "RenalMap in the browser",
    bundle: bundle.digest,
    shape_zyx: volume.shape,
    spacing_mm: volume.spacingMm,
    hu,
    volumes_ml: { kidney, tumour },
    notes: [...nothing, ...(doubt === null ? [] : [doubt]), ...volume.notes, ...found.notes],
    dropped: found.dropped.map(({ volumeMl, centre, reason }) => ({
      volume_ml: volumeMl,
      centre_zyx: centre,
      reason,
    })),
  };
}

function countOf({ data }: Bytes3, label: number): number {
  let count = 0;
  for (let at = 0; at < data.length; at += 1) if (data[at] === label) count += 1;
  return count;
}
