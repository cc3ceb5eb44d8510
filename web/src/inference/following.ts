/** Stage 2 follows kidneys through z, until the kidney ends (src/renalmap/inference/following.py). */

import { type Bytes3, type Pair, Plane, type PlaneBox, partOfPlane } from "../arrays";
import { connectedBlobs } from "../imaging/connected";
import { KIDNEY } from "../labels";
import { median } from "../numbers";
import { centroid, cropAbout } from "../preprocess/crops";
import { type Component, findComponents } from "./components";
import { type CroppedSlice, copyWhere } from "./cropping";
import type { ScanOnGrid } from "./grid";
import { mapAhead } from "./networks";

/** Smaller sections are a kidney's last slice, or noise. */
const LEAST_MM2 = 20;
/** By how much a section may grow whatever its size. */
const ROOM_MM2 = 60;
/** From so many sections of a component its brightness is taken. */
const SECTIONS_LOOKED_AT = 5;

/** A blob of kidney and tumour in a slice; `inside` has the box's shape. */
export interface Section {
  z: number;
  box: PlaneBox;
  inside: Plane;
  pixels: number;
}

/** A section that stage 2 found by following; labels and probabilities are 0 outside it. */
export interface FollowedSection {
  section: Section;
  labels: Plane;
  kidney: Plane;
  tumour: Plane;
}

/** A kidney that is being followed one way. */
interface Track {
  last: Section;
  /** 1 towards the head, -1 towards the feet. */
  way: 1 | -1;
  /** The kidney's median HU. */
  hu: number;
  /** The slice examined last. */
  at: number;
  /** Since stage 1 agreed. */
  unsupportedMm: number;
}

/** What runs the networks on a slice for a follower. */
export interface Looks {
  lanes: number;
  crop: (z: number, crops: readonly PlaneBox[]) => Promise<CroppedSlice>;
  stage1: (z: number) => Promise<Plane>;
}

export class Follower {
  constructor(
    private readonly scan: ScanOnGrid,
    private readonly looks: Looks,
  ) {}

  /** Follow every kidney up and down, and write what is found into the labels. */
  async follow(labels: Bytes3, step: () => void): Promise<FollowedSection[]> {
    const found: FollowedSection[] = [];
    let tracks = this.tracks(labels);
    while (tracks.length > 0) {
      const going: Track[] = [];
      const steps = mapAhead((track: Track) => this.step(track), tracks, this.looks.lanes);
      for await (const [track, next] of steps) {
        if (next !== null) found.push(...write(labels, track, next));
        const further = await this.further(labels, track, next);
        if (further !== null) going.push(further);
        step();
      }
      tracks = going;
    }
    return found;
  }

  /** One for every section that the next slice has nothing over, of components large enough. */
  private tracks(labels: Bytes3): Track[] {
    const tracks: Track[] = [];
    for (const component of findComponents(labels, this.scan.placement())) {
      if (component.volumeMl < this.scan.plan.component_min_ml) continue;
      const hu = this.brightness(component, labels);
      for (const section of sectionsOf(component)) {
        for (const way of [-1, 1] as const) {
          const z = section.z + way;
          if (z < 0 || z >= this.scan.depth || anyOver(section, labels.plane(z))) continue;
          tracks.push({ last: section, way, hu, at: section.z, unsupportedMm: 0 });
        }
      }
    }
    return tracks;
  }

  /** A component's median HU, of its kidney where it has some. */
  private brightness({ box, inside }: Component, labels: Bytes3): number {
    const values: number[] = [];
    const plane: PlaneBox = {
      start: [box.start[1], box.start[2]],
      stop: [box.stop[1], box.stop[2]],
    };
    for (const index of evenly(inside.shape[0])) {
      const z = box.start[0] + index;
      const hu = this.scan.huIn(z, plane);
      const own = inside.plane(index).data;
      const called = labels.plane(z).cut(plane).data;
      const kidney = hu.filter((_, at) => own[at] !== 0 && called[at] === KIDNEY);
      values.push(...(kidney.length > 0 ? kidney : hu.filter((_, at) => own[at] !== 0)));
    }
    return median(values);
  }

  /** What of the kidney shows in the next slice; null: nothing that is surely its. */
  private async step(track: Track): Promise<FollowedSection | null> {
    const z = track.at + track.way;
    const { box, inside } = track.last;
    const [y, x] = centroid(inside);
    const centre: Pair = [y + box.start[0], x + box.start[1]];
    const seen = await this.looks.crop(z, [cropAbout(centre, box, this.scan.plan)]);
    const judged = judgeSection(this.scan, track, seen, z);
    return typeof judged === "string" ? null : judged;
  }

  /** The track after a step; null where it ends. */
  private async further(
    labels: Bytes3,
    track: Track,
    step: FollowedSection | null,
  ): Promise<Track | null> {
    const { plan, sliceDistanceMm, depth } = this.scan;
    const z = track.at + track.way;
    const beyond = z + track.way;
    if (beyond < 0 || beyond >= depth) return null;
    let [last, unsupportedMm] = [track.last, track.unsupportedMm + sliceDistanceMm];
    if (step !== null) {
      last = step.section;
      const agreement = meanOver(last, await this.looks.stage1(z)) / 255;
      if (agreement >= plan.follow_agreement) unsupportedMm = 0;
    } else if (Math.abs(beyond - last.z) * sliceDistanceMm > plan.follow_gap_mm) {
      return null;
    }
    const tooFar = unsupportedMm > plan.follow_unsupported_mm;
    if (tooFar || anyOver(last, labels.plane(beyond))) return null;
    return { ...track, last, at: z, unsupportedMm };
  }
}

/** The section that stage 2 sees of the kidney in the next slice, or why it is none. */
export function judgeSection(
  scan: ScanOnGrid,
  track: { last: Section; hu: number },
  seen: CroppedSlice,
  z: number,
): FollowedSection | string {
  const { plan } = scan;
  const { last } = track;
  const before = partOfPlane(last.inside, last.box.start, seen.box);
  const inside = blobsOver(seen.labels, before);
  const pixels = inside.count();
  if (pixels === 0) return "nothing there";
  const distanceMm = Math.abs(z - last.z) * scan.sliceDistanceMm;
  const grown = last.pixels * (1 + plan.follow_growth_per_mm * distanceMm);
  const hu = scan.huIn(z, seen.box);
  const isKidney = (at: number) => inside.data[at] !== 0 && seen.labels.data[at] === KIDNEY;
  const kidneyHu = hu.filter((_, at) => isKidney(at));
  const huOff = kidneyHu.length > 0 ? Math.abs(median(kidneyHu) - track.hu) : 0;
  const leastShared = plan.follow_min_overlap * Math.min(pixels, last.pixels);
  let [shared, probability] = [0, 0];
  inside.data.forEach((value, at) => {
    if (value === 0) return;
    if (before.data[at] !== 0) shared += 1;
    probability += seen.kidney.data[at];
  });
  if (pixels * scan.pixelMm2 < LEAST_MM2) return "too small";
  if (shared < leastShared) return "apart";
  if (pixels > grown + ROOM_MM2 / scan.pixelMm2) return "grown";
  if (probability / pixels < 255 * plan.follow_min_probability) return "unsure";
  if (huOff > plan.follow_hu) return "other brightness";
  const box = inside.bounds() as PlaneBox;
  const [top, left] = seen.box.start;
  const section = sectionOf(z, inside.cut(box), [box.start[0] + top, box.start[1] + left]);
  const found = {
    section,
    labels: seen.labels.cut(box),
    kidney: seen.kidney.cut(box),
    tumour: seen.tumour.cut(box),
  };
  return within(found, section);
}

/** The 8-connected blobs of a component, slice by slice. */
export function sectionsOf(component: Component): Section[] {
  const [z, y, x] = component.box.start;
  return Array.from({ length: component.inside.shape[0] }, (_, index) =>
    connectedBlobs(component.inside.plane(index)).map(({ box, inside }) =>
      sectionOf(z + index, inside, [box.start[0] + y, box.start[1] + x]),
    ),
  ).flat();
}

function sectionOf(z: number, inside: Plane, start: Pair): Section {
  const stop: Pair = [start[0] + inside.rows, start[1] + inside.columns];
  return { z, box: { start, stop }, inside, pixels: inside.count() };
}

/** The blobs of a plane that lie over a mask of its shape. */
function blobsOver(labels: Plane, mask: Plane): Plane {
  const over = new Plane(labels.rows, labels.columns);
  for (const { box, inside } of connectedBlobs(labels)) {
    const under = mask.cut(box).data;
    if (inside.data.some((value, at) => value !== 0 && under[at] !== 0)) {
      copyWhere(over, box, inside, inside);
    }
  }
  return over;
}

/** The same labels and probabilities in a smaller section of the same box. */
function within(found: FollowedSection, section: Section): FollowedSection {
  const only = ({ rows, columns, data }: Plane) =>
    new Plane(
      rows,
      columns,
      data.map((value, at) => (section.inside.data[at] !== 0 ? value : 0)),
    );
  return {
    section,
    labels: only(found.labels),
    kidney: only(found.kidney),
    tumour: only(found.tumour),
  };
}

/** Write a section, and between it and the last one what they share. */
function write(labels: Bytes3, track: Track, step: FollowedSection): FollowedSection[] {
  const { section } = step;
  const shared = partOfPlane(track.last.inside, track.last.box.start, section.box);
  for (let at = 0; at < shared.data.length; at += 1) {
    if (section.inside.data[at] === 0) shared.data[at] = 0;
  }
  const written: FollowedSection[] = [];
  const pixels = shared.count();
  for (let z = track.last.z + track.way; pixels > 0 && z !== section.z; z += track.way) {
    written.push(within(step, { z, box: section.box, inside: shared, pixels }));
  }
  written.push(step);
  for (const each of written) {
    copyWhere(labels.plane(each.section.z), section.box, each.labels, each.section.inside);
  }
  return written;
}

function anyOver({ box, inside }: Section, plane: Plane): boolean {
  const under = plane.cut(box).data;
  return inside.data.some((value, at) => value !== 0 && under[at] !== 0);
}

function meanOver({ box, inside, pixels }: Section, plane: Plane): number {
  const under = plane.cut(box).data;
  let total = 0;
  inside.data.forEach((value, at) => {
    if (value !== 0) total += under[at];
  });
  return total / pixels;
}

/** Indices of the sections from which a brightness is taken, without the ends. */
function evenly(depth: number): number[] {
  const step = (depth - 1) / (SECTIONS_LOOKED_AT + 1);
  const chosen = Array.from({ length: SECTIONS_LOOKED_AT }, (_, index) =>
    Math.trunc((index + 1) * step),
  );
  return [...new Set(chosen)];
}
