/** The rule of two kidneys (src/renalmap/inference/kidneys.py). */

import type { Bytes3 } from "../arrays";
import type { Plan } from "../bundle/plan";
import { BACKGROUND, KIDNEY } from "../labels";
import { type Component, type DroppedComponent, findComponents, largestFirst } from "./components";
import { comesWithin, continuesAlongZ } from "./nearness";
import type { Placement } from "./placement";
import type { GridProbabilities } from "./probability";

type PatientSide = "right" | "left";

const COUNT_WORDS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/** A component that may be a kidney. */
interface Candidate {
  component: Component;
  /** Sum of its voxels' kidney probability. */
  evidenceMl: number;
  /** How much of it is labelled kidney rather than tumour. */
  kidneyMl: number;
  /** The sides it lies on; both for a horseshoe kidney. */
  sides: PatientSide[];
}

export interface Outcome {
  dropped: DroppedComponent[];
  notes: string[];
}

/** Keep two kidneys and what belongs to them; the rest becomes background, in place. */
export function keepTwoKidneys(
  labels: Bytes3,
  probability: GridProbabilities,
  placement: Placement,
  midlineX: number,
  plan: Plan,
): Outcome {
  const components = placement.scanSlices > 1 ? findComponents(labels, placement) : [];
  if (components.length === 0) return { dropped: [], notes: [] };
  const column = midlineX - placement.origin[2];
  const measure = measurer(labels, probability, placement, column, plan);
  // From the feet up already, and the sort is stable.
  const candidates = components.map(measure).sort((one, other) => other.evidenceMl - one.evidenceMl);
  const kidneys = chooseKidneys(candidates);
  const further: Candidate[] = [];
  const dropped: DroppedComponent[] = [];
  for (const candidate of candidates) {
    if (kidneys.includes(candidate) || belongs(candidate, kidneys, placement, plan)) continue;
    if (isKidneySized(candidate, kidneys, plan)) {
      further.push(candidate);
    } else {
      candidate.component.relabel(labels, BACKGROUND);
      dropped.push(candidate.component.dropped(whyNot(candidate, kidneys)));
    }
  }
  return { dropped: largestFirst(dropped), notes: notesOn(kidneys, further) };
}

/** The first, and the next that lies on no side the first lies on. */
function chooseKidneys(candidates: readonly Candidate[]): Candidate[] {
  const [first, ...others] = candidates;
  const second = others.find((other) => !shareASide(first, other));
  return second === undefined ? [first] : [first, second];
}

function measurer(
  labels: Bytes3,
  probability: GridProbabilities,
  placement: Placement,
  midlineColumn: number,
  plan: Plan,
): (component: Component) => Candidate {
  return (component) => {
    let [evidence, kidney, kidneyRight, voxelsRight] = [0, 0, 0, 0];
    component.each(labels, (index, x) => {
      evidence += probability.kidney.data[index] - probability.tumour.data[index];
      const right = x < midlineColumn ? 1 : 0;
      voxelsRight += right;
      if (labels.data[index] !== KIDNEY) return;
      kidney += 1;
      kidneyRight += right;
    });
    const rightShare = kidney > 0 ? kidneyRight / kidney : voxelsRight / component.size;
    const crosses = Math.min(rightShare, 1 - rightShare) >= plan.kidney_crossing_share;
    return {
      component,
      evidenceMl: (evidence / 255) * placement.voxelMl,
      kidneyMl: kidney * placement.voxelMl,
      sides: crosses ? ["right", "left"] : [rightShare > 0.5 ? "right" : "left"],
    };
  };
}

/** Whether it is part of a chosen kidney, or its tumour. */
function belongs(
  { component, kidneyMl }: Candidate,
  kidneys: readonly Candidate[],
  placement: Placement,
  plan: Plan,
): boolean {
  const limitMm = plan.kidney_joined_mm;
  const isTumour = kidneyMl < 0.5 * component.volumeMl;
  if (isTumour || component.isCut) {
    return kidneys.some((each) => comesWithin(component, each.component, placement.spacingMm, limitMm));
  }
  return kidneys.some((each) =>
    continuesAlongZ(component, each.component, placement.spacingMm[0], limitMm),
  );
}

/** Whether it is too large to be deleted, measured by the smaller of the chosen kidneys. */
function isKidneySized({ component }: Candidate, kidneys: readonly Candidate[], plan: Plan): boolean {
  const smaller = kidneys[kidneys.length - 1];
  const share = plan.further_kidney_min_share;
  if (component.isCut) {
    const least = (share * smaller.component.sectionMm2) / smaller.sides.length;
    return component.sectionMm2 >= least;
  }
  const referenceMl = smaller.kidneyMl / smaller.sides.length;
  return component.volumeMl >= Math.max(plan.further_kidney_min_ml, share * referenceMl);
}

function whyNot(candidate: Candidate, kidneys: readonly Candidate[]): string {
  const found = `rule of two kidneys: kidney in it ${candidate.evidenceMl.toFixed(1)} ml`;
  const rival = kidneys.find((kidney) => shareASide(kidney, candidate));
  if (rival === undefined) return `${found}, more in the two others`;
  const where = rival.sides.length === 2 ? "across the midline" : `on the ${rival.sides[0]}`;
  return `${found}, ${rival.evidenceMl.toFixed(1)} ml in the one ${where}`;
}

function notesOn(kidneys: readonly Candidate[], further: readonly Candidate[]): string[] {
  const notes: string[] = [];
  const crossing = kidneys[0].sides.length === 2;
  if (crossing) {
    notes.push("one component crosses the midline: a horseshoe kidney, or two joined by mistake");
  }
  if (further.length > 0) {
    const count = kidneys.length + further.length;
    const side = crossing ? ", one across the midline" : " on one side of the body";
    const where = kidneys.length === 1 ? side : "";
    notes.push(
      `${COUNT_WORDS[count] ?? count} kidney-sized components${where}: ` +
        "all are kept, though one may not be a kidney",
    );
  }
  return notes;
}

function shareASide(one: Candidate, other: Candidate): boolean {
  return one.sides.some((side) => other.sides.includes(side));
}
