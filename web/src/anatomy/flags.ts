/** What a reader of an anatomy should know first (src/renalmap/anatomy/flags.py). */

import type { Volume } from "../imaging/volume";
import { roundHalfEven } from "../numbers";
import { crossesMidline, SPECK_BELOW_ML } from "./kidneys";
import { voxelMlOf } from "./midline";
import { type Anatomy, bordersWithTumours } from "./reading";
import type { Border } from "./voxels";

const THICK_SLICES_MM = 5;
/** A homogeneous mass that is not brighter is a simple cyst in the Bosniak classification of 2019. */
const FLUID_BELOW_HU = 20;
const BORDER_NAMES: Partial<Record<Border, string>> = { feet: "first slice", head: "last slice" };

export interface Flag {
  code: string;
  text: string;
}

/** The flags of an anatomy, the most serious first; `isHu`: whether the scan's values can be HU. */
export function raiseFlags(anatomy: Anatomy, volume: Volume, isHu: boolean): Flag[] {
  const grid = [...new Set(volume.doubts)].map((text) => ({ code: "grid_doubtful", text }));
  const apart = anatomy.tumours
    .filter((tumour) => tumour.kidney === null && anatomy.kidneys.length > 0)
    .map(({ number }) => ({
      code: "lesion_without_kidney",
      text: `tumour ${number} is not near any kidney`,
    }));
  const dark = isHu ? likeFluid(anatomy, volume) : [];
  const kinds = [kidneyFlags, sideFlags, cutFlags];
  return [
    ...grid,
    ...kinds.flatMap((raise) => raise(anatomy)),
    ...apart,
    ...dark,
    ...otherFlags(anatomy),
  ];
}

/** Tumours that are as dark as a cyst. */
function likeFluid({ tumours }: Anatomy, volume: Volume): Flag[] {
  const means = tumours.map(({ number, voxels }) => ({ number, hu: voxels.meanOf(volume) }));
  return means
    .filter(({ hu }) => hu < FLUID_BELOW_HU)
    .map(({ number, hu }) => ({
      code: "lesion_like_fluid",
      text: `tumour ${number} is as dark as fluid (${roundHalfEven(hu)} HU): it may be a cyst`,
    }));
}

function kidneyFlags({ kidneys, isEmpty }: Anatomy): Flag[] {
  const count = kidneys.length;
  if (count === 0) {
    const text = isEmpty
      ? "no kidney was found: nothing is labelled in this scan"
      : "no kidney was found";
    return [{ code: "no_kidney_found", text }];
  }
  if (count === 1) {
    const { side } = kidneys[0];
    const other = side === "left" ? "right" : "left";
    const known = `only the ${side} kidney was found, none on the ${other}`;
    return [
      { code: "only_one_kidney_found", text: side === null ? "only one kidney was found" : known },
    ];
  }
  if (count === 2) return [];
  const text = `${count} kidneys were found: a transplant, or pieces of one far apart`;
  return [{ code: "more_than_two_kidneys", text }];
}

function sideFlags({ kidneys, tumours, midline }: Anatomy): Flag[] {
  const flags: Flag[] = [];
  if (kidneys.some(crossesMidline)) {
    const text =
      "kidney tissue crosses the midline (a horseshoe kidney, or a mistake), where it is divided into left and right";
    flags.push({ code: "crosses_midline", text });
  }
  for (const tumour of tumours.filter((each) => each.crossesMidline)) {
    const owner = tumour.kidney === null ? `on the ${tumour.side}` : `with the ${tumour.side} kidney`;
    const text = `tumour ${tumour.number} reaches across the midline: all of it is counted ${owner}`;
    flags.push({ code: "lesion_crosses_midline", text });
  }
  if (midline.basis !== "field_of_view") return flags;
  if (kidneys.some((kidney) => kidney.side === null)) {
    const text =
      "the kidney lies near the middle of the field of view: the scan shows no body, so its side cannot be determined";
    flags.push({ code: "side_uncertain", text });
  } else if (kidneys.length > 0) {
    const text = "left and right were determined by the middle of the field of view alone";
    flags.push({ code: "side_from_field_of_view", text });
  }
  return flags;
}

function cutFlags(anatomy: Anatomy): Flag[] {
  const kidneys = anatomy.kidneys.map((kidney) => ({
    code: "kidney_incomplete",
    name: kidney.side === null ? "a kidney" : `the ${kidney.side} kidney`,
    borders: bordersWithTumours(anatomy, kidney),
  }));
  const tumours = anatomy.tumours.map(({ number, borders }) => ({
    code: "lesion_incomplete",
    name: `tumour ${number}`,
    borders,
  }));
  return [...kidneys, ...tumours]
    .filter(({ borders }) => borders.length > 0)
    .map(({ code, name, borders }) => {
      const where = borders.map((border) => BORDER_NAMES[border] ?? `${border} edge`).join(", ");
      return { code, text: `${name} is truncated (${where}): its measurements are lower bounds` };
    });
}

function otherFlags({ specks, grid }: Anatomy): Flag[] {
  const flags: Flag[] = [];
  const [pitchMm] = grid.spacingMm;
  if (pitchMm > THICK_SLICES_MM) {
    const text = `slices are ${pitchMm.toFixed(1)} mm apart: small lesions and lengths across slices are measured only coarsely`;
    flags.push({ code: "thick_slices", text });
  }
  if (specks.length > 0) {
    const totalMl = specks.reduce((sum, speck) => sum + speck.size, 0) * voxelMlOf(grid);
    const text =
      `${specks.length} specks below ${SPECK_BELOW_ML} ml (${totalMl.toFixed(3)} ml in all) ` +
      "are not included in any measurement";
    flags.push({ code: "specks_left_out", text });
  }
  return flags;
}
