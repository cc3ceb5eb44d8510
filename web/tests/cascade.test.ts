import { expect, test } from "vitest";
import { Plane } from "../src/arrays";
import type { Bundle } from "../src/bundle/bundle";
import { segment } from "../src/inference/cascade";
import type { Networks, Stage } from "../src/inference/networks";
import { type Case, casesOf, expected, shown, volumeBytesOf, volumeOf } from "./cases";

/** The hand-made networks of tests/conftest.py: each class's logit is linear in the image. */
class PointwiseNetworks implements Networks {
  readonly lanes = 2;

  constructor(private readonly found: Case) {}

  async run(stage: Stage, image: Float32Array): Promise<Float32Array> {
    await new Promise((resolve) => setImmediate(resolve)); // vitest wants to hear from its worker now and then
    const { slopes, offsets } = this.found[stage];
    const size = image.length;
    const result = new Float32Array(size * slopes.length);
    const known = new Map<number, number[]>();
    for (let at = 0; at < size; at += 1) {
      let classes = known.get(image[at]);
      if (classes === undefined) {
        classes = softmax(slopes, offsets, image[at]);
        known.set(image[at], classes);
      }
      for (let index = 0; index < classes.length; index += 1) result[index * size + at] = classes[index];
    }
    return result;
  }
}

function softmax(slopes: number[], offsets: number[], value: number): number[] {
  const powers = slopes.map((slope, index) => Math.exp(slope * value + offsets[index]));
  const total = powers.reduce((sum, power) => sum + power, slopes.length === 1 ? 1 : 0);
  return powers.map((power) => power / total);
}

test.each(casesOf("cascade"))("whole scans are labelled alike: $volume.hu.shape", async (found) => {
  const grid = found.plan.grid_size ** 2;
  const bundle: Bundle = {
    plan: found.plan,
    statistics: {
      meanHu: new Float32Array(grid).fill(found.statistics.mean_hu),
      deviationHu: new Float32Array(grid).fill(found.statistics.deviation_hu),
      globalMeanHu: 0,
      globalDeviationHu: found.statistics.deviation_hu,
    },
    localizer: new Uint8Array(),
    segmenter: new Uint8Array(),
    digest: "",
  };
  const result = await segment(
    volumeOf(found.volume),
    bundle,
    new PointwiseNetworks(found),
    () => undefined,
  );
  const wanted = volumeBytesOf(found.labels).data;
  const differing = result.labels.data.filter((label, at) => label !== wanted[at]).length;
  expect(differing).toBe(0);
  expect(result.notes).toEqual(found.notes);
  expect(shown(result.dropped)).toEqual(expected(found.dropped));
  expect(new Plane(1, wanted.length, wanted).count()).toBeGreaterThan(500);
});
