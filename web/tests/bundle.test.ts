import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { openBundle } from "../src/bundle/bundle";
import { DEFAULTS, parsePlan } from "../src/bundle/plan";

const FOLDER = new URL("../../src/renalmap/default_bundle/", import.meta.url);

async function read(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return Uint8Array.from(readFileSync(new URL(name, FOLDER)));
}

test("the shipped bundle opens", async () => {
  const bundle = await openBundle(read);
  expect(bundle.plan).toEqual({
    ...DEFAULTS,
    ...JSON.parse(readFileSync(new URL("plan.json", FOLDER), "utf8")),
  });
  expect(bundle.statistics.meanHu.length).toBe(bundle.plan.grid_size ** 2);
  expect(bundle.digest).toMatch(/^[0-9a-f]{64}$/);
});

test.each(["localizer.onnx", "segmenter.onnx", "plan.json", "slice_statistics.npz", "SHA256SUMS"])(
  "a changed %s is refused by name",
  async (changed) => {
    const altered = async (name: string) => {
      const content = await read(name);
      if (name === changed) content[8] ^= 1;
      return content;
    };
    await expect(openBundle(altered)).rejects.toThrow(/was changed or damaged/);
  },
);

test.each([
  ['{"grid_size": 512, "sharpen_mm": 2}', "sharpen_mm = 2"],
  ['{"normalisation": "histogram"}', "normalisation"],
  ['{"keep": "three_kidneys"}', "keep"],
  ['{"format_version": 2}', "format_version"],
  ['{"grid_size": null}', "grid_size"],
  ['{"clip_hu": [300, -100]}', "clip_hu"],
  ['{"smoothing_sigma_mm": "2"}', "smoothing_sigma_mm"],
  ["[]", "no JSON object"],
  ["{", "cannot be read"],
])("a Plan that the page does not know is refused by name: %s", (text, words) => {
  expect(() => parsePlan(text)).toThrow(words);
});
