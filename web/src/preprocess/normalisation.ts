/** HU to what a network sees (src/renalmap/preprocess/intensity.py). */

import type { Bundle } from "../bundle/bundle";
import type { Plan } from "../bundle/plan";
import type { Volume } from "../imaging/volume";
import { sliceOf } from "../imaging/volume";

/** One number for all pixels of the grid, or one for each. */
type PerPixel = Float32Array;

export class Normalisation {
  private constructor(
    private readonly meanHu: PerPixel,
    private readonly deviationHu: PerPixel,
    private readonly clipHu: [number, number] | null,
  ) {}

  /** The normalisation that a Plan asks for. */
  static of({ plan, statistics }: Bundle, volume: Volume): Normalisation {
    if (plan.normalisation === "none") {
      return new Normalisation(Float32Array.of(0), Float32Array.of(1), plan.clip_hu);
    }
    let [mean, deviation]: PerPixel[] = [statistics.meanHu, statistics.deviationHu];
    if (plan.normalisation !== "slice_statistics") {
      const [one, other] =
        plan.normalisation === "global_zscore"
          ? [statistics.globalMeanHu, statistics.globalDeviationHu]
          : meanAndDeviationHu(volume, plan);
      [mean, deviation] = [Float32Array.of(one), Float32Array.of(other)];
    }
    const floor = Math.fround(plan.deviation_floor_hu);
    const floored = deviation.map((each) => Math.max(each, floor));
    return new Normalisation(mean, floored, plan.clip_hu);
  }

  /** Normalise a slice of HU on the grid, in place. */
  apply(hu: Float32Array): Float32Array {
    clip(hu, this.clipHu);
    const [everyMean, everyDeviation] = [this.meanHu.length === 1, this.deviationHu.length === 1];
    for (let index = 0; index < hu.length; index += 1) {
      const mean = this.meanHu[everyMean ? 0 : index];
      hu[index] = Math.fround(hu[index] - mean) / this.deviationHu[everyDeviation ? 0 : index];
    }
    return hu;
  }
}

function clip(hu: Float32Array, range: [number, number] | null): void {
  if (range === null) return;
  const [low, high] = range;
  for (let index = 0; index < hu.length; index += 1) {
    hu[index] = Math.min(Math.max(hu[index], low), high);
  }
}

/** Mean and standard deviation of a scan's clipped HU. */
function meanAndDeviationHu(volume: Volume, plan: Plan): [number, number] {
  let [count, mean, squares] = [0, 0, 0];
  for (let z = 0; z < volume.shape[0]; z += 1) {
    const values = Float32Array.from(sliceOf(volume, z));
    clip(values, plan.clip_hu);
    const sliceMean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const delta = sliceMean - mean;
    const total = count + values.length;
    squares += values.reduce((sum, value) => sum + (value - sliceMean) ** 2, 0);
    squares += (delta ** 2 * count * values.length) / total;
    mean += (delta * values.length) / total;
    count = total;
  }
  return [mean, Math.sqrt(squares / count)];
}
