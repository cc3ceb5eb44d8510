/** Connected components, and which of them are kept for their size (src/renalmap/inference/components.py). */

import { type Bytes3, countNonZero, type Triple } from "../arrays";
import type { Plan } from "../bundle/plan";
import { connectedParts, type Part } from "../imaging/connected";
import { BACKGROUND, KIDNEY } from "../labels";
import type { Placement } from "./placement";

/** A component that was taken for a mistake. */
export interface DroppedComponent {
  volumeMl: number;
  /** Its centroid (z, y, x), in voxels of the grid it was found on; in a Segmentation, of the scan. */
  centre: Triple;
  reason: string;
}

/** A 26-connected component of a mask; its box is a region of the array it was found in. */
export class Component {
  readonly box: Part["box"];
  readonly inside: Bytes3;
  readonly size: number;
  readonly volumeMl: number;
  readonly sectionMm2: number;
  readonly isCut: boolean;

  constructor(
    part: Part,
    private readonly placement: Placement,
  ) {
    this.box = part.box;
    this.inside = part.inside;
    this.size = countNonZero(part.inside.data);
    this.volumeMl = this.size * placement.voxelMl;
    const sections = Array.from({ length: part.inside.shape[0] }, (_, z) =>
      part.inside.plane(z).count(),
    );
    this.sectionMm2 = Math.max(...sections) * placement.pixelMm2;
    this.isCut = placement.isCut(part.box);
  }

  /** Give its voxels a label, in place, in the array it was found in. */
  relabel(labels: Bytes3, label: number): void {
    this.each(labels, (index) => {
      labels.data[index] = label;
    });
  }

  /** How many of its voxels have a label. */
  countOf(labels: Bytes3, label: number): number {
    let count = 0;
    this.each(labels, (index) => {
      if (labels.data[index] === label) count += 1;
    });
    return count;
  }

  /** Its voxels' values in an array like the one it was found in. */
  valuesOf(values: Bytes3): Uint8Array {
    const own = new Uint8Array(this.size);
    let at = 0;
    this.each(values, (index) => {
      own[at] = values.data[index];
      at += 1;
    });
    return own;
  }

  /** Visit its voxels: their index in an array like the one it was found in, and their column there. */
  each(values: Bytes3, visit: (index: number, x: number) => void): void {
    const [depth, rows, columns] = this.inside.shape;
    const [z0, y0, x0] = this.box.start;
    for (let z = 0; z < depth; z += 1) {
      for (let y = 0; y < rows; y += 1) {
        const to = ((z + z0) * values.shape[1] + y + y0) * values.shape[2] + x0;
        const from = (z * rows + y) * columns;
        for (let x = 0; x < columns; x += 1) {
          if (this.inside.data[from + x] !== 0) visit(to + x, x0 + x);
        }
      }
    }
  }

  dropped(reason: string): DroppedComponent {
    const sums: Triple = [0, 0, 0];
    const [depth, rows, columns] = this.inside.shape;
    for (let index = 0; index < depth * rows * columns; index += 1) {
      if (this.inside.data[index] === 0) continue;
      sums[0] += Math.floor(index / (rows * columns));
      sums[1] += Math.floor(index / columns) % rows;
      sums[2] += index % columns;
    }
    const centre = sums.map(
      (sum, axis) => sum / this.size + this.box.start[axis] + this.placement.origin[axis],
    ) as Triple;
    return { volumeMl: this.volumeMl, centre, reason };
  }
}

/** The 26-connected components of what is not 0, or of one label, from the feet up. */
export function findComponents(labels: Bytes3, placement: Placement, only?: number): Component[] {
  return connectedParts(labels, only).map((part) => new Component(part, placement));
}

/** Drop the components that are too small by the Plan's limits, in place. */
export function dropSmall(
  labels: Bytes3,
  placement: Placement,
  plan: Plan,
  judgeKidney = false,
): DroppedComponent[] {
  const components = findComponents(labels, placement);
  const largestMl = Math.max(0, ...components.map((component) => component.volumeMl));
  const dropped: DroppedComponent[] = [];
  for (const component of components) {
    let reason = whySmall(component, largestMl, plan);
    if (reason === null && judgeKidney && !component.isCut) {
      const kidneyMl = component.countOf(labels, KIDNEY) * placement.voxelMl;
      const least = plan.component_min_kidney_ml;
      if (kidneyMl < least) reason = `kidney in it ${kidneyMl.toFixed(1)} ml < ${least} ml`;
    }
    if (reason === null) continue;
    component.relabel(labels, BACKGROUND);
    dropped.push(component.dropped(reason));
  }
  return largestFirst(dropped);
}

/** Hysteresis: drop the foreground that is not connected to a sure voxel, in place. */
export function dropUnconnected(labels: Bytes3, sure: number): void {
  for (const part of connectedParts(labels)) {
    const [z, y, x] = part.box.start;
    const inside = labels.cut(part.box);
    let found = false;
    for (let at = 0; at < inside.data.length && !found; at += 1) {
      found = part.inside.data[at] !== 0 && inside.data[at] === sure;
    }
    for (let at = 0; at < inside.data.length; at += 1) {
      if (part.inside.data[at] !== 0) inside.data[at] = found ? sure : BACKGROUND;
    }
    labels.paste(inside, [z, y, x]);
  }
}

export function largestFirst(dropped: DroppedComponent[]): DroppedComponent[] {
  return dropped.sort((one, other) => other.volumeMl - one.volumeMl);
}

function whySmall(component: Component, largestMl: number, plan: Plan): string | null {
  const { sectionMm2, volumeMl } = component;
  if (sectionMm2 < plan.component_min_area_mm2) {
    return `largest section ${sectionMm2.toFixed(0)} mm2 < ${plan.component_min_area_mm2} mm2`;
  }
  if (component.isCut) return null;
  if (volumeMl < plan.component_min_ml) {
    return `volume ${volumeMl.toFixed(1)} ml < ${plan.component_min_ml} ml`;
  }
  if (volumeMl < plan.component_min_share * largestMl) {
    return `volume ${volumeMl.toFixed(1)} ml < ${plan.component_min_share} of the largest`;
  }
  return null;
}
