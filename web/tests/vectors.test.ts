import { describe, expect, test } from "vitest";
import { trackBody } from "../src/anatomy/body";
import { Bytes3, type PlaneBox } from "../src/arrays";
import type { Bundle } from "../src/bundle/bundle";
import { DEFAULTS } from "../src/bundle/plan";
import { readDicom } from "../src/imaging/dicom/reading";
import { readNifti } from "../src/imaging/nifti";
import { writeLabelMap } from "../src/imaging/nifti_writing";
import { dropSmall, dropUnconnected } from "../src/inference/components";
import { cutFloats } from "../src/inference/grid";
import { GridProbabilities } from "../src/inference/probability";
import { applyRules } from "../src/inference/rules";
import { SliceSearch, searchPitch } from "../src/inference/search";
import { gaussianWeights, smoothAcrossSlices } from "../src/inference/smoothing";
import { KIDNEY } from "../src/labels";
import { cropBoxes } from "../src/preprocess/crops";
import { InPlaneFit } from "../src/preprocess/fit";
import { reportOn } from "../src/report";
import {
  type Case,
  casesOf,
  expected,
  fileOf,
  numbersOf,
  placementOf,
  planeOf,
  shown,
  volumeBytesOf,
  volumeOf,
} from "./cases";

test("the Plan's defaults are Python's", () => {
  expect(DEFAULTS).toEqual(casesOf("plan")[0].defaults);
});

test.each(casesOf("fit"))("slices come onto the grid and back: $spacing_mm", (found) => {
  const [rows, columns] = found.values.shape;
  const fit = new InPlaneFit(rows, columns, found.spacing_mm, 64);
  const onGrid = fit.toGrid(numbersOf(found.values), -1024);
  const wanted = numbersOf(found.on_grid);
  const worst = Math.max(...onGrid.map((value, at) => Math.abs(value - wanted[at])));
  expect(worst).toBeLessThan(1e-3);
  expect(fit.gridSpacingMm).toEqual(found.grid_spacing_mm);
  expect(fit.fromGrid(planeOf(found.labels)).data).toEqual(planeOf(found.back).data);
});

test.each(casesOf("crops"))("crops lie where Python puts them", (found) => {
  const boxes = cropBoxes(planeOf(found.mask), found.plan);
  expect(boxes.map(({ start, stop }) => [start, stop])).toEqual(found.boxes);
});

test.each(casesOf("components"))("components are dropped for their size", (found) => {
  const labels = volumeBytesOf(found.labels);
  const dropped = dropSmall(labels, placementOf(found.placement), found.plan, found.judge_kidney);
  expect(labels.data).toEqual(volumeBytesOf(found.kept).data);
  expect(shown(dropped)).toEqual(expected(found.dropped));
});

test.each(casesOf("components"))("what is not joined to anything sure is dropped", (found) => {
  const labels = volumeBytesOf(found.perhaps);
  dropUnconnected(labels, KIDNEY);
  expect(labels.data).toEqual(volumeBytesOf(found.joined).data);
});

test.each(casesOf("smoothing"))("smoothing: $sigma_mm over $distance_mm", (found) => {
  const weights = gaussianWeights(found.sigma_mm, found.distance_mm);
  expect([...weights]).toEqual(found.weights.map((weight: number) => expect.closeTo(weight, 7)));
  const values = volumeBytesOf(found.values);
  smoothAcrossSlices(values, weights);
  expect(values.data).toEqual(volumeBytesOf(found.smooth).data);
});

test.each(casesOf("search"))("the search looks at the same slices: $depth", (found) => {
  const { depth, pitch, near, rounds } = found;
  expect(searchPitch(depth, found.spacing_mm)).toBe(pitch);
  const search = new SliceSearch(depth, pitch, near);
  for (const wanted of rounds) {
    const pending = search.pending();
    expect(pending).toEqual(wanted);
    for (const z of pending) search.note(z, z >= Math.floor(depth / 3) && z < Math.floor(depth / 2));
  }
  expect(search.pending()).toEqual([]);
});

test.each(casesOf("rules"))("the rules decide alike", (found) => {
  const labels = volumeBytesOf(found.labels);
  const [depth, rows, columns] = labels.shape;
  const placement = placementOf(found.placement);
  const [z, y, x] = placement.origin;
  const probability = new GridProbabilities({
    start: [z, y, x],
    stop: [z + depth, y + rows, x + columns],
  });
  probability.kidney.data.set(volumeBytesOf(found.kidney).data);
  probability.tumour.data.set(volumeBytesOf(found.tumour).data);
  const hu = numbersOf(found.hu) as Float32Array;
  const size = rows * columns;
  const huIn = (at: number, box: PlaneBox) =>
    cutFloats(hu.subarray(at * size, (at + 1) * size), columns, box);
  const outcome = applyRules(labels, probability, placement, found.plan, {
    midlineX: () => found.midline_x,
    huIn,
  });
  expect(labels.data).toEqual(volumeBytesOf(found.ruled).data);
  expect(shown(outcome.dropped)).toEqual(expected(found.dropped));
  expect(outcome.notes).toEqual(found.notes);
});

test.each(casesOf("body"))("the body's middle is found", (found) => {
  const volume = volumeOf(found.volume);
  const track = trackBody(volume);
  expect(track.middleX.map((x) => (Number.isFinite(x) ? x : null))).toEqual(found.middle_x);
  const at = Array.from({ length: volume.shape[0] }, (_, z) => track.at(z));
  expect(at).toEqual(found.at.map((x: number) => expect.closeTo(x, 9)));
});

function headerOf({ label_map_header }: Case) {
  const header = Uint8Array.from(Buffer.from(label_map_header, "base64"));
  return { length: header.length, header };
}

/** The numbers of a NIfTI-1 header that place a grid: shape, spacing, codes, quaternion, sform. */
function fieldsOf(header: Uint8Array<ArrayBuffer>): number[] {
  const view = new DataView(header.buffer, header.byteOffset);
  const shorts = [40, 42, 44, 46, 68, 70, 72, 252, 254].map((at) => view.getInt16(at, true));
  const places = Array.from({ length: 18 }, (_, index) => 256 + 4 * index);
  const floats = [76, 80, 84, 88, 108, 112, ...places].map((at) => view.getFloat32(at, true));
  return [...shorts, ...floats];
}

describe("NIfTI files", () => {
  test.each(casesOf("nifti"))("$file is read as Python does: $error", async (found) => {
    const reading = readNifti(fileOf(found.file));
    if (found.error !== undefined) {
      await expect(reading).rejects.toHaveProperty("what", found.error);
      return;
    }
    const { volume, nifti } = await reading;
    const labels = new Bytes3(volume.shape);
    const { length, header } = headerOf(found.volume);
    expect(writeLabelMap(labels, volume, nifti).subarray(0, length)).toEqual(header);
    expect(volume.hu).toEqual(numbersOf(found.volume.hu));
    expect(volume.shape).toEqual(found.volume.hu.shape);
    expect(volume.spacingMm).toEqual(
      found.volume.spacing_mm.map((each: number) => expect.closeTo(each, 9)),
    );
    expect(volume.source.axes).toEqual(found.axes);
    expect(volume.source.flips).toEqual(found.flips);
    expect(volume.doubts).toEqual(found.doubts);
  });
});

test.each(casesOf("dicom"))("DICOM is read as Python does: $files.0 $error", async (found) => {
  const files = found.files.map((path: string) => ({ path, file: fileOf(path) }));
  const reading = readDicom(files, () => undefined);
  if (found.error !== undefined) {
    await expect(reading).rejects.toHaveProperty("what", found.error);
    return;
  }
  const volume = await reading;
  expect(volume.hu).toEqual(numbersOf(found.volume.hu));
  expect(volume.source.axes).toEqual(found.axes);
  expect(volume.source.flips).toEqual(found.flips);
  expect(volume.source.affine.flat()).toEqual(
    found.affine.flat().map((each: number) => expect.closeTo(each, 9)),
  );
  expect(volume.notes.length).toBe(found.notes);
  const { length, header } = headerOf(found.volume);
  const written = writeLabelMap(new Bytes3(volume.shape), volume, null).subarray(0, length);
  expect(fieldsOf(written)).toEqual(fieldsOf(header).map((each) => expect.closeTo(each, 4)));
});

test.each(casesOf("anatomy"))("kidneys and tumours are measured alike", (found) => {
  const volume = volumeOf(found.volume);
  const labels = volumeBytesOf(found.labels);
  const report = reportOn(volume, { labels, dropped: [], notes: [] }, { digest: "" } as Bundle);
  expect(report.kidneys).toEqual(found.kidneys);
  expect(report.tumours).toEqual(found.tumours);
  expect(report.flags).toEqual(found.flags);
});
