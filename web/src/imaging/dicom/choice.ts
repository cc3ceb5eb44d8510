/** Which series of what was dropped is segmented (src/renalmap/imaging/dicom/choice.py and catalogue.py). */

import { InputError } from "../../errors";
import { isProjection, type Skipped, type SliceHeader } from "./headers";
import { dot } from "./vectors";

export const MAX_OBLIQUE_DEGREES = 30;
/** Gaps of slices that lie evenly are at least this share of their mean. */
const ALIKE = 0.75;
/** Slices of up to this many gaps do not overlap. */
const TOUCHING = 1.1;
/** A part with a gap this many times another one has holes. */
const HOLE = 1.5;
/** A series with at least this share of the best one's slices is as good. */
const NEARLY = 0.9;

export interface Chosen {
  slices: SliceHeader[];
  /** What a reader should know about the choice, a sentence each. */
  notes: string[];
}

/**
 * Among axial CT series: originals before derived ones, then soft-tissue kernels, then most slices.
 *
 * @throws InputError no series can be segmented, or several could be meant.
 */
export function choose(slices: readonly SliceHeader[], skipped: readonly Skipped[]): Chosen {
  const every = groupBy(unique(slices), (each) => `${each.study} ${each.series}`);
  const series = [...every.values()].map(mainBody);
  let candidates = series.filter((each) => whyNot(each) === null);
  // The stack's own checks explain best what is wrong with the only slices there are.
  if (candidates.length === 0 && series.length === 1)
    candidates = series.filter(([first]) => !isProjection(first));
  if (candidates.length === 0) throw nothing(series, skipped);
  if (new Set(candidates.map(([first]) => `${first.study} ${first.patient}`)).size > 1) {
    throw ambiguous("there are series of several studies", candidates);
  }
  const ranked = candidates.sort((one, other) => compare(rank(other), rank(one)));
  const [best, second] = ranked;
  const notes: string[] = [];
  if (second !== undefined && compare(rank(best), rank(second)) === 0) {
    throw ambiguous("there are several series that could be meant", ranked);
  }
  if (second !== undefined && isNearlyAsGood(best, second)) {
    notes.push(
      `${describe(best)} was taken because it has a few more slices, but ${describe(second)} is very ` +
        "similar: if that is the phase you want, drop its folder alone",
    );
  }
  checkAcquisitions(best);
  return { slices: best, notes };
}

/** `Map.groupBy`, which not all browsers have. */
function groupBy<Item, Key>(items: readonly Item[], keyOf: (item: Item) => Key): Map<Key, Item[]> {
  const groups = new Map<Key, Item[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}

function unique(slices: readonly SliceHeader[]): SliceHeader[] {
  return [...new Map(slices.map((each) => [each.instance, each])).values()];
}

/** Of slices in several directions, or some of them projections: the most. */
function mainBody(slices: SliceHeader[]): SliceHeader[] {
  const groups: SliceHeader[][] = [];
  const parallel = Math.cos((MAX_OBLIQUE_DEGREES * Math.PI) / 180);
  for (const each of slices) {
    const group = groups.find(
      ([first]) =>
        Math.abs(dot(first.normal, each.normal)) > parallel &&
        isProjection(first) === isProjection(each),
    );
    if (group === undefined) groups.push([each]);
    else group.push(each);
  }
  groups.sort((one, other) => other.length - one.length);
  return groups.length > 1 && groups[0].length === groups[1].length ? slices : groups[0];
}

function whyNot(slices: readonly SliceHeader[]): string | null {
  const [first] = slices;
  if (isProjection(first)) return "a projection";
  const oblique = offAxialDegrees(first);
  if (oblique > MAX_OBLIQUE_DEGREES) return `${oblique.toFixed(0)} degrees off axial`;
  return slices.length === 1 ? "a single slice" : null;
}

/** Angle between a slice's normal and the body's axis. */
export function offAxialDegrees({ normal }: SliceHeader): number {
  return Math.acos(Math.min(1, Math.abs(normal[2]))) * (180 / Math.PI);
}

function rank(slices: readonly SliceHeader[]): number[] {
  const [{ imageType, kernel, description }] = slices;
  const most = isOneVolume(slices)
    ? slices.length
    : Math.max(...acquisitionsOf(slices).map((each) => each.length));
  return [imageType.includes("DERIVED") ? 0 : 1, kernelRank(kernel, description), most];
}

/** 2 for soft tissue, 1 for unknown, 0 for sharp, by the manufacturers' naming. */
function kernelRank(kernel: string, description: string): number {
  const name = kernel.split("\\")[0].trim().toUpperCase();
  const canon = /^FC(\d{2})$/.exec(name);
  if (canon !== null) return [3, 5, 8].includes(Math.floor(Number(canon[1]) / 10)) ? 0 : 2;
  const siemens = /^[A-Z]{1,2}(\d{2})[A-Z]*$/.exec(name);
  if (siemens !== null) return Number(siemens[1]) >= 50 ? 0 : 2;
  if (/BONE|LUNG|EDGE|SHARP|ULTRA|CHST|KNOCHEN|LUNGE|^Y[A-D]$|^[DEFL]$/.test(name)) return 0;
  if (/SOFT|STANDARD|STND|SMOOTH|BODY|ABDOMEN|DETAIL|^[ABC]$|WEICH/.test(name)) return 2;
  const words = /\b(?:(LUNG|BONE|SHARP|LUNGE|KNOCHEN)|SOFT|WEICH\w*)\b/;
  const described = words.exec(description.toUpperCase().replaceAll("_", " "));
  if (described === null) return 1;
  return described[1] === undefined ? 2 : 0;
}

function compare(one: number[], other: number[]): number {
  return one.map((value, index) => value - other[index]).find((difference) => difference !== 0) ?? 0;
}

function isNearlyAsGood(best: readonly SliceHeader[], second: readonly SliceHeader[]): boolean {
  const [ours, theirs] = [rank(best), rank(second)];
  return compare(ours.slice(0, 2), theirs.slice(0, 2)) === 0 && theirs[2] >= NEARLY * ours[2];
}

function acquisitionsOf(slices: readonly SliceHeader[]): SliceHeader[][] {
  return [...groupBy(slices, (each) => each.acquisition).values()];
}

/** Acquisitions are one stack if they cover different parts of the body, or number the slices of one stack. */
function isOneVolume(slices: readonly SliceHeader[]): boolean {
  const parts = acquisitionsOf(slices);
  if (parts.length < 2 || !overlap(parts)) return true;
  const gaps = gapsOf(slices);
  const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
  if (!(mean > 0 && Math.min(...gaps) >= ALIKE * mean)) return false;
  const { thicknessMm } = slices[0];
  const isThin = thicknessMm !== null && thicknessMm > 0 && thicknessMm <= TOUCHING * mean;
  const hasHoles = parts.some((part) => {
    const own = gapsOf(part);
    return own.length > 0 && Math.max(...own) > HOLE * Math.min(...own);
  });
  return isThin || hasHoles || countsThrough(slices);
}

function checkAcquisitions(slices: readonly SliceHeader[]): void {
  if (isOneVolume(slices)) return;
  const parts = acquisitionsOf(slices);
  throw new InputError("the series holds several acquisitions of the same part of the body", {
    got: parts.map((part) => `${part.length} slices in acquisition ${part[0].acquisition}`).join("; "),
    hint: "Drop the slices of one of them; the Python program takes one by --acquisition",
  });
}

function overlap(parts: readonly SliceHeader[][]): boolean {
  const stretches = parts.map((part) => {
    const heights = part.map((each) => dot(each.positionMm, parts[0][0].normal));
    return [Math.min(...heights), Math.max(...heights)];
  });
  stretches.sort((one, other) => compare(one, other));
  return stretches.some((stretch, index) => index > 0 && stretch[0] <= stretches[index - 1][1]);
}

function countsThrough(slices: readonly SliceHeader[]): boolean {
  const [{ normal }] = slices;
  const ordered = [...slices].sort(
    (one, other) => dot(one.positionMm, normal) - dot(other.positionMm, normal),
  );
  const numbers = ordered.map((each) => each.instanceNumber ?? Number.NaN);
  const steps = numbers.slice(1).map((number, index) => Math.sign(number - numbers[index]));
  return steps.every((step) => step === 1) || steps.every((step) => step === -1);
}

function gapsOf(slices: readonly SliceHeader[]): number[] {
  const heights = slices.map((each) => dot(each.positionMm, slices[0].normal)).sort((a, b) => a - b);
  return heights.slice(1).map((height, index) => height - heights[index]);
}

function describe(slices: readonly SliceHeader[]): string {
  const [{ seriesNumber, description }] = slices;
  const named = description === "" ? "" : ` (${description})`;
  return `series ${seriesNumber ?? "without a number"}${named} with ${slices.length} slices`;
}

function ambiguous(what: string, series: readonly SliceHeader[][]): InputError {
  return new InputError(what, {
    got: series.map(describe).join("; "),
    expected: "one that stands out",
    hint: "Drop the folder of one series alone",
  });
}

function nothing(series: readonly SliceHeader[][], skipped: readonly Skipped[]): InputError {
  const reasons = groupBy(skipped, (each) => each.reason);
  const got = [
    ...series.map((each) => `${describe(each)}: ${whyNot(each)}`),
    ...[...reasons].map(([reason, each]) => `${each.length} x ${reason}`),
  ];
  return new InputError("no series can be segmented", {
    got: got.join("; ") || "no DICOM file",
    expected: "an axial CT series that is not a scout, report or projection",
  });
}
