/** Which slices stage 1 examines (src/renalmap/inference/search.py). */

const PITCH_MM = 10;
const SHORT_MM = 100;
/** Of the Plan's component_min_area_mm2: a slice with less foreground does not count as a hit. */
export const HIT_SHARE = 0.5;

/** Every pitch-th slice, then all near foreground, until none is left. */
export class SliceSearch {
  private readonly looked: Uint8Array;
  private readonly hits: Uint8Array;

  constructor(
    private readonly depth: number,
    private readonly pitch: number,
    private readonly near: number,
  ) {
    this.looked = new Uint8Array(depth);
    this.hits = new Uint8Array(depth);
  }

  /** The slices to look at next, ascending; none once the search is over. */
  pending(): number[] {
    const all = Array.from({ length: this.depth }, (_, z) => z);
    if (!this.looked.includes(1)) {
      return all.filter((z) => z % this.pitch === 0 || z === this.depth - 1);
    }
    return all.filter((z) => this.looked[z] === 0 && this.isNearHit(z));
  }

  note(z: number, found: boolean): void {
    this.looked[z] = 1;
    this.hits[z] = found ? 1 : 0;
  }

  private isNearHit(z: number): boolean {
    return this.hits.subarray(Math.max(0, z - this.near), z + this.near + 1).includes(1);
  }
}

/** How many slices apart stage 1 looks first. */
export function searchPitch(depth: number, spacingMm: number): number {
  if (depth * spacingMm < SHORT_MM) return 1;
  return Math.max(1, Math.floor(PITCH_MM / spacingMm));
}
