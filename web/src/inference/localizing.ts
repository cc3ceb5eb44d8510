/** Stage 1: the localizer on the slices that may show a kidney (src/renalmap/inference/localizing.py). */

import { Bytes3, Plane } from "../arrays";
import type { Plan } from "../bundle/plan";
import { BACKGROUND, KIDNEY } from "../labels";
import { type DroppedComponent, dropSmall, dropUnconnected } from "./components";
import type { ScanOnGrid } from "./grid";
import { flipAveraged, mapAhead, type Networks } from "./networks";
import { PackedPlane, toByte } from "./probability";
import { HIT_SHARE, type SliceSearch } from "./search";

/** Label between stage 1's two thresholds, until it is known what it is connected to. */
const PERHAPS = 128;

/** Stage 1 on the slices of one scan; each is examined once. */
export class Localizer {
  private readonly packed = new Map<number, PackedPlane>();

  constructor(
    private readonly networks: Networks,
    readonly scan: ScanOnGrid,
  ) {}

  get lanes(): number {
    return this.networks.lanes;
  }

  /** The foreground's probability in a slice, (grid, grid). */
  async look(z: number): Promise<Plane> {
    const known = this.packed.get(z);
    if (known !== undefined) return known.unpack();
    const { plan } = this.scan;
    const image = this.scan.image(z);
    const foreground =
      plan.flip_averaging === "both"
        ? await flipAveraged(this.networks, "localizer", image, plan.grid_size)
        : await this.networks.run("localizer", image, plan.grid_size);
    const plane = new Plane(plan.grid_size, plan.grid_size, Uint8Array.from(foreground, toByte));
    this.packed.set(z, new PackedPlane(plane));
    return plane;
  }

  /** What it saw in a slice; undefined if it did not look. */
  seen(z: number): Plane | undefined {
    return this.packed.get(z)?.unpack();
  }
}

/** Stage 1's foreground before any of it is dropped: kidney, perhaps kidney, or background. */
export async function localize(
  localizer: Localizer,
  search: SliceSearch,
  step: (done: number, total: number) => void,
): Promise<Bytes3> {
  const { scan } = localizer;
  const { plan } = scan;
  const labels = new Bytes3([scan.depth, plan.grid_size, plan.grid_size]);
  const least = Math.max(1, (HIT_SHARE * plan.component_min_area_mm2) / scan.pixelMm2);
  let done = 0;
  for (let pending = search.pending(); pending.length > 0; pending = search.pending()) {
    const total = done + pending.length;
    const looks = mapAhead((z: number) => localizer.look(z), pending, localizer.lanes);
    for await (const [z, probability] of looks) {
      const found = markForeground(probability, plan, labels.plane(z));
      search.note(z, found >= least);
      done += 1;
      step(done, total);
    }
  }
  return labels;
}

/** Of stage 1's foreground keep what is sure or joined to it, and large enough; in place. */
export function keepForeground(labels: Bytes3, scan: ScanOnGrid): DroppedComponent[] {
  const box = labels.bounds();
  if (box === null) return [];
  const inside = labels.cut(box);
  if (scan.plan.localizer_low_threshold !== null) dropUnconnected(inside, KIDNEY);
  const dropped = dropSmall(inside, scan.placement(box.start), scan.plan);
  labels.paste(inside, box.start);
  return dropped;
}

/** Write a slice's foreground; returns its pixels. */
function markForeground(probability: Plane, plan: Plan, labels: Plane): number {
  const sure = levelOf(plan.localizer_threshold);
  const low = plan.localizer_low_threshold;
  const perhaps = low === null ? sure : levelOf(low);
  let count = 0;
  for (let index = 0; index < labels.data.length; index += 1) {
    const value = probability.data[index];
    const label = value >= sure ? KIDNEY : value >= perhaps ? PERHAPS : BACKGROUND;
    if (label === BACKGROUND) continue;
    labels.data[index] = label;
    count += 1;
  }
  return count;
}

/** The lowest byte that stands for at least this probability. */
function levelOf(probability: number): number {
  return Math.ceil(255 * probability);
}
