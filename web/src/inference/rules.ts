/** The rules that follow the networks, in this order (src/renalmap/inference/rules.py). */

import type { Bytes3, PlaneBox } from "../arrays";
import type { Plan } from "../bundle/plan";
import { dropSmall } from "./components";
import { peelFat } from "./fat";
import { fillHoles } from "./holes";
import { keepTwoKidneys, type Outcome } from "./kidneys";
import type { Placement } from "./placement";
import type { GridProbabilities } from "./probability";
import { relabelDoubtfulTumours } from "./tumours";

/** What the rules may ask about the scan; worked out only when they do. */
export interface ScanFacts {
  /** The body's midline, a column of the grid. */
  midlineX: () => number;
  /** HU in a region of a slice of the labels' box. */
  huIn: (z: number, box: PlaneBox) => Float32Array;
}

/** Apply the Plan's rules to the networks' labels, in place. */
export function applyRules(
  labels: Bytes3,
  probability: GridProbabilities,
  placement: Placement,
  plan: Plan,
  scan: ScanFacts,
): Outcome {
  const [, yMm, xMm] = placement.spacingMm;
  if (plan.peel_fat_mm > 0) peelFat(labels, scan.huIn, [yMm, xMm], plan.peel_fat_mm);
  if (plan.fill_holes_mm2 > 0) fillHoles(labels, placement.pixelMm2, plan.fill_holes_mm2);
  const dropped = dropSmall(labels, placement, plan, true);
  const limits = [
    plan.tumour_min_ml,
    plan.tumour_min_area_mm2,
    plan.tumour_min_mean_probability,
    plan.tumour_min_peak_probability,
  ];
  if (limits.some((limit) => limit > 0)) {
    dropped.push(...relabelDoubtfulTumours(labels, probability.tumour, placement, plan));
  }
  if (plan.keep !== "two_kidneys" || !labels.any()) return { dropped, notes: [] };
  const kept = keepTwoKidneys(labels, probability, placement, scan.midlineX(), plan);
  return { dropped: [...dropped, ...kept.dropped], notes: kept.notes };
}
