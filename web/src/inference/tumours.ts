/** Which of stage 2's tumours are accepted (src/renalmap/inference/tumours.py). */

import type { Bytes3 } from "../arrays";
import type { Plan } from "../bundle/plan";
import { KIDNEY, TUMOUR } from "../labels";
import { percentile } from "../numbers";
import { type Component, type DroppedComponent, findComponents, largestFirst } from "./components";
import type { Placement } from "./placement";

const PEAK_PERCENTILE = 95;

/** Relabel doubtful 26-connected tumours as kidney, in place. */
export function relabelDoubtfulTumours(
  labels: Bytes3,
  probability: Bytes3,
  placement: Placement,
  plan: Plan,
): DroppedComponent[] {
  const dropped: DroppedComponent[] = [];
  for (const component of findComponents(labels, placement, TUMOUR)) {
    const doubt = whyDoubtful(component, component.valuesOf(probability), plan);
    if (doubt === null) continue;
    component.relabel(labels, KIDNEY);
    dropped.push(component.dropped(`tumour: ${doubt}; relabelled kidney`));
  }
  return largestFirst(dropped);
}

function whyDoubtful(component: Component, values: Uint8Array, plan: Plan): string | null {
  const { isCut, sectionMm2, volumeMl } = component;
  if (isCut && sectionMm2 < plan.tumour_min_area_mm2) {
    return `largest section ${sectionMm2.toFixed(0)} mm2 < ${plan.tumour_min_area_mm2} mm2`;
  }
  if (!isCut && volumeMl < plan.tumour_min_ml) {
    return `volume ${volumeMl.toFixed(1)} ml < ${plan.tumour_min_ml} ml`;
  }
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length / 255;
  if (mean < plan.tumour_min_mean_probability) {
    return `mean probability ${mean.toFixed(2)} < ${plan.tumour_min_mean_probability}`;
  }
  const peak = percentile(values, PEAK_PERCENTILE) / 255;
  if (peak < plan.tumour_min_peak_probability) {
    return `peak probability ${peak.toFixed(2)} < ${plan.tumour_min_peak_probability}`;
  }
  return null;
}
